"""The JWKS cache against an issuer that fails in every way, on a clock that the tests control."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

import pytest

from tests.support.issuer import BROKEN, Issuer, SigningKey, breakable_issuer, key_set, publishes
from todo.adapters.tokens.claims import ClaimRules
from todo.adapters.tokens.key_set import (
    IDLE_TIMEOUT,
    MAX_AGE,
    MAX_PAUSE,
    MAX_WAITING,
    REFETCH_INTERVAL,
    REFRESH_INTERVAL,
    STALE_IF_ERROR,
    RemoteKeySet,
)
from todo.adapters.tokens.key_set_fetch import FETCH_TIMEOUT
from todo.adapters.tokens.verifier import JwtVerifier
from todo.domain.refusals import InvalidToken, Unavailable
from todo.domain.task import UserId

MINUTE, HOUR = 60, 3600
ALGORITHMS = ["EdDSA", "ES256", "ES512", "RS256", "PS256"]
STEP = REFRESH_INTERVAL / 2
"""Half the refresh interval."""
ENDLESS = {"hang", "drip"}
"""Failures that last until the fetch times out."""


class ClockedLoop(asyncio.SelectorEventLoop):
    """Its clock can be advanced."""

    advance = 0.0

    def time(self) -> float:
        return super().time() + self.advance


class World:
    """An issuer, a verifier of its tokens, and the time."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.key_set = RemoteKeySet(f"{issuer.url}/api/auth/jwks")
        self.verifier = JwtVerifier(self.key_set, ClaimRules(issuers=[issuer.url], audiences=[issuer.url]))
        self.user_ids = (f"person-{number}" for number in itertools.count())
        self.cached = self.token()
        self.is_warm = False

    @property
    def fetches(self) -> int:
        return len(self.issuer.requests)

    def token(self, key: SigningKey | None = None) -> str:
        """A new token, valid for two days."""
        return self.issuer.token(key, sub=next(self.user_ids), exp=time.time() + 48 * HOUR)

    async def verify(self, token: str | None = None) -> UserId:
        return (await self.verifier.verify(token or self.token())).user

    async def warm(self) -> None:
        await self.verify(self.cached)
        assert self.fetches == 1
        self.is_warm = True

    async def assert_rejected(self, token: str, message: str = "does not publish") -> None:
        """However long that takes."""
        verification = asyncio.create_task(self.verify(token))
        while not verification.done():
            await asyncio.sleep(0)
            if fetching := other_tasks() - {verification}:
                await asyncio.wait(fetching)
            advance_clock(1)
        with pytest.raises(InvalidToken, match=message):
            await verification

    def assert_accepted_at_once(self) -> None:
        for token in (self.cached, self.token()):
            verification = self.verify(token)
            with pytest.raises(StopIteration):  # it returns without having waited for anything
                verification.send(None)

    async def elapse(self, seconds: float, *, endless: bool = False) -> None:
        """Also waits for everything that starts in this time, delayed rejections included."""
        before = self.fetches
        advance_clock(seconds)
        for _ in range(3):
            await asyncio.sleep(0)
        if endless and other_tasks():
            await asyncio.to_thread(self.issuer.wait_for_request, before + 1)
            if self.is_warm:
                self.assert_accepted_at_once()
            advance_clock(FETCH_TIMEOUT)
        while waiting := other_tasks():
            await asyncio.wait(waiting, timeout=0.05)
            advance_clock(0.1)


def advance_clock(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockedLoop)
    loop.advance += seconds


def now() -> float:
    return asyncio.get_running_loop().time()


def other_tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def clocked(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(self: object, world: World, **named: Any) -> None:
        async def run_test() -> None:
            try:
                await test(self, world, **named)
            finally:
                await world.key_set.close()

        with asyncio.Runner(loop_factory=ClockedLoop) as runner:
            runner.run(run_test())

    return run


@pytest.fixture
def world() -> Iterator[World]:
    with breakable_issuer() as issuer:
        yield World(issuer)


class TestWhenItFetches:
    @clocked
    async def test_not_before_a_token_needs_it(self, world: World) -> None:
        for claims in ({"exp": 0}, {"iss": "https://other.example"}, {"aud": "x"}, {"sub": None}):
            with pytest.raises(InvalidToken):
                await world.verify(world.issuer.token(**claims))
        for token in ("x", "a.b.c", world.token().replace(".", ".e", 1), world.token() + "="):
            with pytest.raises(InvalidToken):
                await world.verify(token)
        assert world.fetches == 0

    @clocked
    async def test_once_for_all_waiting_tokens(self, world: World) -> None:
        await asyncio.gather(*(world.verify() for _ in range(100)))
        assert world.issuer.requests == ["GET /api/auth/jwks HTTP/1.1"]

    @clocked
    async def test_every_nine_minutes_while_in_use(self, world: World) -> None:
        await world.warm()
        for _ in range(90):
            await world.elapse(MINUTE)
            world.assert_accepted_at_once()
        assert 9 <= world.fetches <= 11

    @clocked
    async def test_no_more_after_an_idle_hour(self, world: World) -> None:
        await world.warm()
        for _ in range(24 * 6):
            await world.elapse(10 * MINUTE)
        assert world.fetches <= 1 + IDLE_TIMEOUT / (9 * MINUTE)
        await world.verify()

    @clocked
    async def test_for_the_others_if_the_first_caller_is_cancelled(self, world: World) -> None:
        release = hold_responses(world.issuer)
        first, second = asyncio.create_task(world.verify()), asyncio.create_task(world.verify())
        await asyncio.to_thread(world.issuer.wait_for_request, 1)
        first.cancel()
        await asyncio.wait([first])
        release()
        assert (await second).startswith("person")
        assert world.fetches == 1


class TestAnIssuerThatIsAway:
    @pytest.mark.parametrize("way", BROKEN)
    @clocked
    async def test_makes_a_cold_service_unavailable_until_it_recovers(self, world: World, way: str) -> None:
        world.issuer.behaviour = BROKEN[way]
        verification = asyncio.create_task(world.verify())
        await world.elapse(0, endless=way in ENDLESS)
        with pytest.raises(Unavailable):
            await verification
        assert world.fetches == 1
        assert "elsewhere" not in "".join(world.issuer.requests)

        with pytest.raises(Unavailable):  # at once, in the pause
            await world.verify()
        assert world.fetches == 1

        world.issuer.behaviour = publishes
        await world.elapse(1)
        world.assert_accepted_at_once()

    @pytest.mark.parametrize("way", BROKEN)
    @clocked
    async def test_does_not_affect_a_warm_service(self, world: World, way: str) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN[way]
        for _ in range(14):
            await world.elapse(STEP, endless=way in ENDLESS)
            world.assert_accepted_at_once()
        assert world.fetches > 5

    @clocked
    async def test_may_be_down(self, world: World) -> None:
        world.issuer.go_down()
        with pytest.raises(Unavailable):
            await world.verify()
        world.issuer.come_up()
        await world.elapse(1)
        world.assert_accepted_at_once()
        world.issuer.go_down()
        for _ in range(14):
            await world.elapse(STEP)
            world.assert_accepted_at_once()

    @clocked
    async def test_does_not_matter_for_a_day_however_it_fails(self, world: World) -> None:
        await world.warm()
        ways = itertools.cycle(BROKEN.items())
        began = now()
        while now() - began < STALE_IF_ERROR - STEP - FETCH_TIMEOUT:
            way, world.issuer.behaviour = next(ways)
            await world.elapse(STEP, endless=way in ENDLESS)
            world.assert_accepted_at_once()
        world.issuer.behaviour = BROKEN["500"]
        await world.elapse(2 * STEP)
        for token in (world.cached, world.token()):
            with pytest.raises(Unavailable):
                await world.verify(token)
        world.issuer.behaviour = publishes
        await world.elapse(MAX_PAUSE)
        world.assert_accepted_at_once()

    @clocked
    async def test_is_retried_with_back_off(self, world: World) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN["500"]
        await world.elapse(MAX_AGE)
        times = [0]
        for second in range(10 * MINUTE):
            before = world.fetches
            await world.elapse(1)
            if world.fetches > before:
                times.append(second)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(pauses) < 10 * MINUTE / (MAX_PAUSE / 2)
        assert max(pauses[:3]) <= 5
        assert max(pauses) <= MAX_PAUSE + 1

    @clocked
    async def test_is_waited_for_once_after_idle_hours(self, world: World) -> None:
        await world.warm()
        await world.elapse(2 * HOUR)
        await world.elapse(2 * HOUR)
        world.issuer.behaviour = BROKEN["hang"]
        before = world.fetches
        verification = asyncio.create_task(world.verify())
        await asyncio.to_thread(world.issuer.wait_for_request, before + 1)
        advance_clock(FETCH_TIMEOUT)
        assert await verification
        world.assert_accepted_at_once()

    @clocked
    async def test_is_named_as_the_reason_why_an_unknown_key_is_rejected(self, world: World) -> None:
        await world.warm()
        await world.elapse(2 * HOUR)
        world.issuer.behaviour = BROKEN["500"]
        await world.assert_rejected(world.token(SigningKey("second")), message="can't be asked now")


class TestADroppedKey:
    @clocked
    async def test_is_rejected_within_ten_minutes_cached_tokens_included(self, world: World) -> None:
        old, new = world.issuer.keys[0], SigningKey("second")
        await world.warm()
        world.issuer.keys = [new]
        await world.elapse(MAX_AGE)
        for token in (world.cached, world.cached, world.token(old)):
            await world.elapse(REFETCH_INTERVAL)
            with pytest.raises(InvalidToken, match="does not publish"):
                await world.verify(token)
        assert await world.verify(world.token(new))

    @clocked
    async def test_is_rejected_at_once_after_idle_hours(self, world: World) -> None:
        old = world.issuer.keys[0]
        await world.warm()
        await world.elapse(2 * HOUR)
        await world.elapse(2 * HOUR)
        world.issuer.keys = [SigningKey("second")]
        for token in (world.cached, world.token(old)):
            with pytest.raises(InvalidToken, match="does not publish"):
                await world.verify(token)

    @clocked
    async def test_is_rejected_if_another_key_gets_its_kid(self, world: World) -> None:
        await world.warm()
        world.issuer.keys = [SigningKey("first")]
        await world.elapse(MAX_AGE)
        with pytest.raises(InvalidToken):
            await world.verify(world.cached)
        assert await world.verify(world.token())


class TestANewKey:
    @clocked
    async def test_is_accepted_as_soon_as_it_signs(self, world: World) -> None:
        await world.warm()
        for number in range(3):
            new = SigningKey(f"new {number}")
            world.issuer.keys.append(new)
            many = asyncio.gather(*(world.verify(world.token(new)) for _ in range(100)))
            while world.fetches < number + 2:
                world.assert_accepted_at_once()
                await asyncio.sleep(0)
            await many
            await world.elapse(REFETCH_INTERVAL)

    @clocked
    async def test_waits_for_the_refetch_interval(self, world: World) -> None:
        await world.warm()
        world.issuer.keys.append(SigningKey("second"))
        await world.verify(world.token(world.issuer.keys[1]))
        world.issuer.keys.append(SigningKey("third"))
        verification = asyncio.create_task(world.verify(world.token(world.issuer.keys[2])))
        await asyncio.sleep(0)
        assert not verification.done()
        assert world.fetches == 2
        world.assert_accepted_at_once()
        await world.elapse(REFETCH_INTERVAL)
        assert await verification
        assert world.fetches == 3

    @clocked
    async def test_waits_for_a_second_fetch_if_the_running_one_started_too_early(self, world: World) -> None:
        await world.warm()
        release = hold_responses(world.issuer)
        advance_clock(9 * MINUTE)
        await asyncio.sleep(0)
        await asyncio.to_thread(world.issuer.wait_for_request, 2)
        new = SigningKey("second")
        verification = asyncio.create_task(world.verify(world.token(new)))
        await asyncio.sleep(0)
        world.issuer.keys = [*world.issuer.keys, new]
        world.issuer.behaviour = publishes
        release()
        assert await verification
        assert world.fetches == 3

    @clocked
    async def test_causes_few_fetches_when_a_thousand_kids_are_made_up(self, world: World) -> None:
        await world.warm()
        made_up = SigningKey("")
        asked: set[asyncio.Task[UserId]] = set()
        began = asyncio.get_running_loop().time()
        for number in range(1000):
            made_up.kid = f"made up {number}"
            asked.add(asyncio.create_task(world.verify(world.token(made_up))))
            advance_clock(0.01)
            await asyncio.sleep(0)
            world.assert_accepted_at_once()
            if fetching := other_tasks() - asked:
                await asyncio.wait(fetching)
        took = asyncio.get_running_loop().time() - began  # ten seconds, and what a busy machine adds
        assert 2 <= world.fetches - 1 <= 3 * took / 10
        await world.elapse(REFETCH_INTERVAL)
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in errors} == {InvalidToken}

    @clocked
    async def test_is_accepted_from_everybody_amid_made_up_kids(self, world: World) -> None:
        await world.warm()
        await world.assert_rejected(world.token(SigningKey("made up")))
        new = SigningKey("second")
        world.issuer.keys.append(new)
        many = [asyncio.create_task(world.verify(world.token(new))) for _ in range(200)]
        garbage = [asyncio.create_task(world.verify(world.token(SigningKey(f"made up {n}")))) for n in range(100)]
        await asyncio.sleep(0)
        assert world.fetches == 2
        await world.elapse(REFETCH_INTERVAL)
        assert len({await one for one in many}) == 200
        assert {type(one.exception()) for one in garbage} == {InvalidToken}

    @clocked
    async def test_is_rejected_at_once_if_too_many_are_waiting(self, world: World) -> None:
        await world.warm()
        made_up = SigningKey("")
        for _ in range(2):
            await world.assert_rejected(world.token(made_up.named("the first")))
            tokens = [world.token(made_up.named(f"{number}")) for number in range(MAX_WAITING + 7)]
            asked = [asyncio.create_task(world.verify(token)) for token in tokens]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert sum(task.done() for task in asked) == 7
            asked[0].cancel()
            await world.elapse(REFETCH_INTERVAL)
            assert all(isinstance(task.exception(), InvalidToken) for task in asked[1:])
            await world.elapse(REFETCH_INTERVAL)

    @clocked
    async def test_survives_one_failed_fetch(self, world: World) -> None:
        await world.warm()
        new = SigningKey("second")
        world.issuer.keys.append(new)
        world.issuer.behaviour = BROKEN["429"]
        verification = asyncio.create_task(world.verify(world.token(new)))
        await asyncio.to_thread(world.issuer.wait_for_request, 2)
        world.assert_accepted_at_once()
        while fetching := other_tasks() - {verification}:
            await asyncio.wait(fetching)
        assert not verification.done()
        world.issuer.behaviour = publishes
        await world.elapse(1)
        assert await verification

    @clocked
    async def test_is_rejected_at_once_while_the_issuer_is_away(self, world: World) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN["500"]
        for _ in range(5):
            await world.elapse(MAX_AGE)
        verification = world.verify(world.token(SigningKey("second")))
        with pytest.raises(InvalidToken, match="can't be asked now"):
            verification.send(None)

    @clocked
    async def test_is_rejected_if_the_issuer_goes_away_meanwhile(self, world: World) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN["500"]
        verification = asyncio.create_task(world.verify(world.token(SigningKey("second"))))
        for _ in range(40):
            await asyncio.sleep(0)
            if fetching := other_tasks() - {verification}:
                await asyncio.wait(fetching)
            advance_clock(1)
        with pytest.raises(InvalidToken, match="can't be asked now"):
            await verification


def hold_responses(issuer: Issuer) -> Callable[[], None]:
    """Delays responses, which have the keys of now, until the returned function is called."""
    jwks = [key.jwk for key in issuer.keys]

    def behaviour(_: Issuer, connection: Any) -> None:
        issuer.released.wait()
        key_set(*jwks)(issuer, connection)

    issuer.behaviour = behaviour
    return issuer.released.set


class TestAToken:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @clocked
    async def test_is_rejected_with_any_bit_flipped(self, world: World, algorithm: str) -> None:
        world.issuer.keys = [SigningKey("first", algorithm)]
        token = world.token()
        flipped = [
            token[:place] + chr(ord(token[place]) ^ (1 << bit)) + token[place + 1 :]
            for place in range(len(token))
            for bit in range(8)
        ]
        assert await world.verify(token)
        verifications = {asyncio.create_task(world.verify(one)) for one in flipped}
        while waiting := {verification for verification in verifications if not verification.done()}:
            if fetching := other_tasks() - waiting:
                await asyncio.wait(fetching)
            advance_clock(1)  # some name another key and wait for it
            await asyncio.sleep(0)
        assert {type(verification.exception()) for verification in verifications} == {InvalidToken}


class TestKeys:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @clocked
    async def test_of_each_algorithm_are_accepted(self, world: World, algorithm: str) -> None:
        world.issuer.keys = [SigningKey("first"), SigningKey("second", algorithm)]
        assert await world.verify(world.token(world.issuer.keys[1]))

    @pytest.mark.parametrize(("meant", "named"), list(itertools.permutations(ALGORITHMS, 2)))
    @clocked
    async def test_are_for_one_algorithm_each(self, world: World, meant: str, named: str) -> None:
        published, signing = SigningKey("first", meant), SigningKey("first", named)
        if {meant, named} == {"RS256", "PS256"}:
            signing.private = published.private
        world.issuer.keys = [published]
        with pytest.raises(InvalidToken, match="another algorithm"):
            await world.verify(world.token(signing))

    @pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES512", "RS256"])
    @clocked
    async def test_need_no_alg(self, world: World, algorithm: str) -> None:
        key = SigningKey("first", algorithm)
        world.issuer.behaviour = key_set({name: value for name, value in key.jwk.items() if name != "alg"})
        assert await world.verify(world.token(key))

    @pytest.mark.parametrize(
        "changed",
        [
            {"use": "enc"},
            {"key_ops": ["sign"]},
            {"alg": "ES256"},
            {"alg": "HS256"},
            {"kid": 1},
            {"kty": "oct", "k": "c2VjcmV0"},
            {"crv": "X25519"},
            {"x": "AA"},
        ],
        ids=str,
    )
    @clocked
    async def test_that_are_unusable_are_skipped(self, world: World, changed: dict[str, Any]) -> None:
        good = SigningKey("good")
        world.issuer.behaviour = key_set({**world.issuer.keys[0].jwk, **changed}, good.jwk)
        with pytest.raises(InvalidToken, match="does not publish"):
            await world.verify()
        assert await world.verify(world.token(good))

    @clocked
    async def test_published_with_their_private_part_are_usable(self, world: World) -> None:
        key = world.issuer.keys[0]
        world.issuer.behaviour = key_set({**key.jwk, "d": "AAAA", "use": "sig", "key_ops": ["verify"], "x5c": ["x"]})
        assert await world.verify()

    @clocked
    async def test_of_rsa_must_be_long_enough(self, world: World) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = SigningKey("short", "RS256")
        key.private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        world.issuer.behaviour = key_set(key.jwk, SigningKey("good").jwk)
        with pytest.raises(InvalidToken, match="does not publish"):
            await world.verify(world.token(key))

    @clocked
    async def test_a_kid_that_is_no_name_is_refused(self, world: World) -> None:
        key = world.issuer.keys[0]
        kids: list[Any] = [None, "", 1, ["first"], {}, True]
        for kid in kids:
            with pytest.raises(InvalidToken, match="kid"):
                await world.verify(key.sign(world.issuer.claims(), kid=kid))

    @pytest.mark.parametrize("has_kid", [True, False])
    @clocked
    async def test_without_a_kid_in_the_token_the_only_one_for_the_algorithm_counts(
        self, world: World, has_kid: bool
    ) -> None:
        key, other = world.issuer.keys[0], SigningKey("other", "ES256")
        jwk = {name: value for name, value in key.jwk.items() if has_kid or name != "kid"}
        world.issuer.behaviour = key_set(jwk, other.jwk)
        assert await world.verify(key.sign_without_kid(world.issuer.claims()))
        world.issuer.behaviour = key_set(jwk, SigningKey("another").jwk)
        await world.elapse(REFRESH_INTERVAL + 1)
        with pytest.raises(InvalidToken, match="kid"):
            await world.verify(key.sign_without_kid(world.issuer.claims(sub="somebody else")))

    @clocked
    async def test_of_edwards_curves_have_two_names(self, world: World) -> None:
        key = world.issuer.keys[0]
        world.issuer.behaviour = key_set({**key.jwk, "alg": "Ed25519"})
        for algorithm in ("EdDSA", "Ed25519"):
            assert await world.verify(key.sign(world.issuer.claims(), alg=algorithm))
        with pytest.raises(InvalidToken, match="another algorithm"):
            await world.verify(key.sign(world.issuer.claims(), alg="Ed448"))
