"""The commands that take all tasks out, and bring tasks of other programs in."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import rich_click as click

from todo.domain.batch import MAX_OPERATIONS, Create
from todo.domain.ports import Selection
from todo.domain.refusals import IdTaken
from todo.domain.task import Task, UserId
from todo.domain.use_cases import Tasks
from todo.entrypoints.cli.output import escape, print_error, print_line
from todo.entrypoints.cli.task_session import Session, task_command
from todo.http_contract.documents import encode_tasks

# Loaded where they are used: the formats bring a calendar's worth of code.
FORMATS = ("json", "csv", "ics", "todotxt")
SOURCES = ("json", "todoist", "google", "microsoft", "todotxt", "taskwarrior", "ics")

_NAMESPACE = UUID("3f0b1d0e-53c1-5d0c-9a3e-5b1f6a1f7c55")  # of the ids of tasks from elsewhere (RFC 9562, section 5.5)

format_option = click.option("--format", "form", type=click.Choice(FORMATS), default="json", show_default=True)
file_argument = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")


@click.command("export")
@format_option
@file_argument
@task_command
async def export_(session: Session, form: str, file: Path, *, as_json: bool) -> None:  # noqa: ARG001 - the format says
    """Write all tasks to FILE, or to standard output. JSON has the trash, too.

    Example: todo export --format csv tasks.csv
    """
    await write_export(session.tasks, session.user, form, file)


async def write_export(tasks: Tasks, user: UserId, form: str, file: Path) -> None:
    from todo.formats.export import export

    pages, trash = tasks.pages(user, Selection()), tasks.trash_pages(user)
    parts = export(form, pages, trash, datetime.now(UTC))
    if str(file) == "-":
        await _write(parts, sys.stdout.buffer)
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")  # a file that is there stays whole until this one is
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            await _write(parts, opened)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


async def _write(parts: AsyncIterator[bytes], opened: Any) -> None:
    async for part in parts:
        opened.write(part)
    opened.flush()


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--from", "source", type=click.Choice(SOURCES), help="What wrote the file.  [default: by its look]")
@click.option("--dry-run", is_flag=True, help="Only say what would be imported, and what not.")
@partial(task_command, may_create=True)
async def import_(session: Session, file: Path, source: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Add the tasks of FILE (- is standard input). Those that were imported before stay as they are.

    Example: todo import Tasks.json --from google
    """
    from todo.composition import is_time_zone
    from todo.formats.reading import guess, read
    from todo.formats.records import Unreadable

    data = await asyncio.to_thread(sys.stdin.buffer.read if str(file) == "-" else file.read_bytes)
    source = source or guess(data)
    if source is None:
        raise click.UsageError(f"the file does not show what wrote it; add --from, with one of {', '.join(SOURCES)}")
    try:
        records, losses = read(data, source, is_time_zone)
    except Unreadable as error:
        raise click.UsageError(str(error)) from None
    for place, sentence in losses:
        print_error(escape(f"{place}: {sentence}" if place else sentence))
    if dry_run:
        print_line(f"{_count(len(records))} would be imported from {source}.")
        return 0

    # The first of the file comes first in the list, which has the newest first.
    asked = [
        (record.place, Create(record.values, _make_id(session.user, source, record))) for record in reversed(records)
    ]
    added: list[Task] = []
    repeated = refused = 0
    is_hidden = as_json or not sys.stderr.isatty()
    with click.progressbar(length=len(asked), label="Importing", file=sys.stderr, hidden=is_hidden) as bar:
        for start in range(0, len(asked), MAX_OPERATIONS):
            part = asked[start : start + MAX_OPERATIONS]
            batch = await session.tasks.batch(session.user, [create for _, create in part], is_atomic=False)
            for (place, _), outcome in zip(part, batch.outcomes, strict=True):
                if outcome.task is None:
                    refused += 1
                    is_taken = isinstance(outcome.refusal, IdTaken)
                    reason = "It was imported before, and has changed or was removed since." if is_taken else ""
                    print_error(escape(f"{place}: {reason or outcome.refusal}"))
                elif outcome.is_new:
                    added.append(outcome.task)
                else:
                    repeated += 1
            bar.update(len(part))
    if as_json:
        print_line(encode_tasks(added[::-1]).decode())
    else:
        others = [f"{repeated} were there already"] if repeated else []
        others += [f"{refused} were left alone"] if refused else []
        print_line("; ".join([f"Imported {_count(len(added))}", *others]) + ".")
    return 0


def _count(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"


def _make_id(user: UserId, source: str, record: Any) -> UUID:
    """The same whenever the person imports the same file; of their own export, that of the task itself."""
    if source == "json" and record.owner == user:
        with suppress(ValueError):
            return UUID(record.source_id)
    return uuid5(_NAMESPACE, f"{user}\0{source}\0{record.source_id}")


COMMANDS: Sequence[click.Command] = (export_, import_)
