"""A proxy in front of PostgreSQL that injects faults into connections in use."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

DELAY = 1  # second, in each direction


class Fault(Enum):
    NONE = "everything is passed on"
    DROP = "nothing is passed on, and no connection ends"
    DELAY = "everything is passed on late"
    RESET = "every connection is reset, also each new one"
    CUT = "a request is passed on, its response is replaced by a reset: a COMMIT is made but not confirmed"


class DatabaseProxy:
    """Listens on loopback, in a thread and an event loop of its own."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.fault = Fault.NONE
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._listener = listening.result()
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def inject(self, fault: Fault) -> None:
        self.fault = fault
        if fault is Fault.RESET:
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
            if self.fault is Fault.RESET:
                to_client.transport.abort()
                return
            server, to_server = await asyncio.open_connection(*self._target)
            self._writers.add(to_server)
            requests = asyncio.create_task(self._pump(client, to_server, is_response=False))
            await self._pump(server, to_client, is_response=True)
            requests.cancel()
            self._writers.discard(to_server)
            to_server.transport.abort()
        except OSError:
            pass  # the database is down
        finally:
            self._writers.discard(to_client)
            to_client.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_response: bool) -> None:
        with suppress(OSError):
            while content := await reader.read(65536):
                if self.fault is Fault.DELAY:
                    await asyncio.sleep(DELAY)
                if self.fault is Fault.CUT and is_response:
                    return
                if self.fault is not Fault.DROP:
                    writer.write(content)
                    await writer.drain()
            if self.fault is Fault.DROP:
                await asyncio.Event().wait()  # not even the end is passed on


@contextmanager
def database_proxy(url: str) -> Iterator[tuple[DatabaseProxy, str]]:
    """The proxy, and the URL of the same database through it."""
    parts = urlsplit(url)
    running = DatabaseProxy((str(parts.hostname), int(parts.port or 5432)))
    try:
        yield (
            running,
            parts._replace(netloc=f"{parts.username}:{parts.password or ''}@127.0.0.1:{running.port}").geturl(),
        )
    finally:
        running.close()
