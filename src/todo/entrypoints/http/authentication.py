"""Who asks: the bearer token of a request (RFC 6750, section 2.1), judged before anything else of it is read."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request

from todo.domain.ports import TokenVerifier
from todo.domain.refusals import InvalidToken, NotAuthenticated


def authentication(tokens: TokenVerifier) -> Callable[[Request[Any, Any, Any]], Awaitable[None]]:
    """Makes ``request.user`` the verified UserId. For ``before_request``: as a middleware it would bring Litestar's
    own handler of exceptions a second time, as a guard a copy of the route's handler, with every request."""

    async def authenticate(request: Request[Any, Any, Any]) -> None:
        request.scope["user"] = await tokens.verify(_bearer_token(request))

    return authenticate


def _bearer_token(request: Request[Any, Any, Any]) -> str:
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(given) > 1:
        raise InvalidToken("More than one Authorization header came; send one.")
    scheme, _, token = given[0].decode("latin-1").partition(" ") if given else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the token of a signed-in person: Authorization: Bearer <JWT>")
    return token.strip()
