"""A real browser that can connect to this machine only."""

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

LAN_HOST = "todo.lan"
"""Leads to this machine, but is no name of it: pages get what they get over plain HTTP from another machine."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs Chromium")


def _command(profile: Path, *arguments: str) -> list[str]:
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
        "--ignore-certificate-errors",
        f"--host-resolver-rules=MAP {LAN_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        *arguments,
    ]


def render(url: str, profile: Path) -> str:
    """The document once its scripts are idle."""
    run = subprocess.run(
        _command(profile, "--virtual-time-budget=20000", "--dump-dom", url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout


@contextmanager
def showing(page: str, profile: Path) -> Iterator[None]:
    with subprocess.Popen(
        _command(profile, "--remote-debugging-port=0", page), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            yield
        finally:
            browser.terminate()


class Receiver:
    """A URL to which a page can POST a message."""

    def __init__(self, url: str, messages: "queue.Queue[str]") -> None:
        self.url = url
        self._messages = messages

    def open(self, page: str, profile: Path) -> str:
        """Opens a page; returns the first message from it, or from a page to which it navigates."""
        with showing(page, profile):
            return self._messages.get(timeout=60)


@contextmanager
def receiver() -> Iterator[Receiver]:
    messages: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Receiver(f"http://127.0.0.1:{server.server_address[1]}", messages)
        finally:
            server.shutdown()
            thread.join()
