"""Authenticates requests by their bearer token (RFC 6750, section 2.1), before anything else is read."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from litestar.types import Scope

from todo.domain.refusals import InvalidToken, NotAuthenticated
from todo.domain.task import UserId


class VerifiedToken(Protocol):
    @property
    def user(self) -> UserId: ...

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""
        ...


class TokenVerifier(Protocol):
    """Says whom a bearer token speaks for."""

    @property
    def waiting(self) -> int:
        """Tokens that wait for their issuer."""
        ...

    async def verify(self, token: str) -> VerifiedToken:
        """Raises InvalidToken, or Unavailable while that can't be decided."""
        ...


def authenticate_with(tokens: TokenVerifier) -> Callable[[Scope], Awaitable[UserId]]:
    async def authenticate(scope: Scope) -> UserId:
        token = await tokens.verify(_read_bearer_token(scope))
        scope["auth"] = token.expires_at
        return token.user

    return authenticate


def _read_bearer_token(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise InvalidToken("More than one Authorization header came; send one.")
    scheme, _, token = values[0].decode("latin-1").partition(" ") if values else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the token of a signed-in person: Authorization: Bearer <JWT>")
    return token.strip()
