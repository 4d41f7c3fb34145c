"""`todo serve`: checks, migrates, listens, and hands over to uvicorn."""

import asyncio
import gc
import logging.config
import os
import shlex
import signal
import socket
import sys
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import rich_click as click
import uvicorn
from uvicorn.supervisors import Multiprocess

from todo.composition import issue_token, upgrade_database
from todo.domain.refusals import Refusal
from todo.domain.task import UserId
from todo.entrypoints.cli.output import NEWER, complain
from todo.entrypoints.cli.place import is_loopback
from todo.entrypoints.http.application import check, from_environment, from_settings
from todo.entrypoints.http.logs import configuration
from todo.entrypoints.http.protocol import Protocol
from todo.settings import InvalidSetting, Settings

if TYPE_CHECKING:  # at run time todo.entrypoints.http has to be the first to load Litestar
    from litestar.types import ASGIApp

GRACE = 10
"""Seconds that requests in flight get when the server is told to stop."""

FILES = 65_536
"""The most that are open at once."""

YOUNG = 10_000
"""How many objects the garbage collector lets come before it looks at them: many requests at once have more than its
usual 700 between them, and leave no cycles."""

TURNS = 5
"""Of the event loop, in each of which it takes in all who wait at the door."""


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes in who stands at the door before it closes: the kernel would turn them away without an answer."""
        for listening in sockets or []:
            listening.listen(0)  # nobody else joins them
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


class CannotListen(Refusal):
    """The address or port can't be had."""


def serve(settings: Settings, user: UserId | None, *, host: str, port: int, workers: int, migrate: bool) -> None:
    """Greets with a token for the user, if there is one; returns when the server was told to stop.

    Raises InvalidSetting, Unavailable, CannotListen.
    """
    if settings.uses_kept_secret and not is_loopback(host):
        raise InvalidSetting(
            f"to listen on {host}, set BETTER_AUTH_URL, JWT_JWKS_URL or BETTER_AUTH_SECRET: "
            "without one, only this machine is served"
        )
    if migrate and not upgrade_database(settings):
        complain(NEWER, 0)
    logging.config.dictConfig(configuration())
    if workers > 1:
        check(settings)  # a wrong setting stops here, not in a worker
    config = uvicorn.Config(
        _settled(from_settings(settings)) if workers == 1 else "todo.entrypoints.cli.serving:of_worker",
        factory=workers > 1,
        workers=workers,
        http=Protocol,
        log_config=configuration(),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )
    _allow_connections()
    listening = _listen(host, port)
    _greet(settings, user, listening)
    # uvicorn sends itself the signal again once it has stopped: that is when the work is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if workers > 1:
            with TemporaryDirectory(prefix="todo-metrics-") as counted_together:
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted_together
                Multiprocess(config, sockets=[listening]).run()
            return
        server = Server(config)
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(1)


def of_worker() -> "ASGIApp":
    """The application of one of several processes, each of which makes its own."""
    return _settled(from_environment())


def _settled(app: "ASGIApp") -> "ASGIApp":
    """What is loaded by now stays: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
    return app


def _allow_connections() -> None:
    """As many open files as the system lets a process have: each connection is one, and many begin with 1024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES) if most > 0 else FILES, most))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or "no such address").partition(" (")[0]
        raise CannotListen(f"can't listen on {host}, port {port}: {reason}") from None
    listening.set_inheritable(True)
    return listening


def _greet(settings: Settings, user: UserId | None, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if user is not None:
        token = issue_token(settings, user, timedelta(hours=1))
    else:
        token = "<a token of your issuer>" if settings.key_set_url else f"$({shlex.quote(sys.argv[0])} token)"
    click.echo(
        f"todo serves  {url}\n"
        f"its docs     {url}/docs\n"
        f"tasks are in {settings.database_file or 'PostgreSQL'}\n"
        f'try it with  curl -H "Authorization: Bearer {token}" {url}/api/tasks'
    )
    sys.stdout.flush()  # whoever waits for these lines at the end of a pipe can call from now on
