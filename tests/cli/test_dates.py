"""Due dates as people type them and read them."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.builders import a_task
from todo.domain.fields import Due
from todo.domain.task import Edit
from todo.entrypoints.cli.dates import find_period, format_due, format_due_briefly, is_overdue, parse_due

SATURDAY = date(2026, 11, 28)
NOON_IN_BERLIN = datetime(2026, 11, 28, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("none", None),
        ("today", Due("2026-11-28")),
        ("Tomorrow", Due("2026-11-29")),
        ("sunday", Due("2026-11-29")),
        ("fri", Due("2026-12-04")),
        ("saturday", Due("2026-12-05")),
        ("+3d", Due("2026-12-01")),
        ("+0d", Due("2026-11-28")),
        ("+2w", Due("2026-12-12")),
        ("2026-12-24", Due("2026-12-24")),
        ("2026-12-24T17:30", Due("2026-12-24", "17:30")),
        ("2026-12-24 9:05", Due("2026-12-24", "09:05")),
        (" friday  17:30 Europe/Berlin ", Due("2026-12-04", "17:30", "Europe/Berlin")),
        ("17:30", Due("2026-11-28", "17:30")),
    ],
)
def test_a_due_date_can_be_typed_in_words(text: str, due: Due | None) -> None:
    assert parse_due(text, SATURDAY) == due


@pytest.mark.parametrize("text", ["", "yesterday", "24.12.2026", "2026-02-30", "+3", "-1d", "+99999d", "today 1 UTC x"])
def test_what_is_no_date_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write today, tomorrow, friday, 2026-12-24"):
        parse_due(text, SATURDAY)


def test_a_period_has_a_first_and_a_last_date() -> None:
    assert find_period("today", SATURDAY) == ("2026-11-28", "2026-11-28")
    assert find_period("week", SATURDAY) == ("2026-11-28", "2026-12-04")
    assert find_period("overdue", SATURDAY) == (None, "2026-11-27")


@pytest.mark.parametrize(
    ("due", "overdue"),
    [
        (None, False),
        (Due("2026-11-27"), True),
        (Due("2026-11-28"), False),
        (Due("2026-11-28", "11:59"), True),
        (Due("2026-11-28", "12:00"), False),
        (Due("2026-11-28", "12:00", "Asia/Tokyo"), True),
        (Due("2026-11-28", "12:00", "America/New_York"), False),
        (Due("2026-11-28", "12:00", "Mars/Olympus"), False),
    ],
)
def test_a_task_is_overdue_when_its_clock_says_so(due: Due | None, overdue: bool) -> None:
    task = a_task(due=due)
    assert is_overdue(task, NOON_IN_BERLIN) == overdue
    assert not is_overdue(task.edit(Edit(completed=True), now=NOON_IN_BERLIN), NOON_IN_BERLIN)


@pytest.mark.parametrize(
    ("due", "brief", "whole"),
    [
        (None, "", ""),
        (Due("2026-11-27"), "overdue", "2026-11-27, overdue"),
        (Due("2026-11-28"), "today", "2026-11-28"),
        (Due("2026-11-28", "17:30"), "17:30", "2026-11-28 17:30"),
        (Due("2026-11-29", "17:30", "Asia/Tokyo"), "tomorrow", "2026-11-29 17:30 Asia/Tokyo"),
        (Due("2026-12-24"), "2026-12-24", "2026-12-24"),
    ],
)
def test_a_due_date_is_shown_briefly_and_whole(due: Due | None, brief: str, whole: str) -> None:
    assert format_due_briefly(a_task(due=due), NOON_IN_BERLIN) == brief
    assert format_due(a_task(due=due), NOON_IN_BERLIN) == whole
