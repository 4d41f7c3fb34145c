"""IDs as people type them: any prefix that is unique among a person's tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

import rich_click as click
from click.shell_completion import CompletionItem

from todo.domain.ports import IdPrefix, Page, Selection
from todo.domain.refusals import NotAuthenticated, Refusal, Unavailable
from todo.domain.task import Task
from todo.entrypoints.cli.output import escape, print_error
from todo.entrypoints.cli.target import find_target
from todo.entrypoints.cli.task_session import Session, open_session

CANDIDATES = 5  # how many ids an ambiguous prefix is explained with
COMPLETION_TIMEOUT = 1  # seconds that a shell is kept waiting
SUGGESTIONS = 50  # how many ids a shell is offered to complete one


class NoSuchId(Refusal):
    """None of the person's tasks, or more than one, has an id with this prefix. The sentence names it."""


async def find_id(session: Session, text: str) -> UUID:
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


async def for_each(texts: Sequence[str], act: Callable[[str], Awaitable[None]]) -> int:
    """The exit status. The refusal of one stops the others only if it would be theirs, too."""
    status = 0
    for text in texts:
        try:
            await act(text)
        except (NotAuthenticated, Unavailable):
            raise
        except Refusal as refusal:
            print_error(str(refusal) if isinstance(refusal, NoSuchId) else f"{text}: {refusal}")
            status = 1
    return status


def id_argument(*, several: bool) -> Callable[[Any], Any]:
    name, metavar = ("task_ids", "ID...") if several else ("task_id", "ID")
    return click.argument(name, metavar=metavar, nargs=-1 if several else 1, required=True, shell_complete=_complete_id)


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


async def with_short_ids(pages: AsyncIterator[Page]) -> AsyncIterator[tuple[Sequence[Task], Sequence[str]]]:
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
