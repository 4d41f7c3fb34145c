"""The web page for everybody: keyboard alone, assistive technology, small screens, dark and light."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support import browser
from tests.support.browser import Screen
from tests.support.serving import Person, Server
from tests.web.conftest import Open

AXE = Path(__file__).parents[1] / "node_tools" / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [
    browser.needs_browser,
    pytest.mark.skipif(
        not os.environ.get("CI") and not AXE.exists(), reason="needs Node.js and `make tests/node_tools/node_modules`"
    ),
]


@pytest.fixture
def server(sqlite_server: Server) -> Server:
    return sqlite_server


def check_with_axe(screen: Screen) -> None:
    """All rules of axe, best practices included."""
    if not screen.page.evaluate("'axe' in window"):
        screen.page.evaluate(AXE.read_text())
    found = screen.page.evaluate("axe.run()")
    assert found["passes"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    # What lies under a dialog, and which colours a person has set, axe can't tell.
    assert {one["id"] for one in found["incomplete"]} <= {"color-contrast"}


def fill(person: Person) -> None:
    person.add("Buy milk")
    fields: dict[str, Any] = {
        "title": "Call the dentist",
        "notes": "Ask about Friday",
        "due": {"date": "2026-01-01", "time": "17:30"},
        "priority": "high",
        "labels": ["health", "phone"],
    }
    person.api.post("/api/tasks", json=fields)
    done = person.add("Write a letter")
    person.api.patch(f"/api/tasks/{done['id']}", json={"completed": True})


def open_editor(screen: Screen) -> None:
    screen.page.get_by_role("button", name="Call the dentist", exact=True).click()


def remove(screen: Screen) -> None:
    screen.page.get_by_role("button", name="Remove: Buy milk").click()
    expect(screen.page.locator(".notice")).to_be_visible()


def show_keys(screen: Screen) -> None:
    screen.page.get_by_role("button", name="Keys").click()


def go_offline(screen: Screen) -> None:
    screen.context.set_offline(True)
    expect(screen.page.locator("#status")).to_be_visible()


STATES = {"list": lambda _: None, "editor": open_editor, "removal": remove, "keys": show_keys, "offline": go_offline}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "context", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}], ids=str
)
def test_axe_finds_nothing(
    open_screen: Open, server: Server, person: Person, state: str, context: dict[str, Any]
) -> None:
    fill(person)
    screen = open_screen(**context, reduced_motion="reduce").sign_in(server, person)
    STATES[state](screen)
    check_with_axe(screen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_before_the_first_task(
    open_screen: Open, server: Server, person: Person, scheme: str
) -> None:
    screen = open_screen(color_scheme=scheme)
    screen.page.goto(server.url)
    expect(screen.page.locator("#sign-in")).to_be_visible()
    check_with_axe(screen)
    screen.sign_in(server, person)
    check_with_axe(screen)


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_cut_off_on_a_narrow_screen(open_screen: Open, server: Server, person: Person, state: str) -> None:
    """320 CSS pixels: a small phone, or 1280 at 400 % (WCAG 2.2, 1.4.10)."""
    fill(person)
    person.add("x" * 400)
    person.api.post("/api/tasks", json={"title": "y", "labels": ["z" * 60], "notes": "n" * 900})
    screen = open_screen(viewport={"width": 320, "height": 640}).sign_in(server, person)
    STATES[state](screen)
    assert screen.page.evaluate("document.documentElement.scrollWidth") <= 320
    outside = """[...document.querySelectorAll("body *")].filter((one) => {
      const { left, right, width } = one.getBoundingClientRect();
      return width > 1 && (left < 0 || right > 320) && getComputedStyle(one).overflow !== "hidden";
    }).map((one) => one.outerHTML.slice(0, 80))"""
    assert screen.page.evaluate(outside) == []


def test_a_title_that_is_written_from_right_to_left_is_shown_so(screen: Screen) -> None:
    screen.add("שלום עולם", "Hello")
    for title, direction in (("שלום עולם", "rtl"), ("Hello", "ltr")):
        assert screen.row(title).locator(".title").evaluate("title => getComputedStyle(title).direction") == direction


def test_nothing_moves_where_that_is_not_wanted(open_screen: Open, server: Server, person: Person) -> None:
    screen = open_screen(reduced_motion="reduce").sign_in(server, person)
    screen.add("Buy milk")
    moving = """[...document.querySelectorAll("*")].filter((one) => {
      const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(one);
      return animationName !== "none" || transitionDuration !== "0s" || scrollBehavior === "smooth";
    }).length"""
    assert screen.page.evaluate(moving) == 0


def test_a_walk_with_the_keyboard_alone(open_screen: Open, server: Server, person: Person) -> None:
    screen = open_screen()
    page, press = screen.page, screen.page.keyboard.press
    page.goto(server.url)
    expect(page.locator("#sign-in")).to_be_visible()
    page.keyboard.type(person.token)
    press("Enter")
    expect(page.locator("#tasks")).to_be_visible()
    assert screen.focused == "Add a task"
    for title in ("One", "Two", "Three"):
        page.keyboard.type(title)
        press("Enter")
    screen.shows("Three", "Two", "One")
    screen.has_saved()

    order = []
    for _ in range(9):
        press("Tab")
        order.append(screen.focused)
    views = ["Today 0", "Upcoming 0", "All 3", "Done 0"]
    assert order[:8] == [
        *views,
        "Search",
        "Completed: Three",
        "Three",
        "Remove: Three",
    ]  # one row alone is in the order
    assert order[8] not in {"Completed: Two", "Two", "Remove: Two"}
    press("Shift+Tab")
    press("Shift+Tab")
    assert screen.focused == "Three"

    for key, name in (
        ("ArrowDown", "Two"),
        ("j", "One"),
        ("j", "One"),
        ("k", "Two"),
        ("ArrowUp", "Three"),
        ("End", "One"),
        ("Home", "Three"),
    ):
        press(key)
        assert screen.focused == name, key
    press("x")
    screen.shows("Two", "One", "Three")
    assert screen.focused == "Three"
    press("Home")
    press("e")
    assert screen.focused == "Title"
    press("Control+a")
    page.keyboard.type("Two xdu?")  # letters are text here
    press("Enter")
    screen.shows("Two xdu?", "One", "Three")
    assert screen.focused == "Two xdu?"
    press("Enter")
    press("Escape")
    assert screen.focused == "Two xdu?"
    press("d")
    screen.shows("One", "Three")
    assert screen.focused == "One"
    for name in ("Remove: One", "Undo"):
        press("Tab")
        assert screen.focused == name
    press("Enter")
    screen.shows("Two xdu?", "One", "Three")
    assert screen.focused == "Two xdu?"
    press("?")
    expect(page.locator("#keys")).to_be_visible()
    press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    assert screen.focused == "Two xdu?"
    press("/")
    page.keyboard.type("one")
    screen.shows("One")
    press("Shift+Tab")
    assert screen.focused == "Done 1"
    press("Space")
    screen.shows()


def test_the_focus_goes_on_where_there_is_no_more_to_show(open_screen: Open, server: Server, person: Person) -> None:
    for number in range(60):
        person.add(f"Task {number}")
    screen = open_screen(viewport={"width": 800, "height": 300})
    screen.page.add_init_script("IntersectionObserver = class { observe() {} unobserve() {} }")
    screen.sign_in(server, person)
    screen.page.get_by_role("button", name="Show more (10)").focus()
    screen.page.keyboard.press("Enter")
    expect(screen.page.locator("#list > li")).to_have_count(60)
    assert screen.focused.startswith("Task ")


def test_letters_do_nothing_outside_the_list(screen: Screen) -> None:
    """WCAG 2.2, 2.1.4."""
    screen.add("Buy milk")
    screen.page.locator("#search").focus()
    screen.page.keyboard.type("x?du")
    screen.page.locator("#search").fill("")
    screen.page.locator("#show-keys").focus()
    screen.page.keyboard.type("xdu?/n")
    screen.shows("Buy milk")
    expect(screen.page.get_by_role("checkbox")).not_to_be_checked()
    expect(screen.page.locator("#keys")).to_be_hidden()


def test_what_happens_is_announced(screen: Screen) -> None:
    announcer = screen.page.get_by_role("status").last
    screen.add("Buy milk")
    expect(announcer).to_have_text("Added: Buy milk")
    screen.page.locator(".title").focus()
    for key, text in (
        ("x", "Completed: Buy milk"),
        ("x", "Reopened: Buy milk"),
        ("d", "Removed: Buy milk. Undo with u in the list, or with the button after it."),
    ):
        screen.page.keyboard.press(key)
        expect(announcer).to_have_text(text)
    assert screen.focused == "Add a task"  # the list is empty
    screen.page.get_by_role("button", name="Undo").press("Enter")
    expect(announcer).to_have_text("Restored: Buy milk")
    screen.context.set_offline(True)
    expect(announcer).to_have_text("Offline. What you do is kept here, and sent when the service can be reached.")
    screen.context.set_offline(False)
    expect(announcer).to_have_text("Online again.")
