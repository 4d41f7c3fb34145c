"""Takes the screenshots of the web page that stand in the README: `make screenshots`."""

import re
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Page

from tests.support import browser
from tests.support.serving import serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"

TASKS: list[dict[str, Any]] = [
    {"title": "Renew the passport", "due": 12, "labels": ["papers"]},
    {"title": "Read “The Pragmatic Programmer”"},
    {"title": "Book the train to Vienna", "due": 3, "time": "09:15", "labels": ["travel"]},
    {"title": "Water the plants", "due": 0},
    {"title": "Call the dentist", "due": -1, "priority": "high", "labels": ["health"], "notes": "Ask about Friday."},
    {"title": "Write the release notes", "due": 1, "priority": "medium", "labels": ["work"]},
    {"title": "Buy milk", "labels": ["shop"]},
    {"title": "Send the invoice"},
]


def add_tasks(link: str) -> None:
    url, token = link.split("/#token=")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as api:
        made = {}
        for task in TASKS:
            days, time = task.get("due"), task.get("time")
            due = None if days is None else {"date": str(date.today() + timedelta(days)), "time": time}  # noqa: DTZ011
            if due is not None and time is None:
                del due["time"]
            made = api.post("/api/tasks", json={**task, "due": due}).raise_for_status().json()
        api.patch(f"/api/tasks/{made['id']}", json={"completed": True}).raise_for_status()


def edit(page: Page) -> None:
    page.get_by_role("button", name="Call the dentist", exact=True).click()


def remove(page: Page) -> None:
    page.get_by_role("button", name="Remove: Write the release notes").click()
    page.mouse.move(0, 0)


def main() -> None:
    wide, phone = {"width": 860, "height": 720}, {"width": 360, "height": 720}
    pictures: dict[str, Any] = {
        "light": ({"viewport": wide}, edit),
        "dark": ({"viewport": wide, "color_scheme": "dark"}, remove),
        "phone": ({"viewport": phone, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}, lambda _: None),
    }
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, browser.launch() as chromium:
        own = {"BETTER_AUTH_SECRET": "", "XDG_DATA_HOME": name, "TODO_USER": "ann"}
        with serving(Path(name), "", **own) as server:
            [link] = re.findall(r"\S+#token=\S+", server.greeting)
            add_tasks(link)
            for picture, (context, act) in pictures.items():
                page = chromium.new_context(**context).new_page()
                page.goto(link)
                page.locator("#list > li").first.wait_for()
                act(page)
                page.screenshot(path=IMAGES / f"{picture}.png", animations="disabled")


if __name__ == "__main__":
    main()
