"""What holds for every answer, whichever part of the service gives it: the outermost ASGI callable."""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from todo.domain.refusals import Unavailable
from todo.entrypoints.http import problems
from todo.entrypoints.http.cors import Cors
from todo.entrypoints.http.replies import Headers

_ALWAYS = ("/health/", "/metrics")
_DOCS = ("/docs", "/openapi.json")

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Served(NamedTuple):
    """A request that was answered, for whoever counts or tells."""

    request_id: str
    method: str
    route: str
    """Its path as the routes have it, or ``unknown``: what people make up is nobody's label."""
    status: int
    """0 if the client left before there was one."""
    began: float
    """By time.perf_counter."""
    seconds: float
    user: str | None
    """Who asked, if that is known. A reader passes on no more than a hash."""
    traceparent: str | None = None
    """As it came (W3C Trace Context, section 3.2)."""


Observer = Callable[[Served], None]


class Edge:
    """Names each request, answers HEAD as GET without its body, lets front ends in and nothing unforeseen out.

    No more than ``most`` requests are served at once; others are refused at once, so that those who are served are
    served in time. Questions about the service itself are always answered.
    """

    def __init__(self, app: ASGIApp, cors: Cors, most: int, observers: Sequence[Observer] = ()) -> None:
        self._app = app
        self._cors = cors
        self._most = most
        self._observers = observers
        self._at_once = [0, 0]
        """Requests for tasks, and for the docs: these are long and want no token, so whoever takes them slowly, or not
        at all, is to hold up nobody but their like."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request: Headers = list(scope["headers"])
        request_id = _request_id(request)
        added = [
            (b"x-request-id", request_id),
            (b"x-content-type-options", b"nosniff"),
            *self._cors.added(request),
        ]
        named = scope.setdefault("state", {})["request_id"] = request_id.decode()
        method = scope["method"]
        if method == "HEAD":
            scope = scope.copy()  # the server looks at its own to know that no body follows
            scope["method"] = "GET"
        status = 0

        async def send_completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                if method == "OPTIONS" or status == HTTPStatus.METHOD_NOT_ALLOWED:
                    given = [(name, _with_head(value) if name == b"allow" else value) for name, value in given]
                message["headers"] = [*given, *added]
            elif method == "HEAD" and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        is_counted = not scope["path"].startswith(_ALWAYS)
        is_of_docs = scope["path"].startswith(_DOCS)
        self._at_once[is_of_docs] += is_counted
        try:
            if method == "OPTIONS" and (preflight := self._cors.preflight(request)) is not None:
                await _answer(send_completed, 204, preflight, b"")
            elif is_counted and self._at_once[is_of_docs] > self._most:
                await _refuse(send_completed, Unavailable("Too many requests come at once; try again in a moment."))
            else:
                await self._app(scope, receive, send_completed)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            problems.log_cause(error, scope)
            if not status:
                await _refuse(send_completed, error)
            # Else the answer ends without its last part, and the server cuts the connection: no client takes
            # what has come for the whole.
        finally:
            self._at_once[is_of_docs] -= is_counted
            if self._observers:
                route = _route_of(scope.get("path_template"))
                seconds, user = perf_counter() - began, scope.get("user")
                served = Served(named, method, route, status, began, seconds, user, _traceparent(request))
                for observe in self._observers:
                    try:
                        observe(served)
                    except Exception as error:  # noqa: BLE001 - the answer is on its way, and is the asker's
                        problems.log_cause(error, scope)


@cache
def _route_of(template: str | None) -> str:
    """As OpenAPI writes it: without the types of its parameters."""
    return "unknown" if template is None else re.sub(":[a-z]+}", "}", template)


async def _refuse(send: Send, error: Exception) -> None:
    status, body, headers = problems.render(error)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    await _answer(send, status, raw, body)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _request_id(headers: Headers) -> bytes:
    given = None
    for name, value in headers:
        if name == b"x-request-id":
            given = value if given is None else b""  # two are none
    if given is not None and _SANE_REQUEST_ID.fullmatch(given):
        return given
    return b"%032x" % random.getrandbits(128)  # to find it in the log, not to be unguessable


def _traceparent(headers: Headers) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), None)


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return b", ".join(sorted(methods))
