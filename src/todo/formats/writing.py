"""Writes tasks as a file for other programs, and for spreadsheets."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from todo.domain.fields import Due
from todo.domain.task import Task
from todo.formats.ics import write_ics
from todo.formats.parts import join_parts
from todo.formats.todotxt import write_todotxt

COLUMNS = (
    "id", "title", "notes", "due_date", "due_time", "due_time_zone", "priority", "labels", "completed", "completed_at",
    "created_at", "updated_at",
)  # fmt: skip


def write_csv(tasks: Iterable[Task]) -> Iterator[bytes]:
    """RFC 4180, in UTF-8, with a header. Times are in UTC, as 2026-03-01T12:00:00.000000Z.

    Labels are joined by ", "; a comma in one is written as ``\\,`` and a backslash as ``\\\\``. A cell that a
    spreadsheet could take for a formula (it begins with ``= + - @``, a tab or a carriage return) gets an apostrophe in
    front. So a text that begins with an apostrophe and one of these looks like one that began without it.
    """
    yield _write_row(COLUMNS).encode()
    yield from join_parts(_write_row(_list_cells(task)) for task in tasks)


def _list_cells(task: Task) -> Iterator[str]:
    yield from (str(task.id), task.title, task.notes or "")
    yield from (part or "" for part in task.due or Due(""))
    yield task.priority or ""
    yield ", ".join(re.sub(r"([\\,])", r"\\\1", label) for label in task.labels)
    yield "true" if task.completed else "false"
    yield from map(_format_time, (task.completed_at, task.created_at, task.updated_at))


def _format_time(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(timespec="microseconds").replace("+00:00", "Z")


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _write_row(cells: Iterable[str]) -> str:
    row = io.StringIO(newline="")
    csv.writer(row).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return row.getvalue()


WRITERS: Mapping[str, Callable[[Iterable[Task]], Iterator[bytes]]] = {
    "csv": write_csv,
    "ics": write_ics,
    "todotxt": write_todotxt,
}
"""By the name of the format in the HTTP contract. Each takes open and completed tasks, and yields parts of the file."""
