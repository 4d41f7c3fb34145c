"""Who asks: the bearer token of a request (RFC 6750, section 2.1), judged before anything else of it is read."""

from collections.abc import Callable
from typing import Any

from litestar import Request
from litestar.types import ASGIApp, Receive, Scope, Send

from todo.domain.ports import TokenVerifier
from todo.domain.refusals import InvalidToken, NotAuthenticated


def authenticated(tokens: TokenVerifier) -> Callable[[ASGIApp], ASGIApp]:
    """A Litestar middleware for routes that take a request, whose ``user`` is the verified UserId, and return what
    answers it.

    It stands in the place of the ASGI app that it is given, which would do the same by way of a model of the route's
    signature, a check of each argument and a stack of exits: a tenth of what a request costs (docs/decisions/13).
    """

    def middleware(app: ASGIApp) -> ASGIApp:  # noqa: ARG001 - Litestar gives it by name
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            scope["user"] = await tokens.verify(_bearer_token(scope))
            route: Any = scope["route_handler"]
            reply: ASGIApp = await route.fn(Request(scope, receive, send))
            await reply(scope, receive, send)

        return answer

    return middleware


def _bearer_token(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) > 1:
        raise InvalidToken("More than one Authorization header came; send one.")
    scheme, _, token = given[0].decode("latin-1").partition(" ") if given else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the token of a signed-in person: Authorization: Bearer <JWT>")
    return token.strip()
