"""What a person can do on the web page, in a real browser."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support import browser
from tests.support.browser import Screen
from tests.support.serving import Person, Server, signed
from tests.web.conftest import Open

pytestmark = browser.needs_browser

TODAY = date.today()  # noqa: DTZ011 - the browser's


def only(person: Person) -> dict[str, Any]:
    [task] = person.tasks()
    return task


def test_a_task_is_added_at_once_with_the_keyboard(screen: Screen, person: Person) -> None:
    assert screen.focused == "Add a task"
    screen.page.keyboard.type("  Buy milk ")
    screen.page.keyboard.press("Enter")
    screen.shows("Buy milk")
    screen.page.keyboard.type("Buy bread")
    screen.page.keyboard.press("Enter")
    screen.shows("Buy bread", "Buy milk")
    screen.has_saved()
    assert [task["title"] for task in person.tasks()] == ["Buy bread", "Buy milk"]


def test_a_blank_title_adds_nothing(screen: Screen) -> None:
    screen.add("  ")
    screen.shows()


def test_a_task_is_completed_and_reopened(screen: Screen, person: Person) -> None:
    screen.add("Buy milk", "Buy bread")
    screen.row("Buy bread").get_by_role("checkbox").click()
    screen.shows("Buy milk", "Buy bread")  # what is done comes last
    screen.show("done")
    screen.shows("Buy bread")
    screen.row("Buy bread").get_by_role("checkbox").click()
    screen.shows()
    screen.has_saved()
    assert not any(task["completed"] for task in person.tasks())


def test_every_field_is_edited_in_place(screen: Screen, person: Person) -> None:
    screen.add("Call")
    screen.page.get_by_role("button", name="Call", exact=True).click()
    assert screen.focused == "Title"
    for label, value in {
        "Title": "Call the dentist",
        "Notes": "Ask about Friday\n\nand the bill",
        "Due": f"{TODAY:%Y-%m-%d}",
        "Time": "17:30",
        "Labels": "health , phone,health",
    }.items():
        screen.page.get_by_label(label, exact=True).fill(value)
    screen.page.get_by_label("Priority").select_option("high")
    screen.page.get_by_label("Title").press("Enter")
    expect(screen.row("Call the dentist").locator(".facts > *")).to_have_text(
        ["Today 17:30", "High priority", "health", "phone", "Ask about Friday"]
    )
    assert screen.focused == "Call the dentist"
    screen.has_saved()
    task = only(person)
    assert task["title"] == "Call the dentist"
    assert task["notes"] == "Ask about Friday\n\nand the bill"
    assert task["due"] == {"date": f"{TODAY:%Y-%m-%d}", "time": "17:30"}
    assert (task["priority"], task["labels"]) == ("high", ["health", "phone"])

    screen.page.keyboard.press("Enter")
    for label in ("Notes", "Due", "Time", "Labels"):
        screen.page.get_by_label(label, exact=True).fill("")
    screen.page.get_by_label("Priority").select_option("")
    screen.page.get_by_role("button", name="Save").click()
    expect(screen.row("Call the dentist").locator(".facts > *")).to_have_count(0)
    screen.has_saved()
    task = only(person)
    assert [task["notes"], task["due"], task["priority"], task["labels"]] == [None, None, None, []]


def test_escape_leaves_and_what_is_not_touched_stays(screen: Screen, person: Person) -> None:
    due = {"date": "2026-12-24", "time": "17:30", "time_zone": "Europe/Berlin"}
    fields = {"title": "One\nTwo", "notes": "a\r\nb", "due": due, "labels": ["one, two", "three"]}
    made = person.api.post("/api/tasks", json=fields).json()
    screen.page.locator(".title").click()
    screen.page.get_by_label("Title").fill("Nothing of this is kept")
    screen.page.keyboard.press("Escape")
    screen.page.keyboard.press("e")
    screen.page.get_by_label("Notes").press("Control+Enter")
    assert only(person) == made

    screen.page.keyboard.press("e")
    expect(screen.page.locator(".zone")).to_have_text("The time is that of Europe/Berlin.")
    screen.page.get_by_label("Time").fill("18:00")
    screen.page.get_by_label("Labels").fill("one, two, four")
    screen.page.get_by_label("Labels").press("Enter")
    screen.has_saved()
    changed = only(person)
    assert changed["due"] == {**due, "time": "18:00"}
    assert changed["labels"] == ["one, two", "four"]
    assert (changed["title"], changed["notes"]) == ("One\nTwo", "a\r\nb")


def test_what_can_not_be_saved_is_said_and_stays_open(screen: Screen, person: Person) -> None:
    screen.add("Buy milk")
    screen.has_saved()
    screen.page.locator(".title").click()
    screen.page.get_by_label("Title").fill("  ")
    screen.page.keyboard.press("Enter")
    assert screen.page.get_by_label("Title").evaluate("field => field.validationMessage") == "Give the task a title."
    screen.page.get_by_label("Title").fill("Buy oat milk")
    screen.page.get_by_label("Time").fill("17:30")
    screen.page.keyboard.press("Enter")
    message = screen.page.get_by_label("Due").evaluate("field => field.validationMessage")
    assert message == "Give the date of this time, too."
    assert only(person)["title"] == "Buy milk"
    screen.page.get_by_label("Due").fill("2026-12-24")
    screen.page.keyboard.press("Enter")
    screen.has_saved()
    assert only(person)["title"] == "Buy oat milk"


def test_what_the_service_refuses_is_said_and_taken_back(screen: Screen) -> None:
    screen.add("x" * 501)
    expect(screen.page.locator(".notice")).to_contain_text(
        "xxx…” was not added: The title has 501 characters; 500 is the most."
    )
    screen.shows()
    expect(screen.page.locator("#title")).to_have_value("x" * 501)
    screen.page.get_by_role("button", name="Dismiss").click()
    expect(screen.page.locator(".notice")).to_have_count(0)


def test_a_removal_is_undone_with_the_mouse_and_with_the_keyboard(screen: Screen, person: Person) -> None:
    screen.add("One", "Two", "Three")
    screen.has_saved()
    before = person.tasks()
    screen.row("Two").get_by_role("button", name="Remove: Two").click()
    screen.shows("Three", "One")
    assert screen.focused == "One"  # it has taken the place of what was removed
    screen.page.get_by_role("button", name="Undo").click()
    screen.shows("Three", "Two", "One")
    assert screen.focused == "Two"
    screen.page.keyboard.press("d")
    screen.page.keyboard.press("Delete")
    screen.shows("Three")
    screen.page.keyboard.press("u")
    screen.page.keyboard.press("u")
    screen.shows("Three", "Two", "One")
    screen.has_saved()
    assert [task["title"] for task in person.tasks()] == ["Three", "Two", "One"]
    assert {task["id"] for task in person.tasks()} == {task["id"] for task in before}


def test_the_views_and_where_a_new_task_goes(screen: Screen, person: Person) -> None:
    for days, title in ((-1, "Late"), (0, "Now"), (1, "Soon"), (30, "Later")):
        person.api.post("/api/tasks", json={"title": title, "due": {"date": f"{TODAY + timedelta(days):%Y-%m-%d}"}})
    screen.add("Some day")
    screen.shows("Some day", "Later", "Soon", "Now", "Late")
    screen.show("today")
    screen.shows("Late", "Now")
    expect(screen.row("Late").locator(".due")).to_have_text("Yesterday")
    expect(screen.row("Late").locator(".due")).to_have_class("due late")
    screen.add("Also now")
    screen.shows("Late", "Also now", "Now")
    screen.show("upcoming")
    screen.shows("Soon", "Later")
    screen.add("Also soon")
    screen.shows("Also soon", "Soon", "Later")
    screen.show("done")
    screen.shows()
    expect(screen.page.locator("#views button")).to_have_text(["Today 3", "Upcoming 3", "All 7", "Done 0"])
    screen.add("From there")
    expect(screen.page.locator("#views [aria-pressed=true]")).to_have_text("All 8")
    assert screen.row("From there").is_visible()


def test_the_search_finds_as_one_types(screen: Screen, person: Person) -> None:
    for fields in (
        {"title": "Buy MILK"},
        {"title": "b", "notes": "of milk"},
        {"title": "c", "labels": ["Milk"]},
        {"title": "d"},
    ):
        person.api.post("/api/tasks", json=fields)
    screen.shows("d", "c", "b", "Buy MILK")
    screen.page.locator("#search").press_sequentially("mil")
    screen.shows("c", "b", "Buy MILK")
    screen.page.locator("#search").press_sequentially("x")
    expect(screen.page.locator("#empty")).to_have_text("Nothing matches.")
    screen.add("Buy bread")  # it is shown, and not hidden by the search
    screen.shows("Buy bread", "d", "c", "b", "Buy MILK")


def test_a_long_list_is_shown_as_one_scrolls(screen: Screen, person: Person, server: Server) -> None:
    for number in range(250):
        person.api.post("/api/tasks", json={"title": f"Task {number}"})
    screen.page.reload()
    screen.sign_in(server, person)
    rows = screen.page.locator("#list > li")
    expect(screen.page.locator("#views [data-view=all]")).to_have_text("All 250")
    assert rows.count() < 250
    screen.page.locator("#list .title").first.focus()
    screen.page.keyboard.press("End")
    expect(rows).to_have_count(250)
    assert screen.focused == "Task 0"


def test_what_one_page_does_the_other_shows(open_screen: Open, server: Server, person: Person) -> None:
    one, other = (open_screen().sign_in(server, person) for _ in range(2))
    one.add("Buy milk")
    other.shows("Buy milk")
    other.row("Buy milk").get_by_role("checkbox").click()
    expect(one.row("Buy milk").get_by_role("checkbox")).to_be_checked()
    one.row("Buy milk").get_by_role("button", name="Remove").click()
    other.shows()
    one.page.get_by_role("button", name="Undo").click()
    other.shows("Buy milk")


def test_it_works_below_a_path_behind_a_proxy(open_screen: Open, nginx_server: Server) -> None:
    person = nginx_server.person()
    one, other = (open_screen().sign_in(nginx_server, person) for _ in range(2))
    one.add("Buy milk")
    other.shows("Buy milk")
    one.has_saved()
    assert only(person)["title"] == "Buy milk"
    with one.context.expect_page() as opened:
        one.page.get_by_role("link", name="API docs").click()
    expect(opened.value.locator(".auth-wrapper .authorize")).to_have_class("btn authorize locked")


def test_an_edit_that_is_open_survives_what_others_do(screen: Screen, person: Person) -> None:
    screen.add("Buy milk")
    screen.has_saved()
    screen.page.locator(".title").click()
    screen.page.get_by_label("Title").fill("Buy oat milk")
    for title in ("Another", "One more"):
        person.add(title)
    screen.page.locator("#list > li").nth(2).wait_for()
    assert screen.focused == "Title"
    expect(screen.page.get_by_label("Title")).to_have_value("Buy oat milk")
    screen.show("done")
    screen.page.get_by_label("Title").press("Enter")
    screen.show("all")
    screen.shows("One more", "Another", "Buy oat milk")


def test_what_is_done_offline_is_sent_later(screen: Screen, person: Person) -> None:
    screen.add("Before")
    screen.has_saved()
    screen.context.set_offline(True)
    expect(screen.page.locator("#status")).to_have_text("Offline")
    screen.add("Offline")
    screen.row("Before").get_by_role("checkbox").click()
    expect(screen.page.locator("#status")).to_have_text("Offline, 2 to send")
    assert [task["title"] for task in person.tasks()] == ["Before"]
    screen.context.set_offline(False)
    expect(screen.page.locator("#status")).to_be_hidden()
    screen.has_saved()
    assert [(task["title"], task["completed"]) for task in person.tasks()] == [("Offline", False), ("Before", True)]


def test_a_page_that_nobody_sees_gives_its_stream_back_and_catches_up_later(
    open_screen: Open, server: Server, person: Person
) -> None:
    show = """(state) => {
      Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    screen = open_screen()
    with screen.page.expect_response("**/api/events*"):
        screen.sign_in(server, person)
    with screen.page.expect_event("requestfailed", lambda request: "/api/events" in request.url):
        screen.page.evaluate(show, "hidden")
    person.add("Meanwhile")
    expect(screen.page.locator("#status")).to_be_hidden()
    with screen.page.expect_request("**/api/events*"):
        screen.page.evaluate(show, "visible")
    screen.shows("Meanwhile")


@pytest.mark.parametrize("choice", ["Keep theirs", "Use mine"])
def test_a_conflict_is_shown_and_never_overwritten(screen: Screen, person: Person, choice: str) -> None:
    screen.add("Original")
    screen.has_saved()
    screen.page.locator(".title").click()
    task = only(person)
    person.api.patch(f"/api/tasks/{task['id']}", json={"title": "Theirs"})
    screen.page.get_by_label("Title").fill("Mine")
    screen.page.get_by_label("Title").press("Enter")
    expect(screen.page.locator(".notice p")).to_have_text(
        "“Theirs” has changed elsewhere, so this was not saved: the title “Mine”."
    )
    screen.shows("Theirs")
    assert only(person)["title"] == "Theirs"
    screen.page.get_by_role("button", name=choice).click()
    screen.shows("Theirs" if choice == "Keep theirs" else "Mine")
    screen.has_saved()
    assert only(person)["title"] == ("Theirs" if choice == "Keep theirs" else "Mine")


def test_a_change_of_ones_own_is_no_conflict(screen: Screen, person: Person) -> None:
    screen.add("Buy milk")
    screen.has_saved()
    screen.page.locator(".title").focus()
    for key in ("x", "e"):  # the change is still on its way when the editor opens
        screen.page.keyboard.press(key)
    screen.has_saved()
    screen.page.get_by_label("Title").fill("Buy oat milk")
    screen.page.keyboard.press("Enter")
    screen.has_saved()
    expect(screen.page.locator(".notice")).to_have_count(0)
    assert (only(person)["title"], only(person)["completed"]) == ("Buy oat milk", True)


def test_what_has_changed_elsewhere_is_not_removed(screen: Screen, person: Person) -> None:
    screen.add("Buy milk")
    screen.has_saved()
    screen.context.set_offline(True)
    expect(screen.page.locator("#status")).to_be_visible()
    screen.row("Buy milk").get_by_role("button", name="Remove").click()
    person.api.patch(f"/api/tasks/{only(person)['id']}", json={"notes": "important"})
    screen.context.set_offline(False)
    expect(screen.page.locator(".notice p")).to_have_text("“Buy milk” has changed elsewhere, so it was not removed.")
    screen.shows("Buy milk")
    screen.page.get_by_role("button", name="Remove it").click()
    screen.has_saved()
    assert person.tasks() == []


def test_what_was_added_offline_is_in_order(screen: Screen, person: Person) -> None:
    screen.context.set_offline(True)
    expect(screen.page.locator("#status")).to_be_visible()
    titles = [f"Task {number}" for number in range(6)]
    screen.add(*titles)
    screen.shows(*reversed(titles))
    screen.context.set_offline(False)
    screen.has_saved()
    screen.shows(*reversed(titles))
    assert [task["title"] for task in person.tasks()] == titles[::-1]


def test_two_tabs_of_one_browser_lose_nothing_of_each_other(open_screen: Open, server: Server, person: Person) -> None:
    one = open_screen().sign_in(server, person)
    other = one.context.new_page()
    other.goto(f"{server.url}/#token={person.token}")
    expect(other.locator("#empty")).to_have_text("Nothing to do yet. Type a task above, and press Enter.")
    add = """async (name) => {
      for (let number = 0; number < 40; number += 1) {
        document.getElementById("title").value = `${name} ${number}`;
        document.getElementById("add").requestSubmit();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }"""
    start = f"name => {{ window.adding = ({add})(name); }}"
    one.page.evaluate(start, "one")
    other.evaluate(start, "other")
    for page in (one.page, other):
        page.evaluate("window.adding")
    one.has_saved()
    assert len(person.tasks()) == 80


def test_what_was_typed_is_not_lost(screen: Screen, person: Person) -> None:
    person.add("Other")
    screen.add("Buy milk")
    screen.has_saved()
    screen.page.get_by_role("button", name="Buy milk", exact=True).click()
    screen.page.get_by_label("Notes").fill("n" * 8193)
    screen.page.get_by_label("Title").press("Enter")
    expect(screen.page.locator(".notice")).to_contain_text("The notes has 8193 characters; 8192 is the most.")
    screen.page.get_by_role("button", name="Edit again").click()
    expect(screen.page.get_by_label("Notes")).to_have_value("n" * 8193)
    screen.page.get_by_label("Notes").fill("shorter")
    screen.page.get_by_role("button", name="Other", exact=True).click()  # which leaves the other one
    expect(screen.page.get_by_label("Title")).to_have_value("Other")
    screen.page.keyboard.press("Escape")
    screen.has_saved()
    assert {task["title"]: task["notes"] for task in person.tasks()} == {"Other": None, "Buy milk": "shorter"}

    screen.page.get_by_role("button", name="Buy milk", exact=True).click()
    screen.page.get_by_label("Notes").fill("for later")
    for task in person.tasks():
        person.api.delete(f"/api/tasks/{task['id']}")
    expect(screen.page.locator("#list > li")).to_have_count(1)
    screen.page.get_by_label("Title").press("Enter")
    screen.page.get_by_role("button", name="Add it as a new task").click()
    screen.has_saved()
    assert only(person)["notes"] == "for later"


def test_the_row_in_which_one_types_does_not_move(screen: Screen, person: Person) -> None:
    screen.add("One", "Two", "Three")
    screen.has_saved()
    screen.page.get_by_role("button", name="Two", exact=True).click()
    screen.page.evaluate("document.activeElement.addEventListener('blur', () => (window.blurred = true))")
    three, _, one = person.tasks()
    for task in (three, one):
        person.api.patch(f"/api/tasks/{task['id']}", json={"completed": True})
    person.add("Four")
    expect(screen.page.locator("#list > li .title")).to_have_text(["Four", "Three", "One"])
    assert (
        screen.page.evaluate("[...document.querySelectorAll('#list > li')].findIndex(one => one.querySelector('form'))")
        == 1
    )
    assert not screen.page.evaluate("window.blurred")


def test_many_notices_leave_room_for_the_list(screen: Screen, person: Person) -> None:
    screen.add(*(f"Task {number}" for number in range(12)))
    screen.has_saved()
    screen.context.set_offline(True)
    expect(screen.page.locator("#status")).to_be_visible()
    for task in person.tasks():
        screen.row(task["title"]).first.get_by_role("button", name="Remove").click()
        person.api.patch(f"/api/tasks/{task['id']}", json={"notes": "important"})
    screen.context.set_offline(False)
    expect(screen.page.locator(".notice")).to_have_count(12)
    expect(screen.page.locator("#list > li")).to_have_count(12)
    screen.page.locator("#list .title").first.click()
    expect(screen.page.get_by_label("Title")).to_be_visible()


def test_a_key_that_is_held_down_removes_one_task(screen: Screen) -> None:
    screen.add("One", "Two", "Three")
    screen.page.locator("#list .title").first.focus()
    for _ in range(3):
        screen.page.keyboard.down("Delete")  # repeats
    screen.page.keyboard.up("Delete")
    screen.shows("Two", "One")


def open_for_seconds(open_screen: Open, server: Server, person: Person) -> Screen:
    """With a token that expires soon."""
    screen = open_screen()
    soon = datetime.now(UTC) + timedelta(seconds=3)
    screen.page.goto(f"{server.url}/#token={signed({'sub': person.user_id, 'exp': soon})}")
    return screen


class TestSignIn:
    def test_the_token_of_the_link_leaves_the_address_bar(self, screen: Screen, server: Server, person: Person) -> None:
        assert screen.page.url == f"{server.url}/"
        assert person.token not in screen.page.evaluate(
            "JSON.stringify([localStorage, sessionStorage, document.cookie])"
        )
        screen.page.reload()
        expect(screen.page.locator("#sign-in")).to_be_visible()
        assert screen.focused == "Token"
        screen.page.goto(f"{server.url}/#token={person.token}")  # the page is open: only the fragment changes
        expect(screen.page.locator("#tasks")).to_be_visible()
        assert screen.page.url == f"{server.url}/"

    @pytest.mark.parametrize("form", ["{}", "Bearer {}", '{{"token":"{}"}}', "  {}\n"])
    def test_a_token_can_be_pasted(self, open_screen: Open, server: Server, person: Person, form: str) -> None:
        person.add("Buy milk")
        screen = open_screen()
        screen.page.goto(f"{server.url}/")
        screen.page.get_by_label("Token").fill(form.format(person.token))
        screen.page.keyboard.press("Enter")
        screen.shows("Buy milk")

    def test_a_wrong_token_is_named_as_such(self, open_screen: Open, server: Server) -> None:
        screen = open_screen()
        screen.page.goto(f"{server.url}/")
        soon = datetime.now(UTC) + timedelta(minutes=5)
        for token, reason in {
            "nonsense": "That is no token, or it has expired.",
            signed({"exp": 1}): "That is no token, or it has expired.",
            signed({"exp": soon}, secret="x" * 32): "The service does not accept this token.",
        }.items():
            screen.page.get_by_label("Token").fill(token)
            screen.page.get_by_role("button", name="Sign in").click()
            expect(screen.page.locator("#sign-in-reason")).to_have_text(reason)

    def test_an_expired_token_is_asked_for_again_and_nothing_is_lost(
        self, open_screen: Open, server: Server, person: Person
    ) -> None:
        screen = open_for_seconds(open_screen, server, person)
        screen.add("Before")
        expect(screen.page.locator("#sign-in-reason")).to_have_text("Your sign-in has expired.", timeout=40_000)
        screen.shows("Before")
        screen.add("Meanwhile")
        screen.page.get_by_label("Token").fill(person.token)
        screen.page.keyboard.press("Enter")
        expect(screen.page.locator("#sign-in")).to_be_hidden()
        screen.has_saved()
        assert [task["title"] for task in person.tasks()] == ["Meanwhile", "Before"]

    def test_another_person_sees_and_sends_nothing_of_the_first(
        self, open_screen: Open, server: Server, person: Person
    ) -> None:
        screen, other = open_for_seconds(open_screen, server, person), server.person()
        screen.add("Of the first")
        expect(screen.page.locator("#sign-in-reason")).to_be_visible(timeout=40_000)
        screen.add("Kept for the first")
        screen.page.get_by_label("Token").fill(other.token)
        screen.page.keyboard.press("Enter")
        screen.shows()
        screen.add("Of the other")
        screen.shows("Of the other")
        screen.page.reload()
        screen.sign_in(server, other)
        screen.shows("Of the other")
        assert [task["title"] for task in other.tasks()] == ["Of the other"]
        screen.page.get_by_role("button", name="Sign out").click()
        expect(screen.page.locator("#tasks")).to_be_hidden()
        screen.page.get_by_label("Token").fill(person.token)
        screen.page.keyboard.press("Enter")
        screen.has_saved()
        assert [task["title"] for task in person.tasks()] == ["Kept for the first", "Of the first"]

    def test_a_queue_that_waited_for_a_sign_in_does_not_stop_other_tabs(
        self, open_screen: Open, server: Server, person: Person
    ) -> None:
        screen = open_for_seconds(open_screen, server, person)
        screen.add("Before")
        expect(screen.page.locator("#sign-in-reason")).to_be_visible(timeout=40_000)
        screen.add("Waits")
        screen.page.get_by_role("button", name="Sign out").click()
        screen.page.get_by_label("Token").fill(person.token)
        screen.page.keyboard.press("Enter")
        screen.shows("Waits", "Before")
        screen.has_saved()
        person.add("Elsewhere")
        screen.shows("Elsewhere", "Waits", "Before")

    def test_a_link_that_another_page_opens_does_not_change_who_is_signed_in(
        self, screen: Screen, server: Server, person: Person
    ) -> None:
        screen.page.locator("#title").fill("A secret")
        other = server.person("mallory")
        screen.page.evaluate("token => (location.hash = `token=${token}`)", other.token)
        expect(screen.page.locator(".notice p")).to_have_text("A link of “mallory” was opened.")
        assert screen.page.locator("#who").inner_text() == person.user_id
        screen.page.get_by_role("button", name="Stay").click()
        screen.page.evaluate("token => (location.hash = `token=${token}`)", other.token)
        screen.page.get_by_role("button", name="Sign in with it").click()
        expect(screen.page.locator("#who")).to_have_text("mallory")
        expect(screen.page.locator("#title")).to_have_value("")

    def test_signing_out_leaves_nothing(self, screen: Screen) -> None:
        screen.add("Of Ann alone")
        screen.has_saved()
        screen.page.locator("#search").fill("Ann alone")
        screen.row("Of Ann alone").get_by_role("button", name="Remove").click()
        screen.page.locator("#title").fill("Also of Ann alone")
        screen.page.get_by_role("button", name="Sign out").click()
        expect(screen.page.locator("#sign-in")).to_be_visible()
        screen.page.wait_for_timeout(300)  # for answers that are still on their way
        content = "document.body.innerHTML + [...document.querySelectorAll('input')].map((field) => field.value)"
        assert "Ann alone" not in screen.page.evaluate(content)
        assert "Ann alone" not in screen.page.evaluate("JSON.stringify([localStorage, sessionStorage])")

    def test_the_docs_use_the_token(self, screen: Screen, person: Person) -> None:
        with screen.context.expect_page() as opened:
            screen.page.get_by_role("link", name="API docs").click()
        docs = opened.value
        expect(docs.locator(".auth-wrapper .authorize")).to_have_class("btn authorize locked")
        assert person.token not in docs.url
