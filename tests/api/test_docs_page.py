"""The docs page, in a real browser that can connect to this machine only."""

import re
from pathlib import Path

from tests.support import browser
from tests.support.serving import Server


@browser.needs_browser
def test_the_page_shows_every_operation_without_an_internet_connection(server: Server, tmp_path: Path) -> None:
    page = browser.render(f"{server.url}/docs", tmp_path)
    shown = set(re.findall(r'id="operations-(?:tasks|trash|sync|health)-(\w+)"', page))
    tasks = {"listTasks", "createTask", "readTask", "changeTask", "renameTask", "deleteTask"}
    trash = {"listTrash", "emptyTrash", "purgeTask", "restoreTask"}
    assert shown == {*tasks, *trash, "listChanges", "listen", "live", "ready"}
    assert "Authorize" in page


def test_the_page_loads_nothing_from_other_origins(server: Server) -> None:
    page = server.anybody.get("/docs")
    assert "://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="/(docs/[^"]+)"', page.text):
        assert server.anybody.get(f"/{path}").status_code == 200
