"""A real browser that can connect to this machine only."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.serving import Person, Server

LAN_HOST = "todo.lan"
"""Leads to this machine, but is no name of it: pages get what they get over plain HTTP from another machine."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs Chromium")

expect.set_options(timeout=15_000)  # milliseconds; a slow machine is not a failure


@contextmanager
def launch() -> Iterator[Browser]:
    """Its event loop is this thread's while it runs: no test that has one of its own can run meanwhile."""
    with sync_playwright() as playwright:
        rules = f"MAP {LAN_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-quic", f"--host-resolver-rules={rules}"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Screen:
    """The service's web page as one person sees it, with all that it asked for and complained about."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(ignore_https_errors=True, **context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if not message.text.startswith("Failed to load resource"):  # a refusal, or no network
            self.complaints.append(message.text)

    def sign_in(self, server: Server, person: Person) -> "Screen":
        self.page.goto(f"{server.url}/#token={person.token}")
        expect(self.page.locator("#tasks")).to_be_visible()
        expect(self.page.locator("#empty")).not_to_have_text("Loading…")
        return self

    def add(self, *titles: str) -> None:
        for title in titles:
            self.page.locator("#title").fill(title)
            self.page.keyboard.press("Enter")

    def row(self, title: str) -> Any:
        return self.page.locator("#list > li", has=self.page.locator(".title", has_text=title))

    def shows(self, *titles: str) -> None:
        expect(self.page.locator("#list .title")).to_have_text(list(titles))

    def show(self, view: str) -> None:
        self.page.locator(f"#views [data-view={view}]").click()

    def has_saved(self) -> None:
        """Waits until everything has been sent. There is no event for it."""
        queues = "Object.entries(localStorage).filter(([key, value]) => !key.endsWith(' ids') && value !== '[]').length"
        deadline = time.monotonic() + 15
        while self.page.evaluate(queues):
            assert time.monotonic() < deadline, self.page.evaluate("JSON.stringify(localStorage)")
            self.page.wait_for_timeout(5)

    @property
    def focused(self) -> str:
        """The name of what has the focus: its label, its text or its id."""
        name: str = self.page.evaluate(
            "(({ ariaLabel, textContent, id, labels }) => "
            "ariaLabel ?? (textContent.trim() || labels?.[0]?.textContent.trim() || id))(document.activeElement)"
        )
        return name
