"""Who a token speaks for."""

import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from todo.adapters.tokens.claims import Claims, Finding, found
from todo.adapters.tokens.compact import Jwt, taken_apart
from todo.adapters.tokens.keys import HMAC, Key, Keys
from todo.domain.refusals import InvalidToken, Unavailable
from todo.domain.task import UserId, user_id_of

REMEMBERED = 10_000
"""How many verified tokens are remembered."""

UNPUBLISHED = "The token is signed with a key that the issuer does not publish; get a new one."


class JwtVerifier:
    """A TokenVerifier. Form and claims are judged first: a token that they refuse costs the issuer nothing."""

    def __init__(self, keys: Keys, claims: Claims, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._claims = claims
        self._now = now
        self._remembered = RememberedTokens()
        self._counts = {"tokens_remembered": 0, "tokens_verified": 0, "tokens_refused": 0}

    async def verify(self, token: str) -> UserId:
        digest = sha256(token.encode()).digest()
        verified = self._remembered.get(digest, self._now())
        if verified is not None:
            key = await self._keys.find(verified.kid)
            if key is verified.key:
                self._counts["tokens_remembered"] += 1
                return verified.user
            self._remembered.forget(digest)
            if key is None:
                self._counts["tokens_refused"] += 1
                raise InvalidToken(UNPUBLISHED)
        try:
            verified = await self._verified(token)
        except InvalidToken:
            self._counts["tokens_refused"] += 1
            raise
        self._counts["tokens_verified"] += 1
        self._remembered.keep(digest, verified)
        return verified.user

    async def _verified(self, token: str) -> "Verified":
        jwt = taken_apart(token)
        for finding in self._judged_without_key(jwt):
            _insist_on(finding)
        key = await self._keys.find(jwt.kid)
        _insist_on(_judged_signature(jwt, key))
        assert key is not None
        return Verified(user_id_of(jwt.claims["sub"]), jwt.claims["exp"], jwt.kid, key)

    def counts(self) -> Mapping[str, int]:
        """What has happened so far, by name, to tokens and to keys."""
        return {**self._counts, **self._keys.counts()}

    async def examine(self, token: str) -> list[Finding]:
        """All that ``verify`` looks at, for whoever wants to know why it does what it does."""
        try:
            jwt = taken_apart(token)
        except InvalidToken as error:
            return [Finding(False, str(error))]
        findings = [Finding(True, "it is a signed JWT"), *self._judged_without_key(jwt)]
        if jwt.algorithm in self._keys.algorithms and (jwt.kid or not self._keys.names_matter):
            try:
                findings.append(_judged_signature(jwt, await self._keys.find(jwt.kid)))
            except (Unavailable, InvalidToken) as error:
                findings.append(Finding(False, str(error)))
        return findings

    def _judged_without_key(self, jwt: Jwt) -> Iterator[Finding]:
        if jwt.algorithm in self._keys.algorithms:
            yield Finding(True, f"it names the algorithm {jwt.algorithm}")
        else:
            taken = ", ".join(self._keys.algorithms)
            yield Finding(False, f"The token is signed with an algorithm that is not taken here; these are: {taken}.")
        if self._keys.names_matter:
            yield found(bool(jwt.kid), "it names its key", "The token does not say which key it is signed with (kid).")
        yield from self._claims.judge(jwt, self._now())


class Verified(NamedTuple):
    """A token that was let in."""

    user: UserId
    expires_at: float
    """Seconds since the epoch."""
    kid: str
    key: Key


class RememberedTokens:
    """So that a token is checked once and not with every request.

    Kept by digest, the least recently used forgotten first, and none used past its ``exp``.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._known: dict[bytes, Verified] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, digest: bytes, now: float) -> Verified | None:
        verified = self._known.pop(digest, None)
        if verified is None or verified.expires_at <= now:
            return None
        self._known[digest] = verified
        return verified

    def keep(self, digest: bytes, verified: Verified) -> None:
        self._known[digest] = verified
        if len(self._known) > self._size:
            del self._known[next(iter(self._known))]

    def forget(self, digest: bytes) -> None:
        self._known.pop(digest, None)


def _insist_on(finding: Finding) -> None:
    if not finding.holds:
        raise InvalidToken(finding.said)


def _judged_signature(jwt: Jwt, key: Key | None) -> Finding:
    if key is None:
        return Finding(False, UNPUBLISHED)
    if jwt.algorithm != key.algorithm:
        return Finding(False, f"The token names another algorithm than its key is for; that is {key.algorithm}.")
    if key.fits(jwt.signing_input, jwt.signature):
        return Finding(True, "its signature fits")
    if key.algorithm in HMAC:
        return Finding(
            False, "The token's signature does not fit; issuer and service must have the same BETTER_AUTH_SECRET."
        )
    return Finding(False, "The token's signature does not fit; send it just as it was issued.")
