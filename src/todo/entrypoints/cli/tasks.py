"""The commands on tasks. They work on the database or on a server; the use cases are the same."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rich_click as click

from todo.domain.fields import FORBIDDEN
from todo.domain.ports import Order, Selection
from todo.domain.task import Edit, Task
from todo.entrypoints.cli.dates import find_period, parse_due
from todo.entrypoints.cli.output import Table, format_details, get_now, print_line, print_tasks
from todo.entrypoints.cli.task_ids import find_id, for_each, id_argument, with_short_ids
from todo.entrypoints.cli.task_session import Session, task_command
from todo.http_contract.documents import encode_pages, encode_task, encode_tasks

FIRST_SHOWN = 100  # how many tasks of a list are read before the first is printed
PRIORITIES = ("low", "medium", "high")
SEARCH_LENGTH = 500  # characters


def _field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What ``_read_fields`` takes."""
    for option in (
        click.option(
            "--label", "labels", metavar="TEXT", multiple=True, help="A label; repeat it for more. Empty: none."
        ),
        click.option("--priority", type=click.Choice((*PRIORITIES, "none"))),
        click.option(
            "--due",
            metavar="WHEN",
            help="today, tomorrow, friday, 2026-12-24, +3d or +2w; a time and a time zone may follow: 'friday 17:30'."
            " none clears it.",
        ),
        click.option("--notes", metavar="TEXT", help="Notes; - reads them from standard input. Empty: none."),
    ):
        command = option(command)
    return command


def _read_fields(*, notes: str | None, due: str | None, priority: str | None, labels: Sequence[str]) -> dict[str, Any]:
    """The values of the fields that are named."""
    fields: dict[str, Any] = {}
    if notes is not None:
        fields["notes"] = sys.stdin.read().removesuffix("\n") if notes == "-" else notes
    if due is not None:
        try:
            fields["due"] = parse_due(due, get_now().date())
        except ValueError as error:
            raise click.UsageError(f"--due: {error}") from None
    if priority is not None:
        fields["priority"] = None if priority == "none" else priority
    if labels:
        fields["labels"] = [label for label in labels if label]
    return fields


@click.command()
@click.argument("title")
@_field_options
@partial(task_command, may_create=True)
async def add(session: Session, title: str, *, as_json: bool, **fields: Any) -> None:
    """Add a task.

    Example: todo add "Pay rent" --due friday --priority high --label home
    """
    added = await session.tasks.add(session.user, Edit(title=title, **_read_fields(**fields)))
    _print_task(added.tasks[0], as_json=as_json)


@click.command()
@id_argument(several=False)
@click.option("--title", metavar="TEXT")
@_field_options
@task_command
async def edit(session: Session, task_id: str, title: str | None, *, as_json: bool, **fields: Any) -> None:
    """Change fields of a task; those that are not named stay as they are.

    Example: todo edit 01a2 --due +3d --label home --label money
    """
    values = _read_fields(**fields) | ({} if title is None else {"title": title})
    if not values:
        raise click.UsageError("name at least one field to change, such as --due tomorrow")
    changes = Edit(**values)
    _print_task(await session.tasks.change(session.user, await find_id(session, task_id), changes), as_json=as_json)


@click.command("list")
@click.option("--open", "is_open", is_flag=True, help="Only open tasks.")
@click.option("--done", "is_done", is_flag=True, help="Only completed tasks.")
@click.option("--search", "text", metavar="TEXT", help="Only tasks with TEXT in title or notes; case is ignored.")
@click.option(
    "--due",
    type=click.Choice(("today", "week", "overdue")),
    help="Only tasks that are due today, in the seven days from today, or open and due before today.",
)
@click.option("--priority", type=click.Choice(PRIORITIES), help="Only tasks of this priority.")
@click.option(
    "--label", "labels", metavar="TEXT", multiple=True, help="Only tasks with this label, and with each other."
)
@click.option("--sort", type=click.Choice(("due",)), help="The earliest due date first.")
@task_command
async def list_(session: Session, *, as_json: bool, **options: Any) -> None:
    """List your tasks, newest first.

    Example: todo list --open --due week --sort due
    """
    wanted = _read_selection(**options)
    if as_json:
        async for part in encode_pages(session.tasks.pages(session.user, wanted)):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        return
    table = Table()
    kept: list[tuple[Task, str]] = []
    # All tasks are read whatever is wanted, because how short an id can be depends on the others.
    async for tasks, names in with_short_ids(session.tasks.pages(session.user, Selection(), first=FIRST_SHOWN)):
        kept += [(task, name) for task, name in zip(tasks, names, strict=True) if wanted.keeps(task)]
        if wanted.order is Order.NEWEST_FIRST:
            table.print(kept)
            kept.clear()
    table.print(sorted(kept, key=lambda row: row[0].due_order))


def _read_selection(
    *,
    is_open: bool,
    is_done: bool,
    text: str | None,
    due: str | None,
    priority: str | None,
    labels: Sequence[str],
    sort: str | None,
) -> Selection:
    if is_open and is_done:
        raise click.UsageError("--open and --done exclude each other; give one, or none for all tasks")
    if any(len(searched) > SEARCH_LENGTH or FORBIDDEN.search(searched) for searched in (text or "", *labels)):
        raise click.UsageError(f"--search and --label take up to {SEARCH_LENGTH} characters that a task can have")
    if due == "overdue" and is_done:
        raise click.UsageError("only open tasks are overdue; leave --done out")
    due_from, due_until = (None, None) if due is None else find_period(due, get_now().date())
    return Selection(
        completed=is_done if is_open or is_done or due == "overdue" else None,
        text=text,
        priority=priority,
        labels=labels,
        due_from=due_from,
        due_until=due_until,
        order=Order.NEWEST_FIRST if sort is None else Order.BY_DUE,
    )


@click.command()
@id_argument(several=False)
@task_command
async def show(session: Session, task_id: str, *, as_json: bool) -> None:
    """Show a task.

    Example: todo show 01a2
    """
    task = await session.tasks.read(session.user, await find_id(session, task_id))
    if as_json:
        _print_task(task, as_json=True)
    else:
        print_line(format_details(task))


@click.command()
@id_argument(several=True)
@task_command
async def done(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Complete tasks.

    Example: todo done 01a2 01b
    """
    return await _change_each(session, task_ids, Edit(completed=True), as_json=as_json)


@click.command()
@id_argument(several=True)
@task_command
async def reopen(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Reopen completed tasks.

    Example: todo reopen 01a2
    """
    return await _change_each(session, task_ids, Edit(completed=False), as_json=as_json)


@click.command()
@id_argument(several=False)
@click.argument("title")
@task_command
async def rename(session: Session, task_id: str, title: str, *, as_json: bool) -> None:
    """Change the title of a task.

    Example: todo rename 01a2 "Buy oat milk"
    """
    changes = Edit(title=title)
    _print_task(await session.tasks.change(session.user, await find_id(session, task_id), changes), as_json=as_json)


@click.command()
@id_argument(several=True)
@task_command
async def rm(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Remove tasks. `todo undo` and `todo restore` bring them back.

    Example: todo rm 01a2
    """

    async def remove(text: str) -> None:
        task_id = await find_id(session, text)
        await session.tasks.remove(session.user, task_id)
        if not as_json:
            print_line(f"{task_id}  removed")

    return await for_each(task_ids, remove)


COMMANDS = (add, list_, show, edit, done, reopen, rename, rm)


async def _change_each(session: Session, task_ids: Sequence[str], changes: Edit, *, as_json: bool) -> int:
    changed: list[Task] = []

    async def change(text: str) -> None:
        changed.append(await session.tasks.change(session.user, await find_id(session, text), changes))
        if not as_json:
            _print_task(changed[-1], as_json=False)

    status = await for_each(task_ids, change)
    if as_json:
        print_line(encode_tasks(changed).decode())
    return status


def _print_task(task: Task, *, as_json: bool) -> None:
    if as_json:
        print_line(encode_task(task).decode())
    else:
        print_tasks([task])
