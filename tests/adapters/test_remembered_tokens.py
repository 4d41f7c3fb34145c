"""The memory of verified tokens."""

from datetime import UTC, datetime

import pytest

from tests.support.serving import SECRET, signed
from todo.adapters.tokens.claims import LEEWAY, Claims, Finding
from todo.adapters.tokens.keys import Key
from todo.adapters.tokens.verifier import JwtVerifier, RememberedTokens, Verified
from todo.domain.refusals import InvalidToken
from todo.domain.task import UserId

BEGIN = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


class CountingKeys:
    """One key, that can be replaced; counts the signatures it is asked to judge."""

    algorithms: tuple[str, ...] = ("HS256",)
    names_matter = False

    def __init__(self) -> None:
        self.key: Key | None = None
        self.judged = 0
        self.replace()

    def replace(self, secret: bytes = SECRET.encode()) -> None:
        keys = self

        class CountingKey(Key):
            def fits(self, signed: bytes, signature: bytes) -> bool:
                keys.judged += 1
                return super().fits(signed, signature)

        self.key = CountingKey("HS256", secret)

    async def find(self, kid: str) -> Key | None:  # noqa: ARG002
        return self.key

    def counts(self) -> dict[str, int]:
        return {}

    async def examine(self) -> list[Finding]:
        return []

    async def close(self) -> None:
        pass


class World:
    def __init__(self) -> None:
        self.keys = CountingKeys()
        self.time = BEGIN
        self.verifier = JwtVerifier(self.keys, Claims(), now=lambda: self.time)

    async def judged(self, token: str) -> int:
        """How many signatures the verification of this token takes."""
        before = self.keys.judged
        await self.verifier.verify(token)
        return self.keys.judged - before


def lasting(seconds: float) -> str:
    return signed({"iat": BEGIN, "exp": BEGIN + seconds})


async def test_a_token_is_checked_once() -> None:
    world, token = World(), lasting(10)
    assert [await world.judged(token) for _ in range(3)] == [1, 0, 0]


async def test_it_is_checked_with_every_request_from_its_exp_on() -> None:
    world, token = World(), lasting(10)
    counted = []
    for world.time in (BEGIN, BEGIN + 9.999, BEGIN + 10, BEGIN + 10, BEGIN + 10 + LEEWAY - 1):
        counted.append(await world.judged(token))
    assert counted == [1, 0, 1, 1, 1]
    world.time = BEGIN + 10 + LEEWAY
    with pytest.raises(InvalidToken, match="expired"):
        await world.verifier.verify(token)


async def test_a_refusal_is_not_remembered() -> None:
    world, token = World(), lasting(10)
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBA")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await world.verifier.verify(forged)
    assert world.keys.judged == 2


async def test_a_token_whose_key_went_or_was_replaced_is_forgotten() -> None:
    world, token = World(), lasting(10)
    await world.verifier.verify(token)
    world.keys.key = None
    with pytest.raises(InvalidToken):
        await world.verifier.verify(token)
    world.keys.replace()
    assert await world.judged(token) == 1
    world.keys.replace()
    assert await world.judged(token) == 1
    world.keys.replace(b"another secret that is long enough")
    with pytest.raises(InvalidToken):
        await world.verifier.verify(token)


def test_the_least_recently_used_is_forgotten_first() -> None:
    remembered = RememberedTokens(size=2)
    key = Key("HS256", b"")
    for name in (b"ann", b"bob", b"cleo"):
        remembered.keep(name, Verified(UserId("x"), 10, "", key))
        remembered.get(b"ann", 0)
    assert len(remembered) == 2
    assert [remembered.get(name, 0) is not None for name in (b"ann", b"bob", b"cleo")] == [True, False, True]
