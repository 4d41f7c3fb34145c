"""The memory of verified tokens."""

import pytest

from todo.adapters.tokens import RememberedTokens, Verified
from todo.domain.refusals import InvalidToken
from todo.domain.task import UserId


class Checks:
    """Takes any token but "bad" for one of the person it names, until ``expires_at``; notes what it was asked."""

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.asked: list[str] = []

    async def __call__(self, token: str) -> Verified:
        self.asked.append(token)
        if token == "bad":
            raise InvalidToken("bad")
        return Verified(UserId(token), self.expires_at)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


async def test_a_token_is_checked_once() -> None:
    remembered, check = RememberedTokens(now=Clock()), Checks(expires_at=10)
    assert [await remembered.verify("ann", check) for _ in range(3)] == ["ann"] * 3
    assert check.asked == ["ann"]


async def test_it_is_checked_again_from_its_exp_on() -> None:
    clock = Clock()
    remembered, check = RememberedTokens(now=clock), Checks(expires_at=10)
    for clock.time in (0, 9.999, 10, 11):
        await remembered.verify("ann", check)
    assert check.asked == ["ann"] * 3
    assert len(remembered) == 0


async def test_a_refusal_is_not_remembered() -> None:
    remembered, check = RememberedTokens(now=Clock()), Checks(expires_at=10)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await remembered.verify("bad", check)
    assert check.asked == ["bad", "bad"]


async def test_the_least_recently_used_is_forgotten_first() -> None:
    remembered, check = RememberedTokens(size=2, now=Clock()), Checks(expires_at=10)
    for token in ("ann", "bob", "ann", "cleo", "ann", "bob"):
        await remembered.verify(token, check)
    assert check.asked == ["ann", "bob", "cleo", "bob"]
    assert len(remembered) == 2
