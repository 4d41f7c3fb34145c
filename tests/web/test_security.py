"""What the web page must never do, and how it is delivered."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support import better_auth, browser
from tests.support.browser import Screen
from tests.support.databases import sqlite_url
from tests.support.serving import Person, Server, serving
from tests.web.conftest import Open

NAUGHTY = Path(__file__).parents[1] / "node_tools" / "node_modules" / "big-list-of-naughty-strings" / "blns.json"
FILES = ("", "web/style.css", "web/app.js", "web/client.js", "web/sync.js", "web/icon.svg")


@browser.needs_browser
@pytest.mark.skipif(
    not os.environ.get("CI") and not NAUGHTY.exists(), reason="needs Node.js and `make tests/node_tools/node_modules`"
)
def test_naughty_strings_are_shown_as_text(screen: Screen, server: Server, person: Person) -> None:
    ran = (
        "window.ran = []; for (const name of ['alert', 'confirm', 'prompt']) window[name] = (...a) => ran.push(a); null"
    )
    screen.page.evaluate(ran)
    strings = json.loads(NAUGHTY.read_text())
    made = []
    for text in strings:
        answer = person.api.post("/api/tasks", json={"title": text, "notes": text, "labels": [text[:60]]})
        if answer.is_success:
            made.append(answer.json())
    assert len(made) > 400
    expect(screen.page.locator("#views [data-view=all]")).to_have_text(f"All {len(made)}")
    screen.page.locator("#list .title").first.focus()
    screen.page.keyboard.press("End")
    rows = screen.page.locator("#list > li")
    expect(rows).to_have_count(len(made))
    shown = screen.page.evaluate(
        "[...document.querySelectorAll('#list > li > .title')].map((title) => title.textContent)"
    )
    assert shown == [task["title"] for task in reversed(made)]
    labels = screen.page.evaluate("[...document.querySelectorAll('#list .label')].map((label) => label.textContent)")
    assert labels == [label for task in reversed(made) for label in task["labels"]]
    kinds = "[...new Set([...document.querySelectorAll('#list *')].map((one) => one.localName))].sort()"
    assert screen.page.evaluate(kinds) == ["button", "input", "li", "span"]
    for index in range(0, len(made), 60):  # in the editor, and in notices
        rows.nth(index).locator(".title").click()
        assert screen.page.get_by_label("Notes").input_value() == (made[-1 - index]["notes"] or "").replace(
            "\r\n", "\n"
        ).replace("\r", "\n")
        screen.page.keyboard.press("Escape")
    assert screen.page.evaluate("window.ran") == []
    origin = re.match("https?://[^/]+", server.url)
    assert origin is not None
    assert {re.match("https?://[^/]+/", url)[0] for url in screen.asked} == {f"{origin[0]}/"}  # type: ignore[index]


def test_the_policy_allows_the_origin_alone(server: Server) -> None:
    page = server.anybody.get("/")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "://" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?! type=\"module\" src)|<style| style=| on[a-z]+=", page.text)
    assert "://" not in page.text


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_a_browser_has_is_not_sent_again(direct_server: Server, file: str) -> None:
    for coding in ("gzip", "identity"):
        first = direct_server.anybody.get(f"/{file}", headers={"Accept-Encoding": coding})
        assert first.status_code == 200
        assert first.headers["cache-control"] == "no-cache"
        is_short = len(first.content) < 1024
        assert first.headers.get("content-encoding", "identity") == ("identity" if is_short else coding)
        again = {"If-None-Match": first.headers["etag"], "Accept-Encoding": coding}
        second = direct_server.anybody.get(f"/{file}", headers=again)
        assert (second.status_code, second.content) == (304, b"")
        assert second.headers["etag"] == first.headers["etag"]


def test_all_of_the_page_is_less_than_60_kb(direct_server: Server) -> None:
    headers = {"Accept-Encoding": "gzip"}
    files = [direct_server.anybody.get(f"/{file}", headers=headers) for file in FILES]
    named = set(re.findall(r'(?:src|href)="\./(web/[^"]+)"', files[0].text))
    assert named == set(FILES[1:])
    assert sum(int(file.headers["content-length"]) for file in files) < 60_000


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nothing.js", "/web/..%2fdocs.html", "/web/index.html", "/web/__init__.py"]
)
def test_no_other_file_is_served(server: Server, path: str) -> None:
    assert server.anybody.get(path).status_code == 404


def test_the_page_can_be_switched_off(tmp_path: Path) -> None:
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), WEB="false") as server:
        assert "Web page" not in server.greeting
        for path in ("/", "/web/app.js"):
            assert server.anybody.get(path).status_code == 404
        assert server.anybody.get("/docs").status_code == 200


@browser.needs_browser
@better_auth.needs_better_auth
class TestBetterAuth:
    def test_who_is_signed_in_there_is_signed_in_here(self, open_screen: Open, tmp_path: Path) -> None:
        with (
            better_auth.better_auth(allows_other_origins=True) as issuer,
            serving(tmp_path, sqlite_url(tmp_path / "todo.db"), BETTER_AUTH_URL=issuer.url) as server,
        ):
            ann = issuer.sign_up("ann")
            screen = open_screen()
            screen.page.goto(server.url)
            expect(screen.page.locator("#sign-in")).to_be_visible()
            expect(screen.page.locator("#issuer")).to_have_attribute("href", issuer.url)
            expect(screen.page.locator("#issuer-away")).to_be_hidden()
            cookies: Any = [
                {"name": name, "value": value, "url": issuer.url} for name, value in ann.browser.cookies.items()
            ]
            screen.context.add_cookies(cookies)
            screen.page.get_by_role("button", name="try again").click()
            expect(screen.page.locator("#who")).to_have_text("ann")
            screen.add("Buy milk")
            screen.has_saved()
            screen.page.reload()
            screen.shows("Buy milk")
            expect(screen.page.locator("#sign-out")).to_be_hidden()  # one signs out there
            assert {re.sub("(?<=[0-9])/.*", "", url) for url in screen.asked} == {server.url, issuer.url}

    def test_what_to_set_up_is_said_where_the_token_can_not_be_had(self, open_screen: Open, tmp_path: Path) -> None:
        with (
            better_auth.better_auth() as issuer,
            serving(tmp_path, sqlite_url(tmp_path / "todo.db"), BETTER_AUTH_URL=issuer.url) as server,
        ):
            screen = open_screen()
            screen.page.goto(server.url)
            expect(screen.page.locator("#issuer-away")).to_contain_text(f"{issuer.url}/api/auth/token")
            expect(screen.page.locator("#issuer-away")).to_contain_text(f"allow {server.url} in its CORS headers")
            screen.page.get_by_label("Token").fill(issuer.sign_up("ann").token())
            screen.page.keyboard.press("Enter")
            expect(screen.page.locator("#tasks")).to_be_visible()
            blocked = [text for text in screen.complaints if "CORS policy" in text]
            assert blocked == screen.complaints
            screen.complaints.clear()
