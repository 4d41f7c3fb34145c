"""What the command line prints: nothing in it can drive a terminal, or fall out of its columns."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import TextIOWrapper
from itertools import pairwise
from uuid import UUID

import rich_click as click
from rich.cells import get_character_cell_size

from todo.domain.task import Task

# Joins emoji, and letters of Arabic and of Indic scripts; it moves nothing.
_JOINERS = "\u200c\u200d"
_WIDE_FROM_HERE = "\ufe0f"
"""Makes the character before it an emoji, of two cells."""


def take_any_text() -> None:
    """Whatever the terminal's encoding lacks is shown as an escape, and what is no text at all is read as some."""
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, TextIOWrapper):  # and not None: a shell can close them
            stream.reconfigure(errors=errors)


def line_of_stdin() -> str:
    return sys.stdin.readline() if sys.stdin else ""


def one_line(text: str) -> str:
    """Whatever is in it: line breaks, escape sequences and marks that turn the direction are shown as escapes."""
    return "".join(c if c.isprintable() or c in _JOINERS else _shown(c) for c in text)


def _shown(character: str) -> str:
    return " " if character.isspace() and character > "\x85" else character.encode("unicode_escape").decode()


def cut(text: str, cells: int) -> str:
    """At most so many cells of a terminal. Terminals differ in how they join characters, so the most is assumed."""
    used = fitting = 0
    for character in text:
        used += 1 if character == _WIDE_FROM_HERE else get_character_cell_size(character)
        if used > cells:
            return text[:fitting] + "…"
        fitting += used < cells
    return text


def line_of(task: Task, name: str) -> str:
    """The title comes last, so that a terminal that measures it otherwise moves no column."""
    columns = f"{name}  {'[x]' if task.completed else '[ ]'}  {local_time(task.created_at)}  "
    title = one_line(task.title)
    if sys.stdout.isatty():
        width = os.get_terminal_size(sys.stdout.fileno()).columns or 80  # some terminals do not say
        title = cut(title, max(width - len(columns), 10))
    return columns + title


def local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def say(text: str, *, faint: bool = False) -> None:
    has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(click.style(text, dim=True) if faint and has_colour else text, color=has_colour)


NEWER = "the database's schema is newer than this program, which works with it all the same; better use a newer one"


def complain(text: str, status: int) -> int:
    click.echo(f"todo: {one_line(text)}", err=True)
    return status


def shortest_names(ids: Sequence[UUID], among: Sequence[UUID]) -> Iterator[str]:
    """The shortest beginning of each id that no other among those has."""
    ordered = sorted({str(task_id) for task_id in among})
    alike = [0, *(_alike(one, other) for one, other in pairwise(ordered)), 0]
    lengths = {name: max(alike[place : place + 2]) + 1 for place, name in enumerate(ordered)}
    for name in map(str, ids):
        shortest = name[: lengths[name]]
        yield name[: len(shortest) + 1] if shortest.endswith("-") else shortest


def _alike(one: str, other: str) -> int:
    """How many characters they begin with in common."""
    return next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
