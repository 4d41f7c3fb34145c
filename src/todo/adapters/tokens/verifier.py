"""Verifies tokens: form, header and claims first, then the signature. Verified tokens are cached."""

import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from todo.adapters.tokens.check import Check, make_check
from todo.adapters.tokens.claims import ClaimRules
from todo.adapters.tokens.jws import Jws, parse_jws
from todo.adapters.tokens.keys import HMAC, Key, Keys
from todo.domain.refusals import InvalidToken, Unavailable
from todo.domain.task import UserId, parse_user_id

CACHE_SIZE = 10_000


class VerifiedToken(NamedTuple):
    user: UserId
    expires_at: float  # seconds since the epoch
    kid: str
    key: Key


class JwtVerifier:
    """Looks the key up last, so that a token which fails any other check causes no request to the issuer."""

    def __init__(self, keys: Keys, rules: ClaimRules, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._rules = rules
        self._now = now
        self._cache = TokenCache()
        self._counts = {"tokens_cached_total": 0, "tokens_verified_total": 0, "tokens_rejected_total": 0}

    @property
    def waiting(self) -> int:
        return self._keys.waiting

    async def verify(self, token: str) -> VerifiedToken:
        """Raises InvalidToken, or Unavailable while no keys can be fetched."""
        digest = sha256(token.encode()).digest()
        try:
            verified = self._cache.get(digest, self._now())
            # The key may have been dropped or replaced since.
            if verified is not None and await self._keys.find(verified.kid, verified.key.algorithm) == verified.key:
                self._counts["tokens_cached_total"] += 1
                return verified
            self._cache.discard(digest)
            verified = await self._verify(token)
        except InvalidToken:
            self._counts["tokens_rejected_total"] += 1
            raise
        self._counts["tokens_verified_total"] += 1
        self._cache.put(digest, verified)
        return verified

    async def check(self, token: str | None = None) -> list[Check]:
        """Checks the keys and, if one is given, a token. Unlike ``verify`` it does not stop at the first failure."""
        checks = await self._keys.check()
        if token is None:
            return checks
        try:
            jws = parse_jws(token)
            checks += [Check(True, "it is a signed JWT"), *self._check_without_key(jws)]
            if jws.algorithm in self._keys.algorithms:
                checks.append(_check_signature(jws, await self._keys.find(jws.kid, str(jws.algorithm))))
        except (InvalidToken, Unavailable) as error:
            checks.append(Check(False, str(error)))
        return checks

    def counts(self) -> Mapping[str, int]:
        """Counters since the start, by the name of their metric."""
        return {**self._counts, **self._keys.counts()}

    async def close(self) -> None:
        await self._keys.close()

    async def _verify(self, token: str) -> VerifiedToken:
        jws = parse_jws(token)
        for check in self._check_without_key(jws):
            _raise_if_failed(check)
        key = await self._keys.find(jws.kid, str(jws.algorithm))
        _raise_if_failed(_check_signature(jws, key))
        return VerifiedToken(parse_user_id(jws.claims["sub"]), jws.claims["exp"], jws.kid, key)

    def _check_without_key(self, jws: Jws) -> Iterator[Check]:
        yield make_check(
            jws.algorithm in self._keys.algorithms,
            f"its algorithm is {jws.algorithm}",
            f"The token's algorithm is not accepted here; these are: {', '.join(self._keys.algorithms)}.",
        )
        if self._keys.algorithms != HMAC:
            yield make_check(
                "kid" not in jws.header or bool(jws.kid),
                "it names its key" if jws.kid else "it names no key, so its issuer must have one for its algorithm",
                "The token's key ID (kid) is not a string, or empty.",
            )
        yield from self._rules.check(jws, self._now())


class TokenCache:
    """Verified tokens by digest. The least recently used is evicted; none is returned from its ``exp`` on."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._tokens: dict[bytes, VerifiedToken] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def get(self, digest: bytes, now: float) -> VerifiedToken | None:
        token = self._tokens.pop(digest, None)
        if token is None or token.expires_at <= now:
            return None
        self._tokens[digest] = token
        return token

    def put(self, digest: bytes, token: VerifiedToken) -> None:
        self._tokens[digest] = token
        if len(self._tokens) > self._size:
            del self._tokens[next(iter(self._tokens))]

    def discard(self, digest: bytes) -> None:
        self._tokens.pop(digest, None)


def _raise_if_failed(check: Check) -> None:
    if not check.passed:
        raise InvalidToken(check.message)


def _check_signature(jws: Jws, key: Key) -> Check:
    if not key.is_for(jws.algorithm):
        return Check(False, f"The token names another algorithm than its key, which is for {key.algorithm}.")
    secret_hint, key_hint = "issuer and service must have the same BETTER_AUTH_SECRET", "send it just as it was issued"
    failure = f"The token's signature is not valid; {secret_hint if key.algorithm in HMAC else key_hint}."
    return make_check(key.verify(jws.signing_input, jws.signature), "its signature is valid", failure)
