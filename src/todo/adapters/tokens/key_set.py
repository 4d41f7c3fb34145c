"""A cache of an issuer's JWK Set (RFC 7517, section 5), refreshed ahead of time."""

import asyncio
import logging
import random
from collections.abc import Mapping
from math import inf

from todo.adapters.tokens.check import Check
from todo.adapters.tokens.key_set_fetch import KeySetError, fetch_key_set
from todo.adapters.tokens.keys import ASYMMETRIC, Key, KeySet
from todo.backoff import pauses
from todo.domain.refusals import InvalidToken, Unavailable

logger = logging.getLogger("todo.tokens")

# Seconds.
REFRESH_INTERVAL = 9 * 60  # a timer fetches this often, so that no token has to wait at MAX_AGE
MAX_AGE = 10 * 60  # if the timer had stopped and the last fetch is this old, the next token waits for a new one
IDLE_TIMEOUT = 60 * 60  # without tokens the timer stops: the issuer's database may be one that sleeps when unused
STALE_IF_ERROR = 24 * 60 * 60  # how long keys are used while fetches fail (the term is from RFC 5861, section 4)
MAX_PAUSE = 30  # after a failed fetch; the first pause is 1
REFETCH_INTERVAL = 5  # between fetches for unknown kids

MAX_WAITING = 1000  # tokens with unknown kids that wait for a fetch; any more are rejected at once

_UNPUBLISHED = "The token is signed with a key that the issuer does not publish; get a new token."
_UNKNOWN = "The token is signed with a key that is not known here, and its issuer can't be asked now; try again soon."


class RemoteKeySet:
    """The keys published at ``url``. Belongs to one event loop, whose clock it uses."""

    algorithms: tuple[str, ...] = ASYMMETRIC

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys = KeySet()
        self._counts = {"jwks_fetches_total": 0, "jwks_fetch_failures_total": 0, "jwks_unknown_kids_total": 0}
        self._timer: asyncio.TimerHandle | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_ended = asyncio.Event()
        self.waiting = 0
        self._failures = 0  # in a row
        self._failure = ""
        self._pauses = pauses(1, MAX_PAUSE)
        self._used_at = -inf
        self._attempted_at = self._fetched_at = -inf  # when the last fetch that ended, or succeeded, had started
        self._refetch_at = -inf  # from when on a fetch may start for an unknown kid, or after a failure

    async def find(self, kid: str, algorithm: str) -> Key:
        asked_at = _now()
        await self._ensure_keys(asked_at)
        key = self._keys.find(kid, algorithm)
        if key is None:
            await self._wait_for_key(kid, algorithm, asked_at)
            key = self._keys.find(kid, algorithm)
        if key is None:
            raise InvalidToken(_UNPUBLISHED if self._fetched_at >= asked_at else _UNKNOWN)
        return key

    def counts(self) -> Mapping[str, int]:
        return self._counts

    async def check(self) -> list[Check]:
        try:
            await self._ensure_keys(_now())
        except Unavailable:
            return [Check(False, f"The key set can't be fetched: {self._failure}.")]
        keys = [Check(True, f"key {kid} is for {key.algorithm}") for kid, key in self._keys]
        return [Check(True, f"the key set was fetched, usable keys: {len(keys)}"), *keys]

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _ensure_keys(self, now: float) -> None:
        self._used_at = now
        is_due = now - self._fetched_at >= STALE_IF_ERROR and now >= self._refetch_at
        if is_due or now - self._attempted_at >= MAX_AGE:
            await asyncio.shield(self._start_fetch())  # continues for the others if this caller is cancelled
        if now - self._fetched_at >= STALE_IF_ERROR:
            raise Unavailable("The token can't be verified: its issuer provides no keys. Try again soon.")

    async def _wait_for_key(self, kid: str, algorithm: str, asked_at: float) -> None:
        """Waits for a fetch that starts after the token arrived, since issuers use a new key as soon as it is made.

        Rejecting unknown kids between fetches would lock out legitimate users after a rotation whenever someone else
        sends made-up kids.
        """
        self._counts["jwks_unknown_kids_total"] += 1
        if self._failures > 1 or self.waiting >= MAX_WAITING:
            return
        self.waiting += 1
        try:
            while self._keys.find(kid, algorithm) is None and self._fetched_at < asked_at and self._failures <= 1:
                # Not always by the timer: each new token would put it off again.
                if _now() >= self._refetch_at:
                    self._start_fetch()
                else:
                    self._set_timer(self._refetch_at)
                await self._fetch_ended.wait()
            if self._keys.find(kid, algorithm) is None:
                # A thousand rejections at once would delay everyone else's requests.
                await asyncio.sleep(random.uniform(0, REFETCH_INTERVAL * self.waiting / MAX_WAITING))  # noqa: S311
        finally:
            self.waiting -= 1

    def _start_fetch(self) -> asyncio.Task[None]:
        """Or returns the one that is running: there is never more than one."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        started_at, is_refetch = _now(), self.waiting > 0
        self._counts["jwks_fetches_total"] += 1
        try:
            self._keys = await fetch_key_set(self._url)
        except KeySetError as error:
            self._counts["jwks_fetch_failures_total"] += 1
            self._failures += 1
            self._failure = str(error)
            if self._failures == 1:
                logger.warning("fetching the key set failed: %s", error)
            self._refetch_at = next_at = _now() + next(self._pauses)
        else:
            if self._failures:
                logger.warning("fetching the key set works again, after %d failures", self._failures)
            self._failures, self._pauses = 0, pauses(1, MAX_PAUSE)
            self._fetched_at, next_at = started_at, started_at + REFRESH_INTERVAL
            self._refetch_at = started_at + (REFETCH_INTERVAL if is_refetch else 0)
        self._attempted_at = started_at
        self._set_timer(next_at)
        self._fetch_ended.set()  # wakes those who are waiting now
        self._fetch_ended.clear()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        if _now() - self._used_at < IDLE_TIMEOUT:
            self._start_fetch()


def _now() -> float:
    return asyncio.get_running_loop().time()
