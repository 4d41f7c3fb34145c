"""What the service says of its work: lines for a person at a terminal, JSON for everything else.

Never a title, a token, a claim or a connection string; a person only as a keyed hash.
"""

import asyncio
import atexit
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from time import perf_counter, time
from typing import Any

import msgspec

from todo.entrypoints.http.edge import Served

LINGER = 0.2
"""Seconds that lines of requests wait for others, to be written with them."""

MANY = 500
"""Lines that wait for no more."""

_encode = msgspec.json.Encoder().encode


class JsonLines(logging.Formatter):
    """A record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        said = record.getMessage()
        if record.exc_info:
            said += "\n" + self.formatException(record.exc_info)
        return _encode({"at": at, "level": record.levelname, "logger": record.name, "said": said}).decode()


def configuration() -> dict[str, Any]:
    """For logging.config. To standard error, as a terminal or a collector there wants it."""
    line = {"format": "%(levelname)s %(name)s: %(message)s"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line if sys.stderr.isatty() else {"()": JsonLines}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class Line(msgspec.Struct, gc=False):
    """What is said of one request."""

    at: datetime
    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    owner: str | None
    level: str = "INFO"
    logger: str = "todo.requests"


class RequestLog:
    """A line for each request that was served, on standard error. Lines are made and written in rows: one by one
    they would take a tenth of a request's time."""

    def __init__(self, hash_key: str | None, write: Callable[[bytes], object] | None = None) -> None:
        """Without a key it makes one of its own: then hashes are the same in this process alone."""
        key = os.urandom(16) if hash_key is None else blake2b(hash_key.encode(), digest_size=32).digest()
        self._write = write or _to_stderr
        self._encoded = _for_terminal if write is None and sys.stderr.isatty() else msgspec.json.Encoder().encode_lines
        self._hash = lru_cache(10_000)(lambda user: blake2b(user.encode(), key=key, digest_size=8).hexdigest())
        self._served: list[Served] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        atexit.register(self.flush)  # not every host tells an application that it ends

    def __call__(self, served: Served) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a host that runs one for each of its calls: what the last one kept would wait on
            self._loop = loop
            self.flush()
        if not self._served:
            loop.call_later(LINGER, self.flush)
        self._served.append(served)
        if len(self._served) >= MANY:
            self.flush()

    def flush(self) -> None:
        served, self._served = self._served, []
        if served:
            zero = time() - perf_counter()
            self._write(self._encoded([self._line(one, zero) for one in served]))

    def _line(self, served: Served, zero: float) -> Line:
        return Line(
            at=datetime.fromtimestamp(zero + served.began, UTC),
            request_id=served.request_id,
            method=served.method,
            route=served.route,
            status=served.status,
            seconds=round(served.seconds, 6),
            owner=None if served.user is None else self._hash(served.user),
        )


def _for_terminal(lines: Sequence[Line]) -> bytes:
    return "".join(
        f"{line.at.astimezone():%H:%M:%S}  {line.status}  {line.seconds * 1e3:7.1f} ms"
        f"  {line.method:6}  {line.route}  {line.request_id}\n"
        for line in lines
    ).encode()


def _to_stderr(lines: bytes) -> None:
    with suppress(OSError, ValueError):  # whoever read them has gone: no reason to fail those who ask
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()
