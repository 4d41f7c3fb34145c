"""The commands on tasks. They work on the database or before a server; the use cases are the same."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import update_wrapper
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import rich_click as click
from click.shell_completion import CompletionItem

from todo.domain.ports import Filter, IdPrefix
from todo.domain.refusals import NotAuthenticated, Refusal, Unavailable
from todo.domain.task import Task, UserId
from todo.domain.tasks import Tasks
from todo.entrypoints.cli.output import complain, line_of, local_time, one_line, say, shortest_names
from todo.entrypoints.cli.place import Place, place_of, user_of
from todo.wire import TaskDocument, json_array

REFUSED = 1

FIRST_SHOWN = 100
"""How many tasks of a list are read before the first is shown."""

CANDIDATES = 5
"""How many ids an ambiguous one is explained with."""

SUGGESTIONS = 50
"""How many ids a shell is offered to complete one."""


class NoSuchId(Refusal):
    """No task of the caller's, or more than one, has an id that begins so."""


class Desk(NamedTuple):
    """The use cases where somebody works, and who."""

    tasks: Tasks
    user: UserId


@asynccontextmanager
async def desk_at(place: Place) -> AsyncIterator[Desk]:
    from todo.composition import local_tasks, remote_tasks, speaker_of

    if place.login is None:
        user = user_of(None, place.settings)
        async with local_tasks(place.settings) as tasks:
            yield Desk(tasks, user)
    else:
        user = speaker_of(place.login.token)
        async with remote_tasks(place.login.server, place.login.token) as tasks:
            yield Desk(tasks, user)


Command = Callable[..., Awaitable[int | None]]


def at_a_desk(work: Command) -> Callable[..., int | None]:
    """Makes a command of what is done at a Desk."""

    @click.option("--server", metavar="URL", help="Work on this server.  [default: TODO_SERVER]")
    @click.option("--json", "as_json", is_flag=True, help="Print what the API would answer.")
    def command(server: str | None, **arguments: Any) -> int | None:
        place = place_of(server)

        async def run() -> int | None:
            async with desk_at(place) as desk:
                return await work(desk, **arguments)

        return asyncio.run(run())

    return update_wrapper(command, work)


def _completed_ids(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    async def found() -> Sequence[Task]:
        wanted = Filter(ids=IdPrefix(incomplete.lower()) if incomplete else None)
        server = context.params.get("server") or context.find_root().params.get("server")
        async with desk_at(place_of(server)) as desk:
            return (await desk.tasks.page(desk.user, wanted, after=None, limit=SUGGESTIONS)).tasks

    try:
        return [CompletionItem(str(task.id), help=one_line(task.title)) for task in asyncio.run(found())]
    except Exception:  # noqa: BLE001 - a shell that completes a line has no place for a complaint
        return []


def _id(*, several: bool) -> Callable[[Any], Any]:
    names = ("task_ids", "ID...") if several else ("task_id", "ID")
    return click.argument(
        names[0], metavar=names[1], nargs=-1 if several else 1, required=True, shell_complete=_completed_ids
    )


@click.command()
@click.argument("title")
@at_a_desk
async def add(desk: Desk, title: str, *, as_json: bool) -> None:
    """Add a task.

    Example: todo add "Buy milk"
    """
    added = await desk.tasks.add(desk.user, title)
    _show_one(added.task, as_json=as_json)


@click.command("list")
@click.option("--open", "is_open", is_flag=True, help="Only what is to be done.")
@click.option("--done", "is_done", is_flag=True, help="Only what is done.")
@click.option("--search", "text", metavar="TEXT", help="Only titles that contain TEXT, whatever its case.")
@at_a_desk
async def list_(desk: Desk, text: str | None, *, is_open: bool, is_done: bool, as_json: bool) -> None:
    """List your tasks, newest first.

    Example: todo list --open --search milk
    """
    if is_open and is_done:
        raise click.UsageError("--open and --done leave nothing; give one, or none for both kinds")
    wanted = Filter(completed=is_done if is_open or is_done else None, text=text)
    if as_json:
        async for part in json_array(desk.tasks.chunks(desk.user, wanted)):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        return
    width = 0
    # All are walked whatever is wanted, for an id is short only beside the others.
    async for tasks, names in _named(_stretches(desk)):
        width = max(width, *map(len, names))
        for task, name in zip(tasks, names, strict=True):
            if wanted.keeps(task):
                say(line_of(task, f"{name:{width}}"), faint=task.completed)
        sys.stdout.flush()


@click.command()
@_id(several=False)
@at_a_desk
async def show(desk: Desk, task_id: str, *, as_json: bool) -> None:
    """Show a task.

    Example: todo show 01a2
    """
    task = await desk.tasks.read(desk.user, await _found(desk, task_id))
    if as_json:
        _show_one(task, as_json=True)
        return
    say(
        f"id       {task.id}\n"
        f"title    {one_line(task.title)}\n"
        f"done     {'yes' if task.completed else 'no'}\n"
        f"created  {local_time(task.created_at)}\n"
        f"changed  {local_time(task.updated_at)}"
    )


@click.command()
@_id(several=True)
@at_a_desk
async def done(desk: Desk, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Mark tasks as done.

    Example: todo done 01a2 01b
    """
    return await _change_each(desk, task_ids, completed=True, as_json=as_json)


@click.command()
@_id(several=True)
@at_a_desk
async def reopen(desk: Desk, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Mark tasks as open again.

    Example: todo reopen 01a2
    """
    return await _change_each(desk, task_ids, completed=False, as_json=as_json)


@click.command()
@_id(several=False)
@click.argument("title")
@at_a_desk
async def rename(desk: Desk, task_id: str, title: str, *, as_json: bool) -> None:
    """Give a task another title.

    Example: todo rename 01a2 "Buy oat milk"
    """
    _show_one(await desk.tasks.change(desk.user, await _found(desk, task_id), title=title), as_json=as_json)


@click.command()
@_id(several=True)
@at_a_desk
async def rm(desk: Desk, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Remove tasks for good.

    Example: todo rm 01a2
    """

    async def remove(task_id: UUID) -> None:
        await desk.tasks.remove(desk.user, task_id)
        if not as_json:
            say(f"{task_id}  removed")

    return await _each(desk, task_ids, remove)


COMMANDS = (add, list_, show, done, reopen, rename, rm)


async def _change_each(desk: Desk, task_ids: Sequence[str], *, completed: bool, as_json: bool) -> int:
    changed: list[Task] = []

    async def change(task_id: UUID) -> None:
        changed.append(await desk.tasks.change(desk.user, task_id, completed=completed))
        if not as_json:
            _show_one(changed[-1], as_json=False)

    status = await _each(desk, task_ids, change)
    if as_json:
        say(msgspec.json.encode([TaskDocument.of(task) for task in changed]).decode())
    return status


async def _each(desk: Desk, task_ids: Sequence[str], act: Callable[[UUID], Awaitable[None]]) -> int:
    """A refusal of one keeps nobody from the others, unless it would be that of all."""
    status = 0
    for task_id in task_ids:
        try:
            await act(await _found(desk, task_id))
        except (NotAuthenticated, Unavailable):
            raise
        except Refusal as refusal:
            status = complain(f"{task_id}: {refusal}", REFUSED)
    return status


async def _found(desk: Desk, text: str) -> UUID:
    """The one id of the caller's tasks that begins so. Raises NoSuchId."""
    try:
        ids = IdPrefix(text.lower())
    except ValueError:
        raise NoSuchId(f"{text!r} is no beginning of an id; todo list shows them.") from None
    if ids.first == ids.last:
        return ids.first
    tasks, more, _ = await desk.tasks.page(desk.user, Filter(ids=ids), after=None, limit=CANDIDATES)
    if not tasks:
        raise NoSuchId(f"No task of yours has an id that begins with {text}; todo list shows them.")
    if len(tasks) > 1:
        candidates = [task.id for task in tasks]
        names = ", ".join(shortest_names(candidates, candidates))
        raise NoSuchId(f"Several ids begin with {text}: {names}{' and others' if more else ''}; type more of one.")
    return tasks[0].id


def _show_one(task: Task, *, as_json: bool) -> None:
    say(msgspec.json.encode(TaskDocument.of(task)).decode() if as_json else line_of(task, str(task.id)))


async def _stretches(desk: Desk) -> AsyncIterator[Sequence[Task]]:
    """The whole list, a short one first."""
    tasks, more, _ = await desk.tasks.page(desk.user, Filter(), after=None, limit=FIRST_SHOWN)
    if tasks:
        yield tasks
    if more:
        async for chunk in desk.tasks.chunks(desk.user, Filter(), after=tasks[-1].position):
            yield chunk


async def _named(stretches: AsyncIterator[Sequence[Task]]) -> AsyncIterator[tuple[Sequence[Task], Sequence[str]]]:
    """Each stretch with its ids as short as may be.

    The ids that are most alike are those of tasks made in one moment, and these are neighbours in the list too: so it
    is enough to look at the stretches before and behind.
    """
    before: Sequence[Task] = ()
    this: Sequence[Task] = ()
    async for behind in stretches:
        if this:
            yield this, _names(this, (*before, *this, *behind))
        before, this = this, behind
    if this:
        yield this, _names(this, (*before, *this))


def _names(tasks: Sequence[Task], among: Sequence[Task]) -> Sequence[str]:
    return list(shortest_names([task.id for task in tasks], [task.id for task in among]))
