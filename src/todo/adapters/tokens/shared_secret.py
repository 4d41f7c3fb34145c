"""Signs and verifies tokens with a secret that issuer and service share: HS256 (RFC 7518, section 3.2)."""

import time
from collections.abc import Mapping
from datetime import timedelta

import jwt

from todo.adapters.tokens.check import Check
from todo.adapters.tokens.keys import HMAC, Key
from todo.domain.task import UserId


class SharedSecret:
    algorithms: tuple[str, ...] = HMAC
    waiting = 0

    def __init__(self, secret: str) -> None:
        self._key = Key("HS256", secret.encode())

    async def find(self, kid: str, algorithm: str) -> Key:  # noqa: ARG002 - required by the protocol
        return self._key

    def counts(self) -> Mapping[str, int]:
        return {}

    async def check(self) -> list[Check]:
        return [Check(True, "there is a secret to verify signatures with")]

    async def close(self) -> None:
        pass


def sign_token(
    secret: str, user: UserId, lifetime: timedelta, *, issuer: str | None = None, audience: str | None = None
) -> str:
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + int(lifetime.total_seconds()), "iss": issuer, "aud": audience}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")
