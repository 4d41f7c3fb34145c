"""The stream of events: rings when something of the caller's has changed.

Server-sent events (WHATWG HTML, section 9.2). A client reads what has changed from /api/changes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import msgspec
from litestar import Controller, get
from litestar.types import ASGIApp, Receive, Scope, Send

from todo.domain.ports import ANY_VERSION, ChangeFeed, ListVersion
from todo.domain.refusals import Unavailable
from todo.domain.task import UserId
from todo.domain.use_cases import SyncPoint
from todo.entrypoints.http.changes import parse_since
from todo.entrypoints.http.problems import Headers, InvalidRequest, log_cause
from todo.entrypoints.http.query import Parameter, read_query
from todo.entrypoints.http.requests import ApiRequest, invalid_parameter, read_header
from todo.entrypoints.http.responses import respond_to_head, wait_for_disconnect
from todo.http_contract.sealed_tokens import format_sync_token

POLL_INTERVAL = 1  # seconds between two looks at the revisions of everybody who listens
WAKE_INTERVAL = 0.05  # seconds between two looks because of changes of our own
HEARTBEAT = 15  # seconds of silence after which a comment is sent
STREAMS_OF_A_PERSON = 8

_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class Watcher:
    """Knows the versions of the lists of everybody who listens, by one statement a second for the whole process. While
    nobody listens it asks nothing, so that a serverless database can sleep.

    Not LISTEN and NOTIFY: the one does not pass a transaction pooler, the other takes a lock for each commit.
    """

    def __init__(self, feed: ChangeFeed, max_streams: int) -> None:
        self._feed = feed
        self._max_streams = max_streams
        self._bells: dict[UserId, list[asyncio.Event]] = {}
        self._number = 0  # of streams
        self._versions: dict[UserId, ListVersion] = {}
        self._woken: set[UserId] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self, user: UserId) -> None:
        """This process has changed something of the user's."""
        if user in self._bells:
            self._woken.add(user)
            self._wake.set()

    @asynccontextmanager
    async def listen(self, user: UserId) -> AsyncGenerator[asyncio.Event, None]:
        """A bell for a stream of the user's: set when their version is another one than before.

        Raises InvalidRequest (429) or Unavailable if there are too many streams.
        """
        bells = self._bells.get(user, [])
        if len(bells) >= STREAMS_OF_A_PERSON:
            detail = f"You have {STREAMS_OF_A_PERSON} event streams already; share one among your tabs."
            raise InvalidRequest(detail, status=429, headers={"Retry-After": "5"})
        if self._number >= self._max_streams:
            raise Unavailable("There are too many event streams; try again in a moment.")
        bell = asyncio.Event()
        self._bells[user] = [*bells, bell]
        self._number += 1
        try:
            await self._look({user})
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._watch())
            yield bell
        finally:
            self._number -= 1
            self._bells[user].remove(bell)
            if not self._bells[user]:
                del self._bells[user]
                self._versions.pop(user, None)
            if not self._bells and self._task is not None:
                self._task.cancel()
                self._task = None

    def get_version(self, user: UserId) -> ListVersion:
        """As it was at the last look."""
        return self._versions[user]

    async def _watch(self) -> None:
        next_poll = time.monotonic() + POLL_INTERVAL
        while self._bells:
            with suppress(TimeoutError):
                async with asyncio.timeout(next_poll - time.monotonic()):
                    await self._wake.wait()
                await asyncio.sleep(WAKE_INTERVAL)  # several changes in a row are one event
            users, self._woken = self._woken, set()
            self._wake.clear()
            if time.monotonic() >= next_poll:
                users, next_poll = set(self._bells), time.monotonic() + POLL_INTERVAL
            try:
                await self._look(users)
            except Unavailable:
                pass  # the database is away; the next poll will tell what has changed meanwhile
            except Exception as error:  # noqa: BLE001 - everybody who listens depends on this task
                log_cause(error, {})

    async def _look(self, users: set[UserId]) -> None:
        found = await self._feed.versions(users)
        for user in users & self._bells.keys():
            version, known = found.get(user, ANY_VERSION), self._versions.get(user)
            if known is None or version.is_news_after(known):
                self._versions[user] = version
                for bell in self._bells[user]:
                    bell.set()


class EventsController(Controller):
    path = "/events"
    watcher: Watcher

    @get()
    async def stream(self, request: ApiRequest) -> ASGIApp:
        user = request.user
        if request.scope["http_version"] == "1.0":
            raise InvalidRequest("Events need HTTP/1.1, between a proxy and the service, too.")
        if request.scope["state"].get("is_bridged"):
            raise InvalidRequest("This host can't send events; ask /api/changes from time to time.", status=501)
        since = _read_since(request)
        if request.scope["state"]["is_head"]:
            return respond_to_head(_HEADERS)
        return _Stream(self.watcher, user, since, request.auth)


def _read_since(request: ApiRequest) -> SyncPoint | None:
    parse = partial(parse_since, request.user)
    query = read_query(request, {"since": Parameter(parse, "since must be the next of an answer to you.")})
    if query.errors:
        raise InvalidRequest(query.errors[0].detail, *query.errors)
    # After a connection was lost, the header is newer than the parameter.
    last = read_header(request, b"last-event-id")
    if not last:
        since: SyncPoint | None = query.first.get("since")
        return since
    try:
        return parse(last)
    except ValueError:
        raise invalid_parameter("Last-Event-ID", "Last-Event-ID must be the id of an event to you.") from None


class _Stream:
    """Ends when the token expires, the client leaves, or the server stops."""

    def __init__(self, watcher: Watcher, user: UserId, since: SyncPoint | None, expires_at: float) -> None:
        self._watcher = watcher
        self._user = user
        self._since = since
        self._expires_at = expires_at

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with self._watcher.listen(self._user) as bell:
            known = self._watcher.get_version(self._user) if self._since is None else self._since.version
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b": listening\n\n", "more_body": True})
            left = asyncio.create_task(wait_for_disconnect(receive))
            left.add_done_callback(lambda _: bell.set())
            try:
                while (rest := self._expires_at - time.time()) > 0:
                    if not self._watcher.get_version(self._user).is_news_after(known):
                        with suppress(TimeoutError):
                            async with asyncio.timeout(min(rest, HEARTBEAT)):
                                await bell.wait()
                        bell.clear()
                    if left.done():
                        break
                    version, body = self._watcher.get_version(self._user), b":\n\n"
                    if version.is_news_after(known):
                        body, known = _format_event(self._user, version), version
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            finally:
                left.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _format_event(user: UserId, version: ListVersion) -> bytes:
    token = format_sync_token(user, SyncPoint(version, 0))
    data = msgspec.json.encode({"revision": version.revision}).decode()
    return f"id: {token}\nevent: changed\ndata: {data}\n\n".encode()
