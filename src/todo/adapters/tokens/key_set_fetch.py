"""Fetches an issuer's JWK Set."""

import asyncio
import re
import socket
import ssl
import threading
from concurrent.futures import Future
from functools import cache
from typing import Any

import httpx

from todo.adapters.tokens.keys import KeySet, parse_key_set

FETCH_TIMEOUT = 2  # seconds, for the whole fetch
MAX_SIZE = 1024 * 1024  # bytes


class KeySetError(Exception):
    """Why no key set could be fetched. Safe to log: of what the issuer chose it has at most an address."""


async def fetch_key_set(url: str) -> KeySet:
    """The usable keys, at least one. Raises KeySetError, whatever goes wrong.

    Runs in a thread with an event loop of its own: a response that never ends, or a DNS lookup that hangs, must not
    slow down the loop that serves requests.
    """
    result: Future[KeySet] = Future()
    result.set_running_or_notify_cancel()  # no longer cancellable, so the thread can always set the result

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                # Has a timeout of its own, because the caller's does not end the thread.
                document = runner.run(asyncio.wait_for(_download(url), FETCH_TIMEOUT))
            result.set_result(parse_key_set(document))
        except Exception as error:  # noqa: BLE001 - raised again by the caller
            result.set_exception(error)

    try:
        # A daemon, because a DNS lookup can't be interrupted and must not delay the exit of the process.
        threading.Thread(target=run, daemon=True).start()
        keys = await asyncio.wait_for(asyncio.wrap_future(result), FETCH_TIMEOUT)
    except KeySetError:
        raise
    except TimeoutError:
        raise KeySetError(f"no complete response within {FETCH_TIMEOUT} seconds") from None
    except httpx.ConnectError as error:
        raise KeySetError(f"the issuer can't be reached: {str(error) or 'the connection was closed'}") from None
    except Exception as error:  # noqa: BLE001 - not even a bug in here may reject tokens whose keys are known
        raise KeySetError(f"the request to the issuer failed: {type(error).__name__}") from None
    if not keys:
        raise KeySetError("the response is not a JWK Set with a usable key")
    return keys


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> list[Any]:
        return socket.getaddrinfo(*args, **kwargs)  # blocks: an executor's thread would delay the exit of the process


async def _download(url: str) -> bytes:
    client = httpx.AsyncClient(verify=_load_certificates(), timeout=None, follow_redirects=False)  # noqa: S113
    # Not compressed, because a small compressed response could expand beyond any limit.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client, client.stream("GET", url, headers=headers) as response:
        if response.has_redirect_location:
            raise KeySetError(f"the issuer redirects; set JWT_JWKS_URL to {_describe_target(url, response)}")
        if response.status_code != 200:
            raise KeySetError(f"the issuer answered with status {response.status_code}")
        document = bytearray()
        async for chunk in response.aiter_raw():
            document += chunk
            if len(document) > MAX_SIZE:
                raise KeySetError(f"the response is larger than {MAX_SIZE} bytes")
        return bytes(document)


def _describe_target(url: str, response: httpx.Response) -> str:
    """Where a redirect leads, if that can be logged: no user name, no query."""
    target = httpx.URL(url).join(response.headers["Location"])
    is_harmless = re.fullmatch(r"https?://[A-Za-z0-9._:/\[\]-]{1,200}", str(target))
    return str(target) if is_harmless else "the address of the keys themselves"


@cache
def _load_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # takes tens of milliseconds, so it is done once
