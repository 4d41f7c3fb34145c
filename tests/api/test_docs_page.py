"""The docs page, in a real browser that reaches nothing but this machine."""

import re
from pathlib import Path

from tests.support import browser
from tests.support.serving import Server


@browser.wanted
def test_it_shows_every_operation_without_any_connection_to_the_internet(server: Server, tmp_path: Path) -> None:
    page = browser.shown_at(f"{server.url}/docs", tmp_path)
    shown = set(re.findall(r'id="operations-(?:tasks|health)-(\w+)"', page))
    assert shown == {"listTasks", "createTask", "readTask", "changeTask", "renameTask", "deleteTask", "live", "ready"}
    assert "Authorize" in page


def test_it_loads_nothing_from_elsewhere(server: Server) -> None:
    page = server.anybody.get("/docs")
    assert "://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="/(docs/[^"]+)"', page.text):
        assert server.anybody.get(f"/{path}").status_code == 200
