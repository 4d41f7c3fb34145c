"""``app``, for hosts that import an ASGI application: bridges the event loops that serverless hosts make.

Its settings are those of `todo serve`, and `todo db upgrade` brings the schema up to date.
"""

import asyncio
import logging.config
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from todo.entrypoints.http.application import make_app_from_environment
from todo.entrypoints.http.logs import make_log_config
from todo.settings import InvalidSetting


class EventLoopBridge:
    """Some serverless hosts run each request in a new event loop, where connections and timers of an earlier one are
    of no use. From the second loop on, requests are therefore served in a loop of our own, in a thread."""

    def __init__(self, make_app: Callable[[], ASGIApp]) -> None:
        self._make_app = make_app
        self._home_app = make_app()
        self._home: asyncio.AbstractEventLoop | None = None
        self._own: tuple[asyncio.AbstractEventLoop, ASGIApp] | None = None
        self._lock = threading.Lock()  # each loop may have a thread of its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = asyncio.get_running_loop()
        with self._lock:
            self._home = self._home or host
            if host is not self._home and self._own is None:
                self._own = self._start_own()
        if host is self._home:
            await self._home_app(scope, receive, send)
            return
        assert self._own is not None
        own, app = self._own
        scope.setdefault("state", {})["is_bridged"] = True  # no stream outlives the host's loop

        async def receive_from_host() -> Any:
            return await _run_in(host, receive())

        async def send_to_host(message: Any) -> None:
            await _run_in(host, send(message))

        await _run_in(own, app(scope, receive_from_host, send_to_host))

    def _start_own(self) -> tuple[asyncio.AbstractEventLoop, ASGIApp]:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="todo", daemon=True).start()
        return loop, self._make_app()


async def _run_in(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    async def run() -> Any:
        return await coroutine

    started: Coroutine[Any, Any, Any] = run()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(started, loop))


def _make_app() -> EventLoopBridge:
    if not logging.getLogger().handlers:
        logging.config.dictConfig(make_log_config())
    try:
        return EventLoopBridge(partial(make_app_from_environment, may_pause=True))
    except InvalidSetting as error:
        sys.exit(f"todo: {error}")


app = _make_app()
