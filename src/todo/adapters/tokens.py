"""Tokens: JWTs (RFC 7519) that say who asks."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple

import jwt

from todo.domain.refusals import InvalidToken
from todo.domain.task import UserId, user_id_of

LEEWAY = 30
"""Seconds by which the clocks of issuer and service may differ."""

TOKEN_LENGTH = 8192
"""The most bytes of a token."""

LATEST = 2**53
"""Seconds since the epoch; the latest a token may expire."""

REMEMBERED = 10_000
"""How many verified tokens are remembered."""


class Verified(NamedTuple):
    user: UserId
    expires_at: float
    """Seconds since the epoch."""


class Claims:
    """What a token must say, whoever signed it."""

    def __init__(self, *, issuers: Sequence[str] = (), audiences: Sequence[str] = ()) -> None:
        self._issuers = issuers
        self._audiences = audiences

    def check(self, token: str, key: Any, algorithm: str) -> Verified:
        """Checks signature, header and claims. Raises InvalidToken."""
        if token.count(".") != 2:
            raise InvalidToken("This is no JWT; send the one that /api/auth/token gives, not a session token.")
        try:
            decoded = jwt.decode_complete(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuers or None,
                audience=self._audiences or None,
                leeway=LEEWAY,
                options={"require": ["exp", "sub"], "verify_aud": bool(self._audiences)},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(_why(error)) from None  # its text may hold what the token says
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise InvalidToken("The token is malformed; send it just as it was issued.") from None
        header, claims = decoded["header"], decoded["payload"]
        if str(header.get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
            raise InvalidToken("The token is of another type; send the one that /api/auth/token gives.")
        if "crit" in header or "cnf" in claims:
            raise InvalidToken("The token asks for checks that are not made here; send a plain bearer token.")
        expires_at = claims["exp"]
        # PyJWT takes what int() takes: strings and truth values too.
        if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or expires_at > LATEST:
            raise InvalidToken("The token's exp is not a time (RFC 7519, section 2: NumericDate).")
        try:
            return Verified(user_id_of(claims["sub"]), float(expires_at))
        except ValueError as error:
            raise InvalidToken(f"The token's sub can't be taken: {error}.") from None


class SharedSecret:
    """A TokenVerifier for HS256 (RFC 7518, section 3.2) with a secret that the issuer has too."""

    def __init__(self, secret: str, claims: Claims) -> None:
        self._secret = secret.encode()
        self._claims = claims
        self._remembered = RememberedTokens()

    async def verify(self, token: str) -> UserId:
        return await self._remembered.verify(token, self._check)

    async def _check(self, token: str) -> Verified:
        return self._claims.check(token, self._secret, "HS256")


class RememberedTokens:
    """Verified tokens, so that a token is checked once and not with every request.

    Kept by digest, the least recently used forgotten first, and none used past its ``exp``.
    """

    def __init__(self, size: int = REMEMBERED, now: Callable[[], float] = time.time) -> None:
        self._size = size
        self._now = now
        self._known: dict[bytes, Verified] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def verify(self, token: str, check: Callable[[str], Awaitable[Verified]]) -> UserId:
        """Raises what ``check`` does; a refusal is not remembered."""
        if len(token) > TOKEN_LENGTH:
            raise InvalidToken(f"The token is longer than {TOKEN_LENGTH} bytes.")
        digest = sha256(token.encode()).digest()
        verified = self._known.pop(digest, None)
        if verified is None or verified.expires_at <= self._now():
            verified = await check(token)
        if verified.expires_at > self._now():
            self._known[digest] = verified
            if len(self._known) > self._size:
                del self._known[next(iter(self._known))]
        return verified.user


def sign(
    secret: str, user: UserId, lifetime: timedelta, *, issuer: str | None = None, audience: str | None = None
) -> str:
    """A token that SharedSecret takes."""
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + int(lifetime.total_seconds()), "iss": issuer, "aud": audience}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")


def _why(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "The token has expired; get a new one."
        case jwt.ImmatureSignatureError() | jwt.InvalidIssuedAtError():
            return "The token is not valid yet; check the clocks of its issuer and of this service."
        case jwt.InvalidIssuerError():
            return "The token comes from an issuer that is not trusted here; compare its iss with JWT_ISSUER."
        case jwt.InvalidAudienceError():
            return "The token is meant for another audience; compare its aud with JWT_AUDIENCE."
        case jwt.MissingRequiredClaimError():
            return f"The token lacks the claim {error.claim}; have the issuer add it."
        case jwt.InvalidAlgorithmError():
            return "The token is signed with an algorithm that is not taken here; HS256 is."
        case jwt.InvalidSignatureError():
            return "The token's signature does not fit; issuer and service must have the same BETTER_AUTH_SECRET."
        case _:
            return "The token is malformed; send it just as it was issued."
