"""The key set of an issuer (RFC 7517, section 5): fetched when it is needed, kept, and renewed ahead of time."""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import httpx

from todo.adapters.tokens.claims import Finding
from todo.adapters.tokens.keys import ASYMMETRIC, Key, parsed_key_set, same_where_equal
from todo.domain.refusals import InvalidToken, Unavailable

logger = logging.getLogger("todo.tokens")

# Times are in seconds.

MAX_AGE = 10 * 60
"""How long nobody has to ask the issuer again."""

RENEWAL = 9 * 60
"""After this long it is asked again all the same, so that people need not wait for it at MAX_AGE."""

STALE_IF_ERROR = 24 * 60 * 60
"""How long a set is used while the issuer gives no other (RFC 5861, section 4, has the word)."""

IDLE = 60 * 60
"""After this long without a token to judge, the issuer is left alone."""

FETCH_TIMEOUT = 2
"""For a whole fetch."""

LONGEST_PAUSE = 30
"""After a failed fetch. The first is 1, and each that follows is twice as long; half of it may be taken off."""

REFETCH_INTERVAL = 5
"""Between two fetches for the sake of keys that are not in the set."""

SOUGHT_AT_ONCE = 1000
"""How many such keys are waited for at a time; tokens with others are refused at once."""

REFUSALS_APART = 0.01
"""Those who waited in vain are refused one by one, not in one moment that people with good tokens would feel."""

SET_LENGTH = 1024 * 1024
"""The most bytes of a set."""

_NEVER = -float("inf")

_LATE = f"it does not come within {FETCH_TIMEOUT} seconds"

_UNASKED = "The token is signed with a key that is not known here, and its issuer can't be asked now; try again soon."


class NoKeySet(Exception):
    """The issuer gives no key set. The text says why, without a word that the issuer chose."""


class _Seeker(NamedTuple):
    """Those who came with one key that is not in the set."""

    asked_at: float
    word: asyncio.Future[None]
    """Done when the issuer has said its last word about the key."""


class KeySet:
    """The keys that an issuer publishes at ``url``; a cache, and no other state. Its clock is the event loop's."""

    algorithms: tuple[str, ...] = ASYMMETRIC
    names_matter = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._counts = {"key_set_fetches": 0, "key_set_failures": 0, "key_set_unknown_keys": 0}
        self._keys: Mapping[str, Key] = {}
        # When the fetch began that brought the keys.
        self._published_at = _NEVER
        # When the last fetch began that has ended, well or not.
        self._asked_at = _NEVER
        # When a fetch last began for the sake of an unknown key.
        self._sought_at = _NEVER
        # When the pause after a failed fetch ends.
        self._retry_at = _NEVER
        self._used_at = _NEVER
        # When the last of those who waited in vain is refused.
        self._refused_at = _NEVER
        self._failures = 0
        self._failure = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seekers: dict[str, _Seeker] = {}

    async def find(self, kid: str) -> Key | None:
        """As Keys.find. Who asks for a key of the set waits for nobody, but where ``current`` does."""
        asked_at = self._time()
        keys = await self.current()
        if kid in keys or (self._asked_at >= asked_at and not self._failures):
            return keys.get(kid)
        return await self._sought(kid, asked_at)

    async def current(self) -> Mapping[str, Key]:
        """The keys, by kid. Waits for the issuer only if it was not asked within MAX_AGE, or has never given any.

        Raises Unavailable while there are none: none have come yet, or not for STALE_IF_ERROR.
        """
        now = self._used_at = self._time()
        if now - self._asked_at >= MAX_AGE or (now - self._published_at >= STALE_IF_ERROR and now >= self._retry_at):
            await asyncio.shield(self._begin())  # who leaves takes nothing from those who stay
        elif now - self._asked_at >= RENEWAL:
            self._begin()
        if now - self._published_at >= STALE_IF_ERROR:
            raise Unavailable("The token can't be judged: its issuer gives no keys. Try again soon.")
        return self._keys

    def counts(self) -> Mapping[str, int]:
        return self._counts

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
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _sought(self, kid: str, asked_at: float) -> Key | None:
        """What the issuer says about a key, in an answer that is no older than the question.

        A new key signs from the moment it is made: whoever comes with it is not to be turned away for being early.
        """
        self._counts["key_set_unknown_keys"] += 1
        if self._is_away():
            raise InvalidToken(_UNASKED)
        if kid not in self._seekers:
            if len(self._seekers) >= SOUGHT_AT_ONCE:
                return None
            self._seekers[kid] = _Seeker(asked_at, asyncio.get_running_loop().create_future())
        word = self._seekers[kid].word
        if self._must_pause() <= 0:
            self._begin()
        else:
            self._set_timer()
        await asyncio.shield(word)
        if kid in self._keys:
            return self._keys[kid]
        is_unasked = self._failures > 0
        now = self._time()
        self._refused_at = max(self._refused_at, now) + REFUSALS_APART
        await asyncio.sleep(min(self._refused_at - now, REFETCH_INTERVAL))
        if is_unasked:
            raise InvalidToken(_UNASKED)
        return None

    def _is_away(self) -> bool:
        """One failure may be a stumble."""
        return self._failures > 1

    def _must_pause(self) -> float:
        """Before the issuer may be asked for the sake of an unknown key."""
        return max(self._sought_at + REFETCH_INTERVAL, self._retry_at) - self._time()

    def _time(self) -> float:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A host may give each request a loop of its own; what an ended one left undone stays undone.
            self._loop, self._fetching, self._timer, self._seekers = loop, None, None, {}
        return loop.time()

    def _begin(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one: there are never two."""
        if self._fetching is None or self._fetching.done():
            if self._seekers:
                self._sought_at = self._time()
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        began_at = self._time()
        self._counts["key_set_fetches"] += 1
        try:
            self._keys = same_where_equal(await fetched(self._url), self._keys)
        except NoKeySet as failure:
            self._failed(str(failure))
        else:
            if self._failures:
                logger.warning("the issuer gives a key set again, after %d failed fetches", self._failures)
            self._published_at, self._retry_at, self._failures = began_at, _NEVER, 0
        self._asked_at = began_at
        self._tell_seekers()
        self._set_timer()

    def _failed(self, failure: str) -> None:
        self._failure = failure
        self._failures += 1
        self._counts["key_set_failures"] += 1
        pause = min(2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        self._retry_at = self._time() + pause * random.uniform(0.5, 1)  # noqa: S311 - hides nothing
        if self._failures == 1:
            logger.warning("the issuer gives no key set: %s", failure)

    def _tell_seekers(self) -> None:
        for kid, seeker in list(self._seekers.items()):
            is_answered = not self._failures and seeker.asked_at <= self._asked_at
            if kid in self._keys or is_answered or self._is_away():
                del self._seekers[kid]
                seeker.word.set_result(None)

    def _set_timer(self) -> None:
        """To the next fetch."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._time()
        pauses = [self._retry_at - now if self._failures else self._asked_at + RENEWAL - now]
        if self._seekers:
            pauses.append(self._must_pause())
        self._timer = asyncio.get_running_loop().call_later(max(0, min(pauses)), self._on_time)

    def _on_time(self) -> None:
        if self._seekers or self._time() - self._used_at < IDLE:
            self._begin()


async def fetched(url: str) -> dict[str, Key]:
    """The keys that are published there now, at least one. Raises NoKeySet.

    A thread does it, in an event loop of its own: neither the nonsense that an issuer may send without end, nor a name
    that is looked up for minutes, is felt by the loop that people wait for.
    """
    here = asyncio.get_running_loop()
    keys: asyncio.Future[dict[str, Key]] = here.create_future()

    async def fetch() -> None:
        try:
            tell = partial(keys.set_result, await _fetched(url))
        except NoKeySet as failure:
            tell = partial(keys.set_exception, failure)
        except Exception as fault:  # noqa: BLE001 - a fault here must not refuse the tokens whose keys are known
            tell = partial(keys.set_exception, NoKeySet(f"a fault of this program, {type(fault).__name__}"))
        with contextlib.suppress(RuntimeError):  # the loop has ended
            here.call_soon_threadsafe(lambda: None if keys.done() else tell())

    def run() -> None:
        with asyncio.Runner(loop_factory=_LoopForOne) as runner:
            runner.run(fetch())

    # A daemon, for a look-up of a name can't be interrupted, and the end of the process must not wait for it.
    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:
        raise NoKeySet("this machine has no thread left to fetch it in") from None
    try:
        async with asyncio.timeout(FETCH_TIMEOUT):
            return await keys
    except TimeoutError:
        raise NoKeySet(_LATE) from None


class _LoopForOne(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, *arguments: Any, **named: Any) -> list[Any]:
        """Here and now: in an executor's thread it would keep the process from ending."""
        return socket.getaddrinfo(*arguments, **named)


async def _fetched(url: str) -> dict[str, Key]:
    try:
        async with asyncio.timeout(FETCH_TIMEOUT):
            keys = parsed_key_set(await _document(url))
    except TimeoutError:
        raise NoKeySet(_LATE) from None
    except httpx.ConnectError as error:
        raise NoKeySet(f"the issuer can't be reached: {str(error) or 'the connection was closed'}") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NoKeySet(f"the connection to the issuer failed: {type(error).__name__}") from None
    if not keys:
        raise NoKeySet("what the issuer publishes is no set of keys that can be used here")
    return keys


async def _document(url: str) -> bytes:
    try:
        # The timeout of the whole ends it, not one for each step.
        client = httpx.AsyncClient(verify=_tls(), timeout=None, follow_redirects=False)  # noqa: S113 - see above
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        raise NoKeySet(f"the environment's proxies or certificates can't be used: {type(error).__name__}") from None
    # Not compressed: a small answer could be a large one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client, client.stream("GET", url, headers=headers) as answer:
        if answer.status_code != 200:
            raise NoKeySet(f"the issuer answers with status {answer.status_code}")
        document = bytearray()
        async for chunk in answer.aiter_raw():
            document += chunk
            if len(document) > SET_LENGTH:
                raise NoKeySet(f"it is larger than {SET_LENGTH} bytes")
        return bytes(document)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads all certificate authorities, which takes tens of milliseconds
