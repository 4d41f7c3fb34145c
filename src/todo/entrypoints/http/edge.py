"""What holds for every answer, whichever part of the service gives it: the outermost ASGI callable."""

import random
import re

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from todo.entrypoints.http import problems
from todo.entrypoints.http.cors import Cors, Headers

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Edge:
    """Names each request, answers HEAD as GET without its body, lets front ends in and nothing unforeseen out."""

    def __init__(self, app: ASGIApp, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request: Headers = list(scope["headers"])
        request_id = _request_id(request)
        added = [
            (b"x-request-id", request_id),
            (b"x-content-type-options", b"nosniff"),
            *self._cors.added(request),
        ]
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope = scope.copy()  # the server looks at its own to know that no body follows
            scope["method"] = "GET"
        started = False

        async def send_completed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = message["headers"]
                if scope["method"] == "OPTIONS" or message["status"] == 405:
                    given = [(name, _with_head(value) if name == b"allow" else value) for name, value in given]
                message["headers"] = [*given, *added]
            elif is_head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        if scope["method"] == "OPTIONS" and (preflight := self._cors.preflight(request)) is not None:
            await _answer(send_completed, 204, preflight, b"")
            return
        try:
            await self._app(scope, receive, send_completed)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            problems.log_cause(error, scope)
            if not started:
                status, body, headers = problems.render(error)
                raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
                raw += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
                await _answer(send_completed, status, raw, body)
            # Else the answer ends without its last part, and the server cuts the connection: no client takes
            # what has come for the whole.


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


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    return b", ".join(sorted(methods))
