"""The cache of verified tokens."""

from datetime import UTC, datetime

import pytest

from tests.support.serving import SECRET, signed
from todo.adapters.tokens.check import Check
from todo.adapters.tokens.claims import LEEWAY, ClaimRules
from todo.adapters.tokens.keys import Key
from todo.adapters.tokens.verifier import JwtVerifier, TokenCache, VerifiedToken
from todo.domain.refusals import InvalidToken
from todo.domain.task import UserId

START = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


class CountingKeys:
    """One key, which can be replaced. Counts the signatures that are verified with it."""

    algorithms: tuple[str, ...] = ("HS256",)
    requires_kid = False
    waiting = 0

    def __init__(self) -> None:
        self.key: Key | None = None
        self.verified = 0
        self.replace()

    def replace(self, secret: bytes = SECRET.encode()) -> None:
        keys = self

        class CountingKey(Key):
            def verify(self, signing_input: bytes, signature: bytes) -> bool:
                keys.verified += 1
                return super().verify(signing_input, signature)

        self.key = CountingKey("HS256", secret)

    async def find(self, kid: str, algorithm: str) -> Key:  # noqa: ARG002 - there is one
        if self.key is None:
            raise InvalidToken(kid)
        return self.key

    def counts(self) -> dict[str, int]:
        return {}

    async def check(self) -> list[Check]:
        return []

    async def close(self) -> None:
        pass


class World:
    def __init__(self) -> None:
        self.keys = CountingKeys()
        self.time = START
        self.verifier = JwtVerifier(self.keys, ClaimRules(), now=lambda: self.time)

    async def count_signatures(self, token: str) -> int:
        """Verifies the token; returns for how many signatures that took."""
        before = self.keys.verified
        await self.verifier.verify(token)
        return self.keys.verified - before


def make_token(lifetime: float) -> str:
    return signed({"iat": START, "exp": START + lifetime})


async def test_a_token_is_verified_once() -> None:
    world, token = World(), make_token(10)
    assert [await world.count_signatures(token) for _ in range(3)] == [1, 0, 0]


async def test_it_is_not_cached_from_its_exp_on() -> None:
    world, token = World(), make_token(10)
    counted = []
    for world.time in (START, START + 9.999, START + 10, START + 10, START + 10 + LEEWAY - 1):
        counted.append(await world.count_signatures(token))
    assert counted == [1, 0, 1, 1, 1]
    world.time = START + 10 + LEEWAY
    with pytest.raises(InvalidToken, match="expired"):
        await world.verifier.verify(token)


async def test_a_rejection_is_not_cached() -> None:
    world, token = World(), make_token(10)
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBA")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await world.verifier.verify(forged)
    assert world.keys.verified == 2


async def test_a_cached_token_is_rejected_once_its_key_is_dropped_or_replaced() -> None:
    world, token = World(), make_token(10)
    await world.verifier.verify(token)
    key, world.keys.key = world.keys.key, None
    with pytest.raises(InvalidToken):
        await world.verifier.verify(token)
    world.keys.key = key
    await world.verifier.verify(token)
    world.keys.replace(b"another secret that is long enough")
    with pytest.raises(InvalidToken):
        await world.verifier.verify(token)


async def test_a_cached_token_survives_a_refetch_of_its_key() -> None:
    world = World()
    token, world.keys.key = make_token(10), Key("HS256", SECRET.encode())
    await world.verifier.verify(token)
    world.keys.key = Key("HS256", SECRET.encode())
    await world.verifier.verify(token)
    assert world.verifier.counts() == {"tokens_cached_total": 1, "tokens_verified_total": 1, "tokens_rejected_total": 0}


def test_the_least_recently_used_token_is_evicted() -> None:
    cache = TokenCache(size=2)
    token = VerifiedToken(UserId("x"), 10, "", Key("HS256", b""))
    for digest in (b"ann", b"bob", b"cleo"):
        cache.put(digest, token)
        cache.get(b"ann", 0)
    assert len(cache) == 2
    assert [cache.get(digest, 0) is not None for digest in (b"ann", b"bob", b"cleo")] == [True, False, True]
