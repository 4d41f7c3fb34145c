"""Logs: lines for a person at a terminal, JSON for everything else.

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

from todo.entrypoints.http.middleware import Served

FLUSH_INTERVAL = 0.2  # seconds that lines of the access log wait for others, to be written together
MAX_WAITING = 500  # lines

_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """A record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return _encode({"at": at, "level": record.levelname, "logger": record.name, "message": message}).decode()


def make_log_config() -> dict[str, Any]:
    """For logging.config: to standard error, in the form that suits what reads it."""
    line = {"format": "%(levelname)s %(name)s: %(message)s"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line if sys.stderr.isatty() else {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class AccessLogLine(msgspec.Struct, gc=False):
    at: datetime
    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    user_hash: str | None
    level: str = "INFO"
    logger: str = "todo.access"


class AccessLog:
    """A line on standard error for each request."""

    def __init__(
        self, hash_key: str | None, write: Callable[[bytes], object] | None = None, *, is_batched: bool = True
    ) -> None:
        """Without a key each process makes its own, and a person's hash differs from process to process.

        ``is_batched``: whether lines are encoded and written together; one by one they take a tenth of a request's
        time, but a host that stops between requests may never write those that wait.
        """
        self._max_waiting = MAX_WAITING if is_batched else 1
        key = os.urandom(16) if hash_key is None else blake2b(hash_key.encode(), digest_size=32).digest()
        self._write = write or _write_to_stderr
        self._format = _format_for_terminal if write is None and sys.stderr.isatty() else _encode_lines
        self._hash = lru_cache(10_000)(lambda user: blake2b(user.encode(), key=key, digest_size=8).hexdigest())
        self._waiting: list[Served] = []
        atexit.register(self.flush)  # not every host tells an application that it ends

    def __call__(self, served: Served) -> None:
        if not self._waiting and self._max_waiting > 1:
            asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self.flush)
        self._waiting.append(served)
        if len(self._waiting) >= self._max_waiting:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            zero = time() - perf_counter()
            self._write(self._format([self._make_line(served, zero) for served in waiting]))

    def _make_line(self, served: Served, zero: float) -> AccessLogLine:
        return AccessLogLine(
            at=datetime.fromtimestamp(zero + served.began, UTC),
            request_id=served.request_id,
            method=served.method,
            route=served.route,
            status=served.status,
            seconds=round(served.seconds, 6),
            user_hash=None if served.user is None else self._hash(served.user),
        )


_encode_lines = msgspec.json.Encoder().encode_lines


def _format_for_terminal(lines: Sequence[AccessLogLine]) -> bytes:
    return "".join(
        f"{line.at.astimezone():%H:%M:%S}  {line.status}  {line.seconds * 1e3:7.1f} ms"
        f"  {line.method:6}  {line.route}  {line.request_id}\n"
        for line in lines
    ).encode()


def _write_to_stderr(lines: bytes) -> None:
    with suppress(OSError, ValueError):  # its reader has gone: no reason to fail requests
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()
