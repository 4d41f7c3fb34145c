"""What is taken from the files of each program, and what is said about the rest."""

from typing import Any

import pytest

from tests.formats import samples
from tests.formats.samples import SAMPLES
from todo.adapters.time_zones import is_time_zone
from todo.domain.fields import Due
from todo.domain.task import Edit
from todo.formats.moments import parse_moment, spell_as_iso
from todo.formats.reading import READERS, guess, read
from todo.formats.records import Parsed, Unreadable


def take(source: str, text: str | bytes) -> Parsed:
    return read(text.encode() if isinstance(text, str) else text, source, is_time_zone)


def edit(title: str, **values: Any) -> Edit:
    return Edit(
        **({"notes": None, "due": None, "priority": None, "labels": [], "completed": False} | values), title=title
    )


def values(parsed: Parsed) -> list[Edit]:
    return [record.values for record in parsed.records]


def said(parsed: Parsed) -> list[str]:
    return [f"{place}: {sentence}" for place, sentence in parsed.losses]


def test_our_own_export_comes_back_without_the_trash() -> None:
    parsed = take("json", samples.OWN)
    berlin = Due("2026-12-24", "17:30", "Europe/Berlin")
    assert values(parsed) == [
        edit("Buy milk", notes="oat", due=berlin, priority="high", labels=["shop"], completed=True),
        edit("Call Bob"),
    ]
    assert [record.source_id[:8] for record in parsed.records] == ["01a20492", "01a20493"]
    assert [record.place for record in parsed.records] == ["tasks[0]", "tasks[1]"]
    assert said(parsed) == ["trash: 1 tasks in the trash were left out."]


def test_todoist_rows_become_tasks_their_comments_notes_and_their_sections_labels() -> None:
    parsed = take("todoist", samples.TODOIST)
    mail = edit("Mail ann@example.org", notes="Due: 24 Dec", priority="medium", labels=["Home"])
    assert values(parsed) == [
        edit(
            "Buy milk",
            notes="Two cartons, oat\nOrganic, if they have it",
            due=Due("2026-12-24", "17:30", "Europe/Berlin"),
            priority="high",
            labels=["errands"],
        ),
        edit(
            "Check the fridge",
            notes="Deadline: 2026-12-31\nDuration: 30 minute\nAssignee: Bob (2)",
            due=Due("2026-12-24"),
        ),
        edit("Water the plants", notes="Due: every day", priority="high", labels=["deep_work", "garden", "Home"]),
        mail,
        mail,
    ]
    assert said(parsed) == [
        "line 5: There is no field for its deadline; it is kept in the notes.",
        "line 5: There is no field for its duration; it is kept in the notes.",
        "line 5: There is no field for its assignee; it is kept in the notes.",
        "line 5: It was a sub-task of “Buy milk”; now it stands by itself.",
        "line 8: Its due date “every day” is not a plain date; it is kept in the notes.",
        "line 9: Its due date “24 Dec” is not a plain date; it is kept in the notes.",
        "line 10: Its due date “24 Dec” is not a plain date; it is kept in the notes.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dec 24 2026", "2026-12-24"),
        ("24 December 2026", "2026-12-24"),
        ("24th Dec, 2026 at 5pm", "2026-12-24 17:00"),
        ("dec 24, 2026 12:05 am", "2026-12-24 00:05"),
        ("1 May 2026 9:30", "2026-05-01 09:30"),
        ("24 Dec", None),
        ("12/11/2026", None),
        ("24 Dez 2026", None),
        ("24 Dec 2026 13pm", None),
        ("every 24 Dec 2026", None),
        ("tomorrow", None),
    ],
)
def test_only_a_whole_english_date_is_spelled_as_iso(text: str, expected: str | None) -> None:
    assert spell_as_iso(text) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-12-24", "Europe/Berlin", Due("2026-12-24")),
        ("20261224T173000", None, Due("2026-12-24", "17:30")),
        ("2026-12-24T17:30:00.0000000", "Europe/Berlin", Due("2026-12-24", "17:30", "Europe/Berlin")),
        ("2026-12-24T17:30Z", "Europe/Berlin", Due("2026-12-24", "17:30", "UTC")),
        ("2026-12-24T17:30:00+01:00", "Europe/Berlin", Due("2026-12-24", "17:30", "Europe/Berlin")),
        ("2026-12-24T17:30:00-0800", None, Due("2026-12-25", "01:30", "UTC")),
        ("0001-01-01T00:00+10:00", None, None),
        ("2026-12-24T17:30+99:99", None, None),
        ("2026-02-30", None, None),
        ("2026-12-24T24:00", None, None),
        ("2026-12-24T17:60", None, None),
        ("２026-12-24", None, None),
        ("", None, None),
    ],
)
def test_a_time_keeps_its_wall_clock(text: str, zone: str | None, expected: Due | None) -> None:
    assert parse_moment(text, zone) == (None if expected is None else (expected, False))


def test_google_tasks_have_days_and_the_name_of_their_list_as_a_label() -> None:
    parsed = take("google", samples.GOOGLE)
    assert values(parsed) == [
        edit("Buy milk", notes="oat\nShopping https://mail.google.com/mail/#all/1", due=Due("2026-12-24")),
        edit("Call Bob", completed=True),
        edit("Rake", notes="Rake\nleaves", labels=["Garden"]),
    ]
    assert [record.source_id for record in parsed.records] == ["dGFzazE", "dGFzazI", "dGFzazU"]
    assert said(parsed) == [
        "items[0].items[1]: It was a sub-task; now it stands by itself.",
        "items[0].items[2]: It was deleted in Google Tasks and was left out.",
        "items[0].items[3]: It can't be read and was left out: “Expected `str | null`, got `int` - at `$.title`”.",
        "items[1].items[0]: It had no title; the first line of its notes became the title.",
    ]


def test_microsoft_due_dates_are_not_shifted_and_the_steps_are_notes() -> None:
    parsed = take("microsoft", samples.MICROSOFT)
    assert values(parsed) == [
        edit(
            "Buy milk",
            notes="Oat & soy\n1 < 2\n[x] Look\n[ ] Pay",
            due=Due("2026-12-24"),
            priority="high",
            labels=["Red category"],
        ),
        edit("Report", notes="a < b", due=Due("2026-12-24", "17:30"), priority="low", labels=["Work"], completed=True),
        edit("Plan", due=Due("2026-12-24", "16:30", "UTC"), labels=["Work"]),
    ]
    assert said(parsed) == [
        "[0].tasks[0]: The formatting of its notes was left out.",
        "[0].tasks[0]: It repeats; only this one is taken.",
        "[0].tasks[0]: Its reminder was left out.",
        "[1].tasks[0]: The time zone “W. Europe Standard Time” is not known here; its due time has none.",
        "[1].tasks[1]: The status “inProgress” is not known here and was left out.",
    ]


def test_microsoft_tasks_may_come_as_one_answer_of_the_api() -> None:
    parsed = take("microsoft", '{"value": [{"title": "Buy milk", "id": "1"}, 5, {"subject": "mail"}]}')
    assert values(parsed) == [edit("Buy milk")]
    assert [place for place, _ in parsed.losses] == ["value[1]", "value[2]"]


def test_todotxt_contexts_and_projects_are_labels() -> None:
    parsed = take("todotxt", samples.TODOTXT)
    plants = edit("Water the plants rec:1w due:tomorrow")
    assert values(parsed) == [
        edit("Thank Mom for the meatballs", priority="high", labels=["phone"]),
        edit("Schedule Goodwill pickup", due=Due("2026-12-24"), priority="low", labels=["GarageSale", "phone"]),
        edit("Review tim's pull request", priority="medium", labels=["TodoTxtTouch", "github"], completed=True),
        plants,
        plants,
    ]
    assert said(parsed) == [
        "line 2: The priority D became low.",
        "line 5: It repeats; only this one is taken.",
        "line 6: It repeats; only this one is taken.",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("xylophone lesson", edit("xylophone lesson")),
        ("x Buy", edit("Buy", completed=True)),
        ("(a) Buy", edit("(a) Buy")),
        ("@phone", edit("@phone", labels=["phone"])),
        ("Buy time:17:30", edit("Buy time:17:30")),
        ("Buy due:2026-12-24 tz:Europe/Berlin", edit("Buy tz:Europe/Berlin", due=Due("2026-12-24"))),
        ("Read http://a.b/%20c @ 100%25", edit("Read http://a.b/%20c @ 100%25")),
        ("Buy @50%FF", edit("Buy", labels=["50%FF"])),
    ],
)
def test_a_line_of_todotxt_keeps_what_is_no_key_in_its_title(line: str, expected: Edit) -> None:
    assert values(take("todotxt", line)) == [expected]


def test_taskwarrior_instants_are_times_in_utc_and_projects_are_labels() -> None:
    parsed = take("taskwarrior", samples.TASKWARRIOR)
    assert values(parsed) == [
        edit(
            "Buy milk",
            notes="oat",
            due=Due("2026-12-24", "16:30", "UTC"),
            priority="high",
            labels=["Home.Kitchen", "shop", "next"],
        ),
        edit("Pay rent", notes="Wait: 20261228T000000Z", due=Due("2027-01-01")),
        edit("Call Bob", completed=True),
    ]
    assert said(parsed) == [
        "[1]: It repeats; only this one is taken.",
        "[1]: It depends on other tasks; that was left out.",
        "[1]: There is no field for its wait; it is kept in the notes.",
        "[2]: It is the template of a task that repeats and was left out; the tasks are taken.",
        "[3]: It was deleted in Taskwarrior and was left out.",
    ]


def test_taskwarrior_may_print_one_object_per_line() -> None:
    lines = samples.TASKWARRIOR.strip("[]\n")
    assert values(take("taskwarrior", lines)) == values(take("taskwarrior", samples.TASKWARRIOR))
    assert said(take("taskwarrior", f"{lines}\n{{broken"))[-1] == "line 6: It is not JSON and was left out."


def test_the_tasks_of_a_calendar_are_taken_once_each_and_events_are_counted() -> None:
    parsed = take("ics", samples.ICS)
    assert values(parsed) == [
        edit(
            'Buy milk, oat; "C:\\new"',
            notes="Two cartons\nor three",
            due=Due("2026-12-24", "17:30", "Europe/Berlin"),
            priority="high",
            labels=["shop", "a,b", "next"],
        ),
        edit("All day", notes="Location: Berlin", due=Due("2026-12-24"), completed=True),
        edit("Floating", due=Due("2026-12-24", "17:30"), priority="medium"),
        edit("UTC", due=Due("2026-12-24", "16:30", "UTC"), priority="low", completed=True),
        edit("Outlook", due=Due("2026-12-24", "17:30")),
    ]
    assert [record.source_id for record in parsed.records][:2] == ["8a1c-1@example.org", "8a1c-2@example.org"]
    assert said(parsed) == [
        "line 13: The status “IN-PROCESS” is not known here and was left out.",
        "line 13: It repeats; only this one is taken.",
        "line 13: Its reminders were left out.",
        "line 31: There is no field for its location; it is kept in the notes.",
        "line 46: The seconds of its due time were left out.",
        "line 53: The time zone “W. Europe Standard Time” is not known here; its due time has none.",
        "line 58: It was cancelled and was left out.",
        ": 1 of VEVENT were left out; only tasks (VTODO) are taken.",
    ]


def test_a_calendar_that_ends_within_a_task_says_so() -> None:
    parsed = take("ics", samples.ICS[: samples.ICS.index("PRIORITY:3")])
    assert [each.title for each in values(parsed)] == ['Buy milk, oat; "C:\\new"']
    assert "line 13: The file ends in the middle of this task." in said(parsed)


@pytest.mark.parametrize("source", READERS)
def test_the_same_file_has_the_same_ids_and_equal_tasks_have_different_ones(source: str) -> None:
    ids = [record.source_id for record in take(source, SAMPLES[source]).records]
    assert ids == [record.source_id for record in take(source, SAMPLES[source]).records]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_source_of_a_file_is_guessed_in_every_encoding(source: str, encoding: str) -> None:
    data = SAMPLES[source].encode(encoding)
    assert guess(data) == source
    assert take(source, data) == take(source, SAMPLES[source])


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (samples.TASKWARRIOR.strip("[]\n"), "taskwarrior"),
        ('{"value": []}', "microsoft"),
        ('[{"title": "a", "status": "notStarted"}]', "microsoft"),
        ("", None),
        ("[]", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"a": ' * 100_000, None),
        ('[{"a": ' * 100_000, None),
        ("[1]", None),
        ("id,title,notes\r\n1,a,b\r\n", None),
        ("Dear Ann,\nsee you on Monday.\n", None),
        ("\0\1", None),
        ("a" * 200_000, None),
    ],
)
def test_what_looks_like_nothing_is_not_guessed(text: str, source: str | None) -> None:
    assert guess(text.encode()) == source


def test_invalid_bytes_are_not_guessed() -> None:
    assert guess(b"\xff\x00\xfe") is None


@pytest.mark.parametrize("source", [source for source in READERS if source != "todotxt"])
@pytest.mark.parametrize("other", READERS)
def test_a_file_of_another_program_is_refused(source: str, other: str) -> None:
    if source != other:
        with pytest.raises(Unreadable):
            take(source, SAMPLES[other])
