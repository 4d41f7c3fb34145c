"""Due dates as people type them and read them."""

import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from todo.domain.fields import Due, is_date
from todo.domain.task import Task

WEEK = 7  # days, today included

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {"d": 1, "w": WEEK}
_TIME = re.compile(r"\d\d?:\d\d")


def parse_due(text: str, today: date) -> Due | None:
    """None for ``none``. Raises ValueError, with a sentence."""
    if text == "none":
        return None
    words = re.sub(r"^(\d{4}-\d\d-\d\d)T", r"\1 ", text).split()
    day = today.isoformat() if words and _TIME.fullmatch(words[0]) else parse_day(words.pop(0) if words else "", today)
    time = words.pop(0).zfill(len("17:30")) if words else None
    zone = words.pop(0) if words else None
    if day is None or words:
        raise ValueError(
            f"{text!r} is not a date; write today, tomorrow, friday, 2026-12-24 or +3d, and after it a time such as"
            " 17:30 and a time zone if you want"
        )
    return Due(day, time, zone)


def parse_day(text: str, today: date) -> str | None:
    """A weekday is the next one after today."""
    word = text.lower()
    if is_date(word):
        return word
    if word == "today":
        return today.isoformat()
    if word == "tomorrow":
        return _add(today, 1)
    if step := re.fullmatch(r"\+([0-9]{1,4})([dw])", word):
        return _add(today, int(step[1]) * _DAYS[step[2]])
    for number, name in enumerate(_WEEKDAYS):
        if word in (name, name[:3]):
            return _add(today, (number - today.weekday() - 1) % WEEK + 1)
    return None


def find_period(name: str, today: date) -> tuple[str | None, str]:
    """The first and the last date of ``today``, ``week`` or ``overdue``."""
    if name == "overdue":
        return None, _add(today, -1)
    return today.isoformat(), _add(today, WEEK - 1 if name == "week" else 0)


def is_overdue(task: Task, now: datetime) -> bool:
    if task.due is None or task.completed:
        return False
    there = now
    if task.due.time_zone is not None:
        with suppress(ZoneInfoNotFoundError, ValueError):  # a server may know more zones than this machine
            there = now.astimezone(ZoneInfo(task.due.time_zone))
    end_of_day = "24:00"
    return (task.due.date, task.due.time or end_of_day) < (f"{there:%Y-%m-%d}", f"{there:%H:%M}")


def format_due_briefly(task: Task, now: datetime) -> str:
    """In at most ten characters."""
    if task.due is None:
        return ""
    if is_overdue(task, now):
        return "overdue"
    if task.due.date == now.date().isoformat():
        return task.due.time or "today"
    return "tomorrow" if task.due.date == _add(now.date(), 1) else task.due.date


def format_due(task: Task, now: datetime) -> str:
    if task.due is None:
        return ""
    parts = [part for part in task.due if part is not None]
    return " ".join(parts) + (", overdue" if is_overdue(task, now) else "")


def _add(day: date, days: int) -> str:
    return (day + timedelta(days)).isoformat()
