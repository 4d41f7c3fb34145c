"""The docs page, in a real browser that can connect to this machine only."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.support import browser
from tests.support.serving import Server


@browser.needs_browser
@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_shows_every_operation_without_an_internet_connection(
    server: Server, chromium: Browser, path: str
) -> None:
    page = chromium.new_page(ignore_https_errors=True)
    page.goto(server.url + path)
    expect(page.locator("#operations-health-ready")).to_be_visible()
    shown = set(re.findall(r'id="operations-(?:tasks|trash|sync|health)-(\w+)"', page.content()))
    tasks = {"listTasks", "createTask", "runBatch", "exportTasks", "readTask", "changeTask", "renameTask", "deleteTask"}
    trash = {"listTrash", "emptyTrash", "purgeTask", "restoreTask"}
    assert shown == {*tasks, *trash, "listChanges", "listen", "live", "ready"}
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    page.close()


def test_the_page_loads_nothing_from_other_origins(server: Server) -> None:
    page = server.anybody.get("/docs")
    assert "://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in re.findall(r'(?:src|href)="/(docs/[^"]+)"', page.text):
        assert server.anybody.get(f"/{path}").status_code == 200
