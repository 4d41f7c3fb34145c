"""HS256 (RFC 7518, section 3.2), with a secret that the issuer has too."""

import time
from collections.abc import Mapping
from datetime import timedelta

import jwt

from todo.adapters.tokens.claims import Finding
from todo.adapters.tokens.keys import HMAC, Key
from todo.domain.task import UserId


class SharedSecret:
    """The one key, whatever a token calls it."""

    algorithms: tuple[str, ...] = HMAC
    names_matter = False

    def __init__(self, secret: str) -> None:
        self._key = Key("HS256", secret.encode())

    async def find(self, kid: str) -> Key:  # noqa: ARG002 - of those who are asked for keys, one has but one
        return self._key

    def counts(self) -> Mapping[str, int]:
        return {}

    async def examine(self) -> list[Finding]:
        return [Finding(True, "a secret is there to judge signatures with")]

    async def close(self) -> None:
        pass


def sign(
    secret: str, user: UserId, lifetime: timedelta, *, issuer: str | None = None, audience: str | None = None
) -> str:
    """A token that is taken with the same secret."""
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + int(lifetime.total_seconds()), "iss": issuer, "aud": audience}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")
