"""The key set of an issuer (RFC 7517, section 5): fetched when it is needed, kept, and renewed ahead of time."""

import asyncio
import logging
import random
import ssl
from collections.abc import Mapping
from functools import cache

import httpx

from todo.adapters.tokens.claims import Finding
from todo.adapters.tokens.keys import ASYMMETRIC, Key, keys_in, same_where_equal
from todo.domain.refusals import Unavailable

logger = logging.getLogger("todo.tokens")

# Times are in seconds.

FRESH = 10 * 60
"""How long nobody has to ask the issuer again."""

RENEWAL = 9 * 60
"""After this long it is asked again all the same, so that people need not wait for it at FRESH."""

STALE = 24 * 60 * 60
"""How long a set is used while the issuer gives no other."""

IDLE = 60 * 60
"""After this long without a token to judge, the issuer is left alone."""

PATIENCE = 2
"""For a whole fetch."""

LONGEST_PAUSE = 30
"""After a failed fetch. The first is 1, and each that follows is twice as long."""

FLOOR = 5
"""Between two fetches for the sake of keys that are not in the set."""

SEEKERS = 50
"""How many tokens with such a key may wait for the next fetch; the others are refused at once."""

SPREAD = 1
"""Those who wait come back within this time, and not in one moment that good tokens would notice."""

LENGTH = 1024 * 1024
"""The most bytes of a set."""

_NEVER = -float("inf")


class NoKeySet(Exception):
    """The issuer gives no key set. The text says why, without a word that the issuer chose."""


class KeySet:
    """The keys that an issuer publishes at ``url``; a cache, and no other state. Its clock is the event loop's."""

    algorithms: tuple[str, ...] = ASYMMETRIC

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: Mapping[str, Key] = {}
        self._failure: NoKeySet | None = None
        self._failures = 0
        """In a row, the last one of all fetches included."""
        self._used_at = self._published_at = self._asked_at = self._sought_at = self._retry_at = _NEVER
        """When it was last used; when the fetch began that brought the keys; when the last one began that has ended;
        when one last began for the sake of an unknown key; when the pause after a failed one ends."""
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seekers = 0

    async def find(self, kid: str | None) -> Key | None:
        """As Keys.find. Who asks for a key of the set waits for nobody, but where ``current`` does."""
        asked_at = _now()
        keys = await self.current()
        if kid is None or kid in keys:
            return keys.get(kid or "")
        return await self._sought(kid, asked_at)

    async def current(self) -> Mapping[str, Key]:
        """The keys, by kid. Waits for the issuer only if it was not asked within FRESH, or has never given any.

        Raises Unavailable, from a NoKeySet, while there are none: none have come yet, or not for STALE.
        """
        now = self._used_at = _now()
        if now - self._asked_at >= FRESH or (
            now - self._published_at >= STALE and (self._is_fetching() or now >= self._retry_at)
        ):
            await self._renewed()
        if now - self._published_at >= STALE:
            raise Unavailable("The token can't be judged: its issuer gives no keys. Try again soon.") from self._failure
        return self._keys

    async def examine(self) -> list[Finding]:
        try:
            keys = await self.current()
        except Unavailable:
            return [Finding(False, f"The key set can't be had: {self._failure}.")]
        return [
            Finding(True, f"the key set can be had, with {len(keys)} of use"),
            *(Finding(True, f"key {kid} is for {key.algorithm}") for kid, key in keys.items()),
        ]

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_fetching() and self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _sought(self, kid: str, asked_at: float) -> Key | None:
        """What the issuer says about a key, in an answer that is no older than the question.

        A new key signs from the moment it is made: whoever comes with it is not to be turned away for being early.
        """
        while kid not in self._keys and self._asked_at < asked_at:
            now = _now()
            pause = max(self._sought_at + FLOOR, self._retry_at) - now
            if self._is_fetching():
                await self._renewed()
            elif pause <= 0:
                self._sought_at = now
                await self._renewed()
            elif pause > FLOOR or self._seekers >= SEEKERS:
                break
            else:
                self._seekers += 1
                try:
                    await asyncio.sleep(pause + random.uniform(0, SPREAD))  # noqa: S311 - hides nothing
                finally:
                    self._seekers -= 1
        return self._keys.get(kid)

    def _is_fetching(self) -> bool:
        # A host may give each request a loop of its own; what an ended one left undone stays undone.
        task = self._fetching
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    async def _renewed(self) -> None:
        """Waits for the fetch that is under way, or for a new one: there are never two."""
        self._begin()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # who leaves takes nothing from those who stay

    def _begin(self) -> None:
        if self._is_fetching():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        began_at = _now()
        try:
            self._keys = same_where_equal(await fetched(self._url), self._keys)
        except NoKeySet as failure:
            self._failed(failure)
        except Exception as fault:  # noqa: BLE001 - a fault here must not refuse the tokens whose keys are known
            self._failed(NoKeySet(f"a fault of this program, {type(fault).__name__}"))
        else:
            if self._failures:
                logger.warning("the issuer gives a key set again, after %d failed fetches", self._failures)
            self._published_at, self._retry_at = began_at, _NEVER
            self._failure, self._failures = None, 0
        self._asked_at = began_at
        next_in = self._retry_at - _now() if self._failures else RENEWAL
        self._timer = asyncio.get_running_loop().call_later(next_in, self._on_time)

    def _failed(self, failure: NoKeySet) -> None:
        self._failure = failure
        self._failures += 1
        pause = min(2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        self._retry_at = _now() + pause * random.uniform(0.5, 1)  # noqa: S311 - hides nothing
        if self._failures == 1:
            logger.warning("the issuer gives no key set: %s", failure)

    def _on_time(self) -> None:
        if _now() - self._used_at < IDLE:
            self._begin()


async def fetched(url: str) -> dict[str, Key]:
    """The keys that are published there now, at least one. Raises NoKeySet."""
    try:
        async with asyncio.timeout(PATIENCE):
            keys = await asyncio.to_thread(keys_in, await _document(url))
    except TimeoutError:
        raise NoKeySet(f"it does not come within {PATIENCE} seconds") from None
    except httpx.ConnectError as error:
        raise NoKeySet(f"the issuer can't be reached: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NoKeySet(f"the connection to the issuer failed: {type(error).__name__}") from None
    except ValueError:
        raise NoKeySet("what the issuer answers is no key set") from None
    if not keys:
        raise NoKeySet("the issuer publishes no key that can be used here")
    return keys


async def _document(url: str) -> bytes:
    tls = await asyncio.to_thread(_tls)  # reading the certificate authorities takes tens of milliseconds
    # Not compressed: a small answer could be a large one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(verify=tls, timeout=None, follow_redirects=False) as client,  # noqa: S113 - PATIENCE ends it
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            raise NoKeySet(f"the issuer answers with status {answer.status_code}")
        document = bytearray()
        async for chunk in answer.aiter_raw():
            document += chunk
            if len(document) > LENGTH:
                raise NoKeySet(f"it is larger than {LENGTH} bytes")
        return bytes(document)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _now() -> float:
    return asyncio.get_running_loop().time()
