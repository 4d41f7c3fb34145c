"""Starts uvicorn with the HTTP protocol of this package, and stops it without losing a request."""

import asyncio
import gc
import logging.config
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory

import uvicorn
from litestar.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from todo.domain.refusals import Refusal
from todo.entrypoints.http.application import check_settings, make_app_from_environment, make_app_from_settings
from todo.entrypoints.http.logs import make_log_config
from todo.entrypoints.http.server.http_protocol import HttpProtocol
from todo.settings import ServerSettings

SHUTDOWN_TIMEOUT = 10  # seconds that requests in flight get when the server is told to stop

MAX_OPEN_FILES = 65_536

GC_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector. Concurrent requests have more than its default of 700 between
them, and leave no cycles; saves 4 to 15 µs of a request."""

ACCEPT_TURNS = 5  # of the event loop, in each of which the server accepts all connections that wait


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts the connections that wait before it closes: the kernel would reset them."""
        for listening in sockets or []:
            listening.listen(0)  # no further ones
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


class CannotListen(Refusal):
    """The address or port can't be used."""


def run(
    settings: ServerSettings,
    *,
    host: str,
    port: int,
    workers: int,
    root_path: str,
    on_listening: Callable[[str], object],
) -> None:
    """Serves until it is told to stop; ``on_listening`` is called with the URL once clients can connect.

    ``root_path`` is where clients find the service, if a proxy strips that from the paths of their requests.

    Raises InvalidSetting, CannotListen.
    """
    logging.config.dictConfig(make_log_config())
    if workers > 1:
        check_settings(settings)  # a wrong setting stops here, not in a worker
    config = uvicorn.Config(
        _freeze(make_app_from_settings(settings)) if workers == 1 else f"{__name__}:make_worker_app",
        factory=workers > 1,
        workers=workers,
        http=HttpProtocol,
        log_config=make_log_config(),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        root_path=root_path,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )
    _raise_open_files_limit()
    listening = _listen(host, port)
    on_listening(_format_url(listening))
    # uvicorn raises the signal again once it has stopped, when nothing is left to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if workers > 1:
            with TemporaryDirectory(prefix="todo-metrics-") as folder:
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
                Multiprocess(config, sockets=[listening]).run()
            return
        server = Server(config)
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(1)


def make_worker_app() -> ASGIApp:
    """Of one of several processes."""
    return _freeze(make_app_from_environment())


def _freeze(app: ASGIApp) -> ASGIApp:
    """What is loaded by now stays: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return app


def _raise_open_files_limit() -> None:
    """As far as the system allows: each connection is one, and many systems begin with 1024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (min(most, MAX_OPEN_FILES) if most > 0 else MAX_OPEN_FILES, most)
            )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_any = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(address, family=family, backlog=2048, dualstack_ipv6=is_any)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or "no such address").partition(" (")[0]
        raise CannotListen(f"can't listen on {host}, port {port}: {reason}") from None
    listening.set_inheritable(True)
    return listening


def _format_url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
