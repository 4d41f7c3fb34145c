"""The key set of an issuer that breaks, on a clock of the test's own."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

import pytest

from tests.support.issuer import BROKEN, Issuer, SigningKey, breakable_issuer, key_set, publishes
from todo.adapters.tokens.claims import Claims
from todo.adapters.tokens.key_set import (
    FETCH_TIMEOUT,
    IDLE,
    LONGEST_PAUSE,
    MAX_AGE,
    REFETCH_INTERVAL,
    SOUGHT_AT_ONCE,
    STALE_IF_ERROR,
    KeySet,
)
from todo.adapters.tokens.verifier import JwtVerifier
from todo.domain.refusals import InvalidToken, Unavailable
from todo.domain.task import UserId

MINUTE, HOUR = 60, 3600
ALGORITHMS = ["EdDSA", "ES256", "ES512", "RS256", "PS256"]
STEP = 4.5 * MINUTE
"""Half of the time to a renewal, so that each comes at its time."""
IMPATIENT = {"hang", "drip"}
"""What ends with the service's patience alone."""


class ClockedLoop(asyncio.SelectorEventLoop):
    """Its clock can be put ahead."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class World:
    """An issuer, a verifier of its tokens, and the time."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.key_set = KeySet(f"{issuer.url}/api/auth/jwks")
        self.verifier = JwtVerifier(self.key_set, Claims(issuers=[issuer.url], audiences=[issuer.url]))
        self.names = (f"person-{number}" for number in itertools.count())
        self.remembered = self.token()
        self.is_warm = False

    @property
    def fetches(self) -> int:
        return len(self.issuer.requests)

    def token(self, key: SigningKey | None = None) -> str:
        """A new one, good for two days."""
        return self.issuer.token(key, sub=next(self.names), exp=time.time() + 48 * HOUR)

    async def verify(self, token: str | None = None) -> UserId:
        return await self.verifier.verify(token or self.token())

    async def warm(self) -> None:
        await self.verify(self.remembered)
        assert self.fetches == 1
        self.is_warm = True

    async def is_refused(self, token: str, says: str = "does not publish") -> None:
        """Whatever time it takes."""
        verification = asyncio.create_task(self.verify(token))
        while not verification.done():
            await asyncio.sleep(0)
            if fetching := others() - {verification}:
                await asyncio.wait(fetching)
            put_ahead(1)
        with pytest.raises(InvalidToken, match=says):
            await verification

    def gets_in_at_once(self) -> None:
        for token in (self.remembered, self.token()):
            verification = self.verify(token)
            with pytest.raises(StopIteration):  # it ends without having waited for anything
                verification.send(None)

    async def elapse(self, seconds: float, *, impatient: bool = False) -> None:
        """Until what begins in this time has ended, refusals that are put off included."""
        before = self.fetches
        put_ahead(seconds)
        for _ in range(3):
            await asyncio.sleep(0)
        if impatient and others():
            await asyncio.to_thread(self.issuer.wait_for_request, before + 1)
            if self.is_warm:
                self.gets_in_at_once()
            put_ahead(FETCH_TIMEOUT)
        while waited_for := others():
            await asyncio.wait(waited_for, timeout=0.01)
            put_ahead(0.1)


def put_ahead(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockedLoop)
    loop.ahead += seconds


def now() -> float:
    return asyncio.get_running_loop().time()


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def clocked(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(self: object, world: World, **named: Any) -> None:
        async def story() -> None:
            try:
                await test(self, world, **named)
            finally:
                await world.key_set.close()

        with asyncio.Runner(loop_factory=ClockedLoop) as runner:
            runner.run(story())

    return run


@pytest.fixture
def world() -> Iterator[World]:
    with breakable_issuer() as issuer:
        yield World(issuer)


class TestWhenItFetches:
    @clocked
    async def test_never_before_a_token_needs_it(self, world: World) -> None:
        for claims in ({"exp": 0}, {"iss": "https://other.example"}, {"aud": "x"}, {"sub": None}):
            with pytest.raises(InvalidToken):
                await world.verify(world.issuer.token(**claims))
        for token in ("x", "a.b.c", world.token().replace(".", ".e", 1), world.token() + "="):
            with pytest.raises(InvalidToken):
                await world.verify(token)
        assert world.fetches == 0

    @clocked
    async def test_once_however_many_wait(self, world: World) -> None:
        await asyncio.gather(*(world.verify() for _ in range(100)))
        assert world.issuer.requests == ["GET /api/auth/jwks HTTP/1.1"]

    @clocked
    async def test_once_in_nine_minutes_while_it_is_used(self, world: World) -> None:
        await world.warm()
        for _ in range(90):
            await world.elapse(MINUTE)
            world.gets_in_at_once()
        assert 9 <= world.fetches <= 11

    @clocked
    async def test_no_more_when_nobody_came_for_an_hour(self, world: World) -> None:
        await world.warm()
        for _ in range(24 * 6):
            await world.elapse(10 * MINUTE)
        assert world.fetches <= 1 + IDLE / (9 * MINUTE)
        await world.verify()

    @clocked
    async def test_for_all_when_the_one_who_began_it_has_left(self, world: World) -> None:
        released = withheld(world.issuer)
        first, second = asyncio.create_task(world.verify()), asyncio.create_task(world.verify())
        await asyncio.to_thread(world.issuer.wait_for_request, 1)
        first.cancel()
        await asyncio.wait([first])
        released()
        assert (await second).startswith("person")
        assert world.fetches == 1

    def test_in_whatever_event_loop_asks(self, world: World) -> None:
        for _ in range(3):
            assert asyncio.run(world.verify())
        assert world.fetches == 1

    def test_anew_where_a_loop_ended_in_mid_fetch(self, world: World) -> None:
        async def leave() -> None:
            asyncio.create_task(world.verify())  # noqa: RUF006 - to be left
            await asyncio.to_thread(world.issuer.wait_for_request, 1)

        released = withheld(world.issuer)
        asyncio.run(leave())
        released()
        world.issuer.behaviour = publishes
        assert asyncio.run(world.verify())


class TestAnIssuerThatIsAway:
    @pytest.mark.parametrize("way", BROKEN)
    @clocked
    async def test_makes_a_cold_service_unavailable_until_it_is_back(self, world: World, way: str) -> None:
        world.issuer.behaviour = BROKEN[way]
        verification = asyncio.create_task(world.verify())
        await world.elapse(0, impatient=way in IMPATIENT)
        with pytest.raises(Unavailable):
            await verification
        assert world.fetches == 1
        assert "elsewhere" not in "".join(world.issuer.requests)

        with pytest.raises(Unavailable):  # at once, in the pause
            await world.verify()
        assert world.fetches == 1

        world.issuer.behaviour = publishes
        await world.elapse(1)
        world.gets_in_at_once()

    @pytest.mark.parametrize("way", BROKEN)
    @clocked
    async def test_costs_a_warm_service_no_answer_and_no_time(self, world: World, way: str) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN[way]
        for _ in range(14):
            await world.elapse(STEP, impatient=way in IMPATIENT)
            world.gets_in_at_once()
        assert world.fetches > 5

    @clocked
    async def test_may_be_down(self, world: World) -> None:
        world.issuer.go_down()
        with pytest.raises(Unavailable):
            await world.verify()
        world.issuer.come_up()
        await world.elapse(1)
        world.gets_in_at_once()
        world.issuer.go_down()
        for _ in range(14):
            await world.elapse(STEP)
            world.gets_in_at_once()

    @clocked
    async def test_costs_nothing_for_a_day_however_it_changes(self, world: World) -> None:
        await world.warm()
        ways = itertools.cycle(BROKEN.items())
        began = now()
        while now() - began < STALE_IF_ERROR - STEP - FETCH_TIMEOUT:
            way, world.issuer.behaviour = next(ways)
            await world.elapse(STEP, impatient=way in IMPATIENT)
            world.gets_in_at_once()
        world.issuer.behaviour = BROKEN["500"]
        await world.elapse(2 * STEP)
        for token in (world.remembered, world.token()):
            with pytest.raises(Unavailable):
                await world.verify(token)
        world.issuer.behaviour = publishes
        await world.elapse(LONGEST_PAUSE)
        world.gets_in_at_once()

    @clocked
    async def test_is_asked_less_and_less_often(self, world: World) -> None:
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
        assert len(pauses) < 10 * MINUTE / (LONGEST_PAUSE / 2)
        assert max(pauses[:3]) <= 5
        assert max(pauses) <= LONGEST_PAUSE + 1

    @clocked
    async def test_is_waited_for_once_when_nobody_has_come_for_long(self, world: World) -> None:
        await world.warm()
        await world.elapse(2 * HOUR)
        await world.elapse(2 * HOUR)
        world.issuer.behaviour = BROKEN["hang"]
        before = world.fetches
        verification = asyncio.create_task(world.verify())
        await asyncio.to_thread(world.issuer.wait_for_request, before + 1)
        put_ahead(FETCH_TIMEOUT)
        assert await verification
        world.gets_in_at_once()

    @clocked
    async def test_says_nothing_of_a_key_that_it_was_not_asked_about(self, world: World) -> None:
        await world.warm()
        await world.elapse(2 * HOUR)
        world.issuer.behaviour = BROKEN["500"]
        await world.is_refused(world.token(SigningKey("second")), says="can't be asked now")


class TestAKeyThatIsDropped:
    @clocked
    async def test_is_refused_within_ten_minutes_and_tokens_that_are_remembered_with_it(self, world: World) -> None:
        old, new = world.issuer.keys[0], SigningKey("second")
        await world.warm()
        world.issuer.keys = [new]
        await world.elapse(MAX_AGE)
        for token in (world.remembered, world.remembered, world.token(old)):
            await world.elapse(REFETCH_INTERVAL)
            with pytest.raises(InvalidToken, match="does not publish"):
                await world.verify(token)
        assert await world.verify(world.token(new))

    @clocked
    async def test_is_refused_at_once_when_nobody_has_come_for_long(self, world: World) -> None:
        old = world.issuer.keys[0]
        await world.warm()
        await world.elapse(2 * HOUR)
        await world.elapse(2 * HOUR)
        world.issuer.keys = [SigningKey("second")]
        for token in (world.remembered, world.token(old)):
            with pytest.raises(InvalidToken, match="does not publish"):
                await world.verify(token)

    @clocked
    async def test_is_refused_when_another_comes_under_its_name(self, world: World) -> None:
        await world.warm()
        world.issuer.keys = [SigningKey("first")]
        await world.elapse(MAX_AGE)
        with pytest.raises(InvalidToken):
            await world.verify(world.remembered)
        assert await world.verify(world.token())


class TestAKeyThatIsNew:
    @clocked
    async def test_is_taken_as_soon_as_it_signs(self, world: World) -> None:
        await world.warm()
        for number in range(3):
            new = SigningKey(f"new {number}")
            world.issuer.keys.append(new)
            many = asyncio.gather(*(world.verify(world.token(new)) for _ in range(100)))
            while world.fetches < number + 2:
                world.gets_in_at_once()
                await asyncio.sleep(0)
            await many
            await world.elapse(REFETCH_INTERVAL)

    @clocked
    async def test_is_waited_for_when_another_came_a_moment_ago(self, world: World) -> None:
        await world.warm()
        world.issuer.keys.append(SigningKey("second"))
        await world.verify(world.token(world.issuer.keys[1]))
        world.issuer.keys.append(SigningKey("third"))
        verification = asyncio.create_task(world.verify(world.token(world.issuer.keys[2])))
        await asyncio.sleep(0)
        assert not verification.done()
        assert world.fetches == 2
        world.gets_in_at_once()
        await world.elapse(REFETCH_INTERVAL)
        assert await verification
        assert world.fetches == 3

    @clocked
    async def test_is_asked_for_again_when_the_answer_under_way_is_older_than_it(self, world: World) -> None:
        await world.warm()
        released = withheld(world.issuer)
        put_ahead(9 * MINUTE)
        await asyncio.sleep(0)
        await asyncio.to_thread(world.issuer.wait_for_request, 2)
        new = SigningKey("second")
        verification = asyncio.create_task(world.verify(world.token(new)))
        await asyncio.sleep(0)
        world.issuer.keys = [*world.issuer.keys, new]
        world.issuer.behaviour = publishes
        released()
        assert await verification
        assert world.fetches == 3

    @clocked
    async def test_is_looked_for_at_most_three_times_in_ten_seconds_of_a_thousand_made_up_ones(
        self, world: World
    ) -> None:
        await world.warm()
        made_up = SigningKey("")
        asked: set[asyncio.Task[UserId]] = set()
        began = asyncio.get_running_loop().time()
        for number in range(1000):
            made_up.kid = f"made up {number}"
            asked.add(asyncio.create_task(world.verify(world.token(made_up))))
            put_ahead(0.01)
            await asyncio.sleep(0)
            world.gets_in_at_once()
            if fetching := others() - asked:
                await asyncio.wait(fetching)
        took = asyncio.get_running_loop().time() - began  # ten seconds, and what a busy machine adds
        assert 2 <= world.fetches - 1 <= 3 * took / 10
        await world.elapse(REFETCH_INTERVAL)
        refusals = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(refusal) for refusal in refusals} == {InvalidToken}

    @clocked
    async def test_is_taken_from_everybody_whatever_nonsense_came_before(self, world: World) -> None:
        await world.warm()
        await world.is_refused(world.token(SigningKey("made up")))
        new = SigningKey("second")
        world.issuer.keys.append(new)
        many = [asyncio.create_task(world.verify(world.token(new))) for _ in range(200)]
        nonsense = [asyncio.create_task(world.verify(world.token(SigningKey(f"made up {n}")))) for n in range(100)]
        await asyncio.sleep(0)
        assert world.fetches == 2
        await world.elapse(REFETCH_INTERVAL)
        assert len({await one for one in many}) == 200
        assert {type(one.exception()) for one in nonsense} == {InvalidToken}

    @clocked
    async def test_is_one_of_so_many_at_most_that_are_looked_for(self, world: World) -> None:
        await world.warm()
        made_up = SigningKey("")
        for _ in range(2):
            await world.is_refused(world.token(made_up.named("the first")))
            tokens = [world.token(made_up.named(f"{number}")) for number in range(SOUGHT_AT_ONCE + 7)]
            asked = [asyncio.create_task(world.verify(token)) for token in tokens]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert sum(task.done() for task in asked) == 7
            asked[0].cancel()
            await world.elapse(REFETCH_INTERVAL)
            assert all(isinstance(task.exception(), InvalidToken) for task in asked[1:])
            await world.elapse(REFETCH_INTERVAL)

    @clocked
    async def test_is_looked_for_again_when_the_issuer_stumbles(self, world: World) -> None:
        await world.warm()
        new = SigningKey("second")
        world.issuer.keys.append(new)
        world.issuer.behaviour = BROKEN["429"]
        verification = asyncio.create_task(world.verify(world.token(new)))
        await asyncio.to_thread(world.issuer.wait_for_request, 2)
        world.gets_in_at_once()
        while fetching := others() - {verification}:
            await asyncio.wait(fetching)
        assert not verification.done()
        world.issuer.behaviour = publishes
        await world.elapse(1)
        assert await verification

    @clocked
    async def test_is_refused_at_once_while_the_issuer_is_away_for_long(self, world: World) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN["500"]
        for _ in range(5):
            await world.elapse(MAX_AGE)
        verification = world.verify(world.token(SigningKey("second")))
        with pytest.raises(InvalidToken, match="can't be asked now"):
            verification.send(None)

    @clocked
    async def test_is_refused_when_the_issuer_goes_away_while_it_is_looked_for(self, world: World) -> None:
        await world.warm()
        world.issuer.behaviour = BROKEN["500"]
        verification = asyncio.create_task(world.verify(world.token(SigningKey("second"))))
        for _ in range(40):
            await asyncio.sleep(0)
            if fetching := others() - {verification}:
                await asyncio.wait(fetching)
            put_ahead(1)
        with pytest.raises(InvalidToken, match="can't be asked now"):
            await verification


def withheld(issuer: Issuer) -> Callable[[], None]:
    """Keeps the issuer's answers back until the returned function is called, but with the keys it has now."""
    jwks = [key.jwk for key in issuer.keys]

    def behaviour(_: Issuer, connection: Any) -> None:
        issuer.released.wait()
        key_set(*jwks)(issuer, connection)

    issuer.behaviour = behaviour
    return issuer.released.set


class TestAToken:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @clocked
    async def test_gets_in_with_no_bit_flipped(self, world: World, algorithm: str) -> None:
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
            if fetching := others() - waiting:
                await asyncio.wait(fetching)
            put_ahead(1)  # some name another key, and are kept waiting for it
            await asyncio.sleep(0)
        assert {type(verification.exception()) for verification in verifications} == {InvalidToken}


class TestKeys:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @clocked
    async def test_of_each_algorithm_are_taken(self, world: World, algorithm: str) -> None:
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
    async def test_need_not_say_what_their_form_says(self, world: World, algorithm: str) -> None:
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
            {"kid": None},
            {"kid": ""},
            {"kid": 1},
            {"kty": "oct", "k": "c2VjcmV0"},
            {"crv": "X25519"},
            {"x": "AA"},
        ],
        ids=str,
    )
    @clocked
    async def test_that_are_not_for_this_are_left_out(self, world: World, changed: dict[str, Any]) -> None:
        good = SigningKey("good")
        world.issuer.behaviour = key_set({**world.issuer.keys[0].jwk, **changed}, good.jwk)
        with pytest.raises(InvalidToken, match="does not publish"):
            await world.verify()
        assert await world.verify(world.token(good))

    @clocked
    async def test_with_their_private_part_published_are_used_for_their_public_part(self, world: World) -> None:
        key = world.issuer.keys[0]
        world.issuer.behaviour = key_set({**key.jwk, "d": "AAAA", "use": "sig", "key_ops": ["verify"], "x5c": ["x"]})
        assert await world.verify()

    @clocked
    async def test_of_rsa_are_long_enough(self, world: World) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = SigningKey("short", "RS256")
        key.private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        world.issuer.behaviour = key_set(key.jwk, SigningKey("good").jwk)
        with pytest.raises(InvalidToken, match="does not publish"):
            await world.verify(world.token(key))

    @clocked
    async def test_are_found_by_kid_alone(self, world: World) -> None:
        key = world.issuer.keys[0]
        world.issuer.behaviour = key_set({**key.jwk, "kid": ""}, key.jwk)
        kids: list[Any] = [None, "", 1, ["first"], {}, True]
        for kid in kids:
            with pytest.raises(InvalidToken, match="kid"):
                await world.verify(key.sign(world.issuer.claims(), kid=kid))
