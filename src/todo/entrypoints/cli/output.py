"""What the command line prints: nothing in it can control a terminal, or break its columns."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import rich_click as click
from rich.cells import get_character_cell_size

from todo.domain.task import Task
from todo.entrypoints.cli.dates import format_due, format_due_briefly, is_overdue

# Joins emoji, and letters of Arabic and of Indic scripts; it moves nothing.
_JOINERS = "\u200c\u200d"
_MAKES_WIDE = "\ufe0f"  # makes the character before it an emoji, of two cells


def prepare_streams() -> None:
    """What the terminal's encoding lacks is printed as an escape, and input that is not valid text is replaced.

    A stream that the shell has closed becomes one at /dev/null; otherwise the next file that is opened, which may be
    the database, would take its descriptor.
    """
    for name, mode, errors in (
        ("stdin", "r", "replace"),
        ("stdout", "w", "backslashreplace"),
        ("stderr", "w", "backslashreplace"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open to the end
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def escape(text: str) -> str:
    """As one line: line breaks, escape sequences and marks that change the writing direction become visible."""
    return "".join(c if c.isprintable() or c in _JOINERS else _escape_character(c) for c in text)


def escape_lines(text: str) -> list[str]:
    """As the lines that it has."""
    return [escape(line) for line in text.replace("\r\n", "\n").split("\n")] if text else []


def _escape_character(character: str) -> str:
    return " " if character.isspace() and character > "\x85" else character.encode("unicode_escape").decode()


def truncate(text: str, cells: int) -> str:
    """To at most so many cells of a terminal. Terminals differ in how they join characters, so the most is assumed."""
    used = fitting = 0
    for character in text:
        used += 1 if character == _MAKES_WIDE else get_character_cell_size(character)
        if used > cells:
            return text[:fitting] + "…"
        fitting += used < cells
    return text


class Table:
    """Tasks in columns, which grow as they have to.

    The title comes last, so that a terminal that measures it differently shifts no column. A column in which no task
    has anything is left out.
    """

    def __init__(self) -> None:
        self._now = get_now()
        self._widths = [0, 0, 0, 0]

    def print(self, rows: Sequence[tuple[Task, str]]) -> None:
        """Prints tasks, each with the name by which it can be called."""
        lines = [(task, self._make_cells(task, name)) for task, name in rows]
        self._widths = [
            max(column) for column in zip(self._widths, *(map(len, cells) for _, cells in lines), strict=True)
        ]
        for task, cells in lines:
            padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
            if not task.completed:
                padded[2], padded[3] = _style(padded[2], bold=True), _style(padded[3], fg=self._choose_colour(task))
            shown = "  ".join(cell for cell, width in zip(padded, self._widths, strict=True) if width)
            used = sum(width + 2 for width in self._widths if width)
            print_line(f"{shown}  {fit(describe(task), used)}", faint=task.completed)
        sys.stdout.flush()

    def _make_cells(self, task: Task, name: str) -> list[str]:
        is_high = task.priority == "high"
        due = escape(format_due_briefly(task, self._now))
        return [name, "[x]" if task.completed else "[ ]", "!" if is_high else "", due]

    def _choose_colour(self, task: Task) -> str | None:
        return "red" if is_overdue(task, self._now) else None


def print_tasks(tasks: Sequence[Task]) -> None:
    """Each with its whole id."""
    Table().print([(task, str(task.id)) for task in tasks])


def describe(task: Task) -> str:
    """Title and labels."""
    return escape(" ".join([task.title, *(f"#{label}" for label in task.labels)]))


def fit(text: str, used: int) -> str:
    """Cut to the terminal, of whose columns so many are in use."""
    if not sys.stdout.isatty():
        return text
    width = os.get_terminal_size(sys.stdout.fileno()).columns or 80  # some terminals do not say
    return truncate(text, max(width - used, 10))


def format_details(task: Task) -> str:
    """Everything about a task, a line each."""
    lines = [
        ("id", str(task.id)),
        ("title", escape(task.title)),
        *(("notes", line) for line in escape_lines(task.notes or "")),
        ("due", escape(format_due(task, get_now()))),
        ("priority", escape(task.priority or "")),
        ("labels", escape(", ".join(task.labels))),
        ("done", "no" if task.completed_at is None else format_time(task.completed_at)),
        ("created", format_time(task.created_at)),
        ("changed", format_time(task.updated_at)),
    ]
    return "\n".join(f"{name:8}  {value}" for name, value in lines if value)


def get_now() -> datetime:
    """In the local time zone."""
    return datetime.now().astimezone()


def format_time(moment: datetime) -> str:
    """In the local time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def print_line(text: str, *, faint: bool = False) -> None:
    click.echo(_style(text, dim=True) if faint else text, color=_has_colour())


def _style(text: str, **how: Any) -> str:
    return click.style(text, **how) if _has_colour() else text


def _has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


NEWER_SCHEMA = "the database's schema is newer than this program; it works, but a newer release is recommended"


def print_error(text: str) -> None:
    """One line on standard error."""
    click.echo(f"todo: {escape(text)}", err=True)
