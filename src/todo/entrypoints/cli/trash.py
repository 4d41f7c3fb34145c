"""The commands on what was removed."""

from collections.abc import Sequence

import rich_click as click

from todo.domain.refusals import Refusal
from todo.domain.task import RemovedTask, Task
from todo.entrypoints.cli.output import describe, fit, format_time, print_line, print_tasks
from todo.entrypoints.cli.task_ids import NoSuchId, for_each, shorten_ids
from todo.entrypoints.cli.task_session import Session, task_command
from todo.http_contract.documents import encode_task, encode_tasks, encode_trash


@click.command()
@task_command
async def trash(session: Session, *, as_json: bool) -> None:
    """List removed tasks, the latest removal first.

    Example: todo trash
    """
    removed = await _read_trash(session)
    if as_json:
        print_line(encode_trash(removed).decode())
        return
    ids = [task.id for task, _ in removed]
    names = list(shorten_ids(ids, ids))
    width = max(map(len, names), default=0)
    for name, (task, removed_at) in zip(names, removed, strict=True):
        columns = f"{name:{width}}  removed {format_time(removed_at)}  "
        print_line(columns + fit(describe(task), len(columns)))


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@task_command
async def restore(session: Session, task_ids: Sequence[str], *, as_json: bool) -> int:
    """Restore removed tasks.

    Example: todo restore 01a2
    """
    removed = await _read_trash(session)
    restored: list[Task] = []

    async def act(text: str) -> None:
        restored.append(await session.tasks.restore(session.user, _find(removed, text).task.id))
        if not as_json:
            print_tasks(restored[-1:])

    status = await for_each(task_ids, act)
    if as_json:
        print_line(encode_tasks(restored).decode())
    return status


@click.command()
@task_command
async def undo(session: Session, *, as_json: bool) -> None:
    """Restore the task that was removed last.

    Example: todo undo
    """
    removed, _ = await session.tasks.trash(session.user, limit=1)
    if not removed:
        raise Refusal("There is nothing in the trash.")
    task = await session.tasks.restore(session.user, removed[0].task.id)
    if as_json:
        print_line(encode_task(task).decode())
    else:
        print_tasks([task])


COMMANDS = (trash, restore, undo)


async def _read_trash(session: Session) -> list[RemovedTask]:
    return [one async for page in session.tasks.trash_pages(session.user) for one in page.tasks]


def _find(removed: Sequence[RemovedTask], text: str) -> RemovedTask:
    """Raises NoSuchId."""
    found = [one for one in removed if text and str(one.task.id).startswith(text.lower())]
    if len(found) != 1:
        raise NoSuchId(
            f"{'Several of' if found else 'None of'} your removed tasks {'have' if found else 'has'} an id that begins"
            f" with {text}; run `todo trash`."
        )
    return found[0]
