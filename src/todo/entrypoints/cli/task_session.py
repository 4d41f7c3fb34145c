"""What a task command runs with: the use cases on its target, and the person who acts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import update_wrapper
from typing import Any, NamedTuple

import rich_click as click

from todo.domain.task import UserId
from todo.domain.use_cases import Tasks
from todo.entrypoints.cli.target import Target, find_target, find_user


class Session(NamedTuple):
    tasks: Tasks
    user: UserId


@asynccontextmanager
async def open_session(
    target: Target,
    *,
    may_create: bool = False,
    timeout: float | None = None,  # noqa: ASYNC109 - of each call
) -> AsyncIterator[Session]:
    """``may_create``: whether a database without a schema gets one; else it counts as empty. ``timeout``: seconds for
    each call to a server, which is then not repeated."""
    from todo.composition import open_local_tasks, open_remote_tasks, read_token_subject

    if target.login is None:
        user = find_user()
        async with open_local_tasks(target.settings, may_create=may_create) as tasks:
            yield Session(tasks, user)
    else:
        user = read_token_subject(target.login.token)
        async with open_remote_tasks(target.login.server, target.login.token, timeout) as tasks:
            yield Session(tasks, user)


def task_command(
    handler: Callable[..., Awaitable[int | None]], *, may_create: bool = False
) -> Callable[..., int | None]:
    """Wraps a handler so that it runs with an open session."""

    @click.option("--server", metavar="URL", help="Work on this server.  [default: TODO_SERVER]")
    @click.option("--json", "as_json", is_flag=True, help="Print what the API would answer.")
    def command(server: str | None, **arguments: Any) -> int | None:
        target = find_target(server)

        async def run() -> int | None:
            async with open_session(target, may_create=may_create) as session:
                return await handler(session, **arguments)

        return asyncio.run(run())

    return update_wrapper(command, handler)
