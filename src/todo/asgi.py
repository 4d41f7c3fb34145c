"""``app``, for hosts that import an ASGI application. Its settings are the environment's, and `todo db upgrade` brings
the schema up to date."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from todo.entrypoints.http.application import make_app_from_environment


class EventLoopBridge:
    """Some serverless hosts run each request in a new event loop, where connections and timers of an earlier one are
    of no use. From the second loop on, requests are therefore served in a loop of our own, in a thread."""

    def __init__(self, make_app: Callable[[], ASGIApp]) -> None:
        self._make_app = make_app
        self._app = make_app()
        self._home: asyncio.AbstractEventLoop | None = None
        self._own: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = asyncio.get_running_loop()
        if self._home is None:
            self._home = host
        if host is self._home:
            await self._app(scope, receive, send)
            return
        if self._own is None:
            self._app = self._make_app()
            self._own = asyncio.new_event_loop()
            threading.Thread(target=self._own.run_forever, name="todo", daemon=True).start()

        async def receive_from_host() -> Any:
            return await _run_in(host, receive())

        async def send_to_host(message: Any) -> None:
            await _run_in(host, send(message))

        await _run_in(self._own, self._app(scope, receive_from_host, send_to_host))


async def _run_in(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    async def run() -> Any:
        return await coroutine

    started: Coroutine[Any, Any, Any] = run()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(started, loop))


app = EventLoopBridge(make_app_from_environment)
