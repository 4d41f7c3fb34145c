"""Who asks: the bearer token of a request (RFC 6750, section 2.1), judged before anything else of it is read."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from todo.domain.ports import TokenVerifier
from todo.domain.refusals import InvalidToken, NotAuthenticated

Connection = ASGIConnection[Any, Any, Any, Any]


class BearerAuthentication(AbstractAuthenticationMiddleware):
    """Makes ``request.user`` the verified UserId."""

    def __init__(self, app: ASGIApp, tokens: TokenVerifier) -> None:
        super().__init__(app)
        self._tokens = tokens

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        return AuthenticationResult(user=await self._tokens.verify(_bearer_token(connection)), auth=None)


def _bearer_token(connection: Connection) -> str:
    given = [value for name, value in connection.scope["headers"] if name == b"authorization"]
    if len(given) > 1:
        raise InvalidToken("More than one Authorization header came; send one.")
    scheme, _, token = given[0].decode("latin-1").partition(" ") if given else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the token of a signed-in person: Authorization: Bearer <JWT>")
    return token.strip()
