"""The docs page, in a real browser that reaches nothing but this machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.serving import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine")
def test_it_shows_every_operation_without_any_connection_to_the_internet(server: Server, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    run = subprocess.run(
        [
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
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{server.url}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    shown = set(re.findall(r'id="operations-(?:tasks|health)-(\w+)"', run.stdout))
    assert shown == {"listTasks", "createTask", "readTask", "changeTask", "renameTask", "deleteTask", "live", "ready"}
    assert "Authorize" in run.stdout


def test_it_loads_nothing_from_elsewhere(server: Server) -> None:
    page = server.anybody.get("/docs")
    assert "://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="/(docs/[^"]+)"', page.text):
        assert server.anybody.get(f"/{path}").status_code == 200
