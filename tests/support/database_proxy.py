"""The way to a PostgreSQL, which can be disturbed while it is used."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

LAG = 1
"""Seconds, each way."""


class Weather(Enum):
    FAIR = "everything comes through"
    SWALLOWED = "nothing comes through, and nobody is told"
    SLOW = "everything comes late"
    RESET = "every connection is reset, the new ones too"
    CUT = "what is asked comes through, and for an answer the connection is reset: a COMMIT is made, and nobody told"


class Wire:
    """Listens on loopback, in a thread and an event loop of its own."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.weather = Weather.FAIR
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._listener = listening.result()
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def change(self, weather: Weather) -> None:
        self.weather = weather
        if weather is Weather.RESET:
            self._loop.call_soon_threadsafe(self._reset_all)

    def close(self) -> None:
        async def close() -> None:
            self._listener.close()
            self._reset_all()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _reset_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._writers.add(to_client)
        try:
            if self.weather is Weather.RESET:
                to_client.transport.abort()
                return
            server, to_server = await asyncio.open_connection(*self._target)
            self._writers.add(to_server)
            there = asyncio.create_task(self._pump(client, to_server, is_answer=False))
            await self._pump(server, to_client, is_answer=True)
            there.cancel()
            self._writers.discard(to_server)
            to_server.transport.abort()
        except OSError:
            pass  # the server is not there: neither is the way to it
        finally:
            self._writers.discard(to_client)
            to_client.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(OSError):
            while content := await reader.read(65536):
                if self.weather is Weather.SLOW:
                    await asyncio.sleep(LAG)
                if self.weather is Weather.CUT and is_answer:
                    return
                if self.weather is not Weather.SWALLOWED:
                    writer.write(content)
                    await writer.drain()
            if self.weather is Weather.SWALLOWED:
                await asyncio.Event().wait()  # not even the end comes through


@contextmanager
def wire(url: str) -> Iterator[tuple[Wire, str]]:
    """And the URL of the same database by way of it."""
    parts = urlsplit(url)
    running = Wire((str(parts.hostname), int(parts.port or 5432)))
    try:
        yield (
            running,
            parts._replace(netloc=f"{parts.username}:{parts.password or ''}@127.0.0.1:{running.port}").geturl(),
        )
    finally:
        running.close()
