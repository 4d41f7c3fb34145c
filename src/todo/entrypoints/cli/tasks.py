"""The commands on tasks. They work on the database or on a server; the use cases are the same."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import rich_click as click
from click.shell_completion import CompletionItem

from todo.domain.ports import IdPrefix, Page, Selection
from todo.domain.refusals import NotAuthenticated, Refusal, Unavailable
from todo.domain.task import Edit, Task
from todo.entrypoints.cli.output import escape, format_details, format_row, print_error, print_line, shorten_ids
from todo.entrypoints.cli.target import find_target
from todo.entrypoints.cli.task_session import Session, open_session, task_command
from todo.http_contract.documents import encode_pages, encode_task, encode_tasks

FIRST_SHOWN = 100  # how many tasks of a list are read before the first is printed
CANDIDATES = 5  # how many ids an ambiguous prefix is explained with
COMPLETION_TIMEOUT = 1  # seconds that a shell is kept waiting
SUGGESTIONS = 50  # how many ids a shell is offered to complete one


class NoSuchId(Refusal):
    """None of the person's tasks, or more than one, has an id with this prefix. The sentence names it."""


def _complete_id(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    async def find() -> Sequence[Task]:
        wanted = Selection(ids=IdPrefix(incomplete.lower()) if incomplete else None)
        server = context.params.get("server") or context.find_root().params.get("server")
        async with open_session(find_target(server), timeout=COMPLETION_TIMEOUT) as session:
            return (await session.tasks.page(session.user, wanted, limit=SUGGESTIONS)).tasks

    try:
        return [CompletionItem(str(task.id), help=escape(task.title)) for task in asyncio.run(find())]
    except Exception:  # noqa: BLE001 - a shell that completes a line has no place for an error
        return []


def _id_argument(*, several: bool) -> Callable[[Any], Any]:
    name, metavar = ("task_ids", "ID...") if several else ("task_id", "ID")
    return click.argument(name, metavar=metavar, nargs=-1 if several else 1, required=True, shell_complete=_complete_id)


@click.command()
@click.argument("title")
@partial(task_command, may_create=True)
async def add(session: Session, title: str, *, as_json: bool) -> None:
    """Add a task.

    Example: todo add "Buy milk"
    """
    (task,), _ = await session.tasks.add(session.user, Edit(title=title))
    _print_task(task, as_json=as_json)


@click.command("list")
@click.option("--open", "is_open", is_flag=True, help="Only open tasks.")
@click.option("--done", "is_done", is_flag=True, help="Only completed tasks.")
@click.option("--search", "text", metavar="TEXT", help="Only tasks whose title contains TEXT, whatever its case.")
@task_command
async def list_(session: Session, text: str | None, *, is_open: bool, is_done: bool, as_json: bool) -> None:
    """List your tasks, newest first.

    Example: todo list --open --search milk
    """
    if is_open and is_done:
        raise click.UsageError("--open and --done exclude each other; give one, or none for all tasks")
    wanted = Selection(completed=is_done if is_open or is_done else None, text=text)
    if as_json:
        async for part in encode_pages(session.tasks.pages(session.user, wanted)):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        return
    width = 0
    # All tasks are read whatever is wanted, because how short an id can be depends on the others.
    async for tasks, names in _with_short_ids(session.tasks.pages(session.user, Selection(), first=FIRST_SHOWN)):
        width = max(width, *map(len, names))
        for task, name in zip(tasks, names, strict=True):
            if wanted.keeps(task):
                print_line(format_row(task, f"{name:{width}}"), faint=task.completed)
        sys.stdout.flush()


@click.command()
@_id_argument(several=False)
@task_command
async def show(session: Session, task_id: str, *, as_json: bool) -> None:
    """Show a task.

    Example: todo show 01a2
    """
    task = await session.tasks.read(session.user, await _find_id(session, task_id))
    if as_json:
        _print_task(task, as_json=True)
    else:
        print_line(format_details(task))


@click.command()
@_id_argument(several=True)
@task_command
async def done(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Complete tasks.

    Example: todo done 01a2 01b
    """
    return await _change_each(session, task_ids, Edit(completed=True), as_json=as_json)


@click.command()
@_id_argument(several=True)
@task_command
async def reopen(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Reopen completed tasks.

    Example: todo reopen 01a2
    """
    return await _change_each(session, task_ids, Edit(completed=False), as_json=as_json)


@click.command()
@_id_argument(several=False)
@click.argument("title")
@task_command
async def rename(session: Session, task_id: str, title: str, *, as_json: bool) -> None:
    """Change the title of a task.

    Example: todo rename 01a2 "Buy oat milk"
    """
    changes = Edit(title=title)
    _print_task(await session.tasks.change(session.user, await _find_id(session, task_id), changes), as_json=as_json)


@click.command()
@_id_argument(several=True)
@task_command
async def rm(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Remove tasks for good.

    Example: todo rm 01a2
    """

    async def remove(task_id: UUID) -> None:
        await session.tasks.remove(session.user, task_id)
        if not as_json:
            print_line(f"{task_id}  removed")

    return await _for_each(session, task_ids, remove)


COMMANDS = (add, list_, show, done, reopen, rename, rm)


async def _change_each(session: Session, task_ids: Sequence[str], changes: Edit, *, as_json: bool) -> int:
    changed: list[Task] = []

    async def change(task_id: UUID) -> None:
        changed.append(await session.tasks.change(session.user, task_id, changes))
        if not as_json:
            _print_task(changed[-1], as_json=False)

    status = await _for_each(session, task_ids, change)
    if as_json:
        print_line(encode_tasks(changed).decode())
    return status


async def _for_each(session: Session, task_ids: Sequence[str], act: Callable[[UUID], Awaitable[None]]) -> int:
    """The exit status. The refusal of one stops the others only if it would be theirs, too."""
    status = 0
    for task_id in task_ids:
        try:
            await act(await _find_id(session, task_id))
        except (NotAuthenticated, Unavailable):
            raise
        except Refusal as refusal:
            print_error(str(refusal) if isinstance(refusal, NoSuchId) else f"{task_id}: {refusal}")
            status = 1
    return status


async def _find_id(session: Session, text: str) -> UUID:
    """The one id of the person's tasks with this prefix. Raises NoSuchId."""
    try:
        ids = IdPrefix(text.lower())
    except ValueError:
        raise NoSuchId(f"{text!r} is not a valid id prefix; run `todo list`.") from None
    if ids.first == ids.last:
        return ids.first
    tasks, more, _ = await session.tasks.page(session.user, Selection(ids=ids), limit=CANDIDATES)
    if not tasks:
        raise NoSuchId(f"None of your tasks has an id that begins with {text}; run `todo list`.")
    if len(tasks) > 1:
        candidates = [task.id for task in tasks]
        names = ", ".join(shorten_ids(candidates, candidates))
        raise NoSuchId(f"Several ids begin with {text}: {names}{' and others' if more else ''}; type more of one.")
    return tasks[0].id


def _print_task(task: Task, *, as_json: bool) -> None:
    print_line(encode_task(task).decode() if as_json else format_row(task, str(task.id)))


async def _with_short_ids(pages: AsyncIterator[Page]) -> AsyncIterator[tuple[Sequence[Task], Sequence[str]]]:
    """The tasks of each page with their ids as short as possible.

    The ids that are most alike belong to tasks created in one moment, which are neighbours in the list, too: so it is
    enough to compare with the pages before and after.
    """
    before: Sequence[Task] = ()
    current: Sequence[Task] = ()
    async for page in pages:
        if current:
            yield current, _shorten(current, (*before, *current, *page.tasks))
        before, current = current, page.tasks
    if current:
        yield current, _shorten(current, (*before, *current))


def _shorten(tasks: Sequence[Task], among: Sequence[Task]) -> Sequence[str]:
    return list(shorten_ids([task.id for task in tasks], [task.id for task in among]))
