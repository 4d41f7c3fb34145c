"""What the command line prints: nothing in it can control a terminal, or break its columns."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import rich_click as click
from rich.cells import get_character_cell_size

from todo.domain.task import Task

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


def format_row(task: Task, name: str) -> str:
    """The title comes last, so that a terminal that measures it differently shifts no column."""
    columns = f"{name}  {'[x]' if task.completed else '[ ]'}  {format_time(task.created_at)}  "
    title = escape(task.title)
    if sys.stdout.isatty():
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80  # some terminals do not say
        title = truncate(title, max(width - len(columns), 10))
    return columns + title


def format_details(task: Task) -> str:
    """Everything about a task, a line each."""
    lines = [
        ("id", str(task.id)),
        ("title", escape(task.title)),
        *(("notes", line) for line in escape_lines(task.notes or "")),
        ("done", "yes" if task.completed else "no"),
        ("created", format_time(task.created_at)),
        ("changed", format_time(task.updated_at)),
    ]
    return "\n".join(f"{name:7}  {value}" for name, value in lines)


def format_time(moment: datetime) -> str:
    """In the local time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def print_line(text: str, *, faint: bool = False) -> None:
    has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(click.style(text, dim=True) if faint and has_colour else text, color=has_colour)


NEWER_SCHEMA = "the database's schema is newer than this program; it works, but a newer release is recommended"


def print_error(text: str) -> None:
    """One line on standard error."""
    click.echo(f"todo: {escape(text)}", err=True)


def shorten_ids(ids: Sequence[UUID], among: Sequence[UUID]) -> Iterator[str]:
    """The shortest prefix of each id that no other among those has."""
    ordered = sorted({str(task_id) for task_id in among})
    common = [0, *(_count_common(one, other) for one, other in pairwise(ordered)), 0]
    lengths = {name: max(common[place : place + 2]) + 1 for place, name in enumerate(ordered)}
    for name in map(str, ids):
        shortest = name[: lengths[name]]
        yield name[: len(shortest) + 1] if shortest.endswith("-") else shortest


def _count_common(one: str, other: str) -> int:
    """Characters at the beginning that are the same in both."""
    return next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
