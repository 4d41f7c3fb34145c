"""A real browser that reaches nothing but this machine."""

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

wanted = pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine")


def command(profile: Path, *arguments: str) -> list[str]:
    assert CHROMIUM is not None
    return [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        *arguments,
    ]


def shown_at(url: str, profile: Path) -> str:
    """The document as it is when its scripts have come to rest."""
    run = subprocess.run(
        command(profile, "--virtual-time-budget=20000", "--dump-dom", url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout


class Ear:
    """Where a page can POST what it has to tell."""

    def __init__(self, url: str, heard: "queue.Queue[str]") -> None:
        self.url = url
        self._heard = heard

    def hear_from(self, page: str, profile: Path) -> str:
        """What the page, or one that it leads to, tells first."""
        with subprocess.Popen(
            command(profile, "--remote-debugging-port=0", page), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as browser:
            try:
                return self._heard.get(timeout=60)
            finally:
                browser.terminate()


@contextmanager
def ear() -> Iterator[Ear]:
    heard: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Ear(f"http://127.0.0.1:{server.server_address[1]}", heard)
        finally:
            server.shutdown()
            thread.join()
