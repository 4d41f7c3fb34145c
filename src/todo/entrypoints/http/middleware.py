"""The outermost ASGI application: request ids, HEAD, CORS, the limit on concurrent requests, and 500s."""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from time import perf_counter
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from todo.domain.refusals import Unavailable
from todo.entrypoints.http import problems
from todo.entrypoints.http.cors import Cors
from todo.entrypoints.http.problems import Headers
from todo.entrypoints.http.server.request_cycle import EVENT_STREAM

_UNLIMITED = ("/health/", "/metrics")
_FOR_BROWSERS = ("/docs", "/openapi.json", "/web/")

_VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Served(NamedTuple):
    """A request that was answered, for logs, metrics and traces."""

    request_id: str
    method: str
    route: str  # its path with the names of its parameters, or ``unknown``: paths that people make up are no label
    status: int  # 0 if the client left before there was one
    began: float  # by time.perf_counter
    seconds: float
    user: str | None  # who asked, if known. Observers pass on no more than a hash
    traceparent: str | None = None  # as received (W3C Trace Context, section 3.2)


Observer = Callable[[Served], None]


class Middleware:
    """Gives each request an id, answers HEAD as GET without the body, adds CORS headers, and turns whatever was not
    foreseen into a 500.

    At most ``max_concurrent`` requests are served at once and the others refused at once, so that the former are
    served in time. Health checks and metrics are not limited. Nor are requests whose tokens wait for the issuer
    (``count_waiting``): anyone can send those, and they would otherwise lock out everyone else.
    """

    def __init__(
        self,
        app: ASGIApp,
        cors: Cors,
        max_concurrent: int,
        count_waiting: Callable[[], int],
        observers: Sequence[Observer] = (),
    ) -> None:
        self._app = app
        self._cors = cors
        self._max_concurrent = max_concurrent
        self._count_waiting = count_waiting
        self._observers = observers
        self._active = [0, 0]
        """Requests for tasks, and for the docs and the web page, which need no token: clients that read those slowly
        must not use up the slots of requests for tasks."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request: Headers = list(scope["headers"])
        request_id = _read_request_id(request)
        added = [
            (b"x-request-id", request_id),
            (b"x-content-type-options", b"nosniff"),
            *self._cors.response_headers(request),
        ]
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        scope["state"]["is_head"] = scope["method"] == "HEAD"
        method, path = scope["method"], _read_path(scope)
        if method == "HEAD" or path != scope["path"]:
            scope = scope.copy()  # the server's own still says HEAD
            scope["method"], scope["path"] = "GET" if method == "HEAD" else method, path
        path = path.removeprefix(scope.get("root_path", ""))
        is_limited = not path.startswith(_UNLIMITED)
        needs_no_token = path in ("", "/") or path.startswith(_FOR_BROWSERS)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_limited
            if message["type"] == "http.response.start":
                headers = message["headers"]
                if is_limited and (b"content-type", EVENT_STREAM) in headers:  # which has limits of its own
                    is_limited = False
                    self._active[needs_no_token] -= 1
                if method == "OPTIONS" or message["status"] == 405:
                    headers = [(name, _add_head(value) if name == b"allow" else value) for name, value in headers]
                message["headers"] = [*headers, *added]
                await send(message)
                status = message["status"]
            else:
                if method == "HEAD" and message["type"] == "http.response.body":
                    message["body"] = b""  # some hosts would send it, which HTTP/2 forbids
                await send(message)

        self._active[needs_no_token] += is_limited
        try:
            if method == "OPTIONS" and (preflight := self._cors.preflight_headers(request)) is not None:
                await _respond(send_with_headers, 204, preflight, b"")
            elif is_limited and self._is_full(needs_no_token):
                refusal = Unavailable("Too many requests come at once; try again in a moment.")
                await _respond(send_with_headers, *problems.render(refusal))
            elif "//" in path:  # which Litestar takes for one slash
                await _respond(send_with_headers, *problems.render(NotFoundException()))
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            problems.log_cause(error, scope)
            if not status:
                await _respond(send_with_headers, *problems.render(error))
            # Else the response stays without its last part, and the server closes the connection: no client takes
            # what it got for the whole.
        finally:
            self._active[needs_no_token] -= is_limited
            if self._observers:
                self._observe(scope, method, status, began, _read_traceparent(request))

    def _is_full(self, needs_no_token: bool) -> bool:
        active = self._active[needs_no_token]
        return active > self._max_concurrent and (
            needs_no_token or active - self._count_waiting() > self._max_concurrent
        )

    def _observe(self, scope: Scope, method: str, status: int, began: float, traceparent: str | None) -> None:
        route = _format_route(scope.get("path_template"))
        seconds, user = perf_counter() - began, scope.get("user")
        served = Served(scope["state"]["request_id"], method, route, status, began, seconds, user, traceparent)
        for observe in self._observers:
            try:
                observe(served)
            except Exception as error:  # noqa: BLE001 - the client has its response
                problems.log_cause(error, scope)


@cache
def _format_route(template: str | None) -> str:
    """As OpenAPI writes it: without the types of its parameters."""
    return "unknown" if template is None else re.sub(":[a-z]+}", "}", template)


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _read_path(scope: Scope) -> str:
    """As it was sent, where the server says so. A proxy's rules see no other, so a route has no second spelling."""
    raw = scope.get("raw_path")
    return raw.decode("latin-1") if raw else scope["path"]


def _read_request_id(headers: Headers) -> bytes:
    """The client's, if it sent a valid one; else a new one."""
    sent = [value for name, value in headers if name == b"x-request-id"]
    if len(sent) == 1 and _VALID_REQUEST_ID.fullmatch(sent[0]):
        return sent[0]
    return b"%032x" % random.getrandbits(128)  # to find it in the log, not to be unguessable


def _read_traceparent(headers: Headers) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), None)


def _add_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return b", ".join(sorted(methods))
