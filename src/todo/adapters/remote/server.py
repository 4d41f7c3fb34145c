"""A todo server as a client reaches it: requests, attempts, and what a refusal means."""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

import httpx
import msgspec

from todo.backoff import pauses
from todo.domain.batch import OperationRefused
from todo.domain.refusals import IdTaken, InvalidField, NotAuthenticated, Refusal, TaskNotFound, Unavailable
from todo.domain.task import UserId
from todo.http_contract.documents import STATUSES, Problem, parse_pointer

TIMEOUT = 30  # seconds for one call, all attempts included

ATTEMPTS = 4

_REFUSALS: Mapping[int, type[Refusal]] = {status: kind for kind, status in STATUSES.items()}

T = TypeVar("T")


class NotATodoServer(Refusal):
    """What answers does not follow the contract."""


class Untrusted(Refusal):
    """The server's certificate is not from an authority that this machine trusts."""


class Server:
    """Reads are retried when the connection breaks or the answer is 503, and so is all that is repeatable. The rest is
    retried only if it was never sent. Redirects are not followed: a token goes to ``url`` and nowhere else.
    """

    def __init__(self, url: str, get_token: Callable[[UserId], str], *, timeout: float, attempts: int | None) -> None:
        self._url = url.rstrip("/")
        self._get_token = get_token
        self._timeout = timeout
        self._attempts = attempts or ATTEMPTS
        is_https = url.startswith("https:")
        self._http = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            # Without TLS a proxy would read the token, and there are no certificates to load.
            trust_env=is_https,
            verify=True if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        owner: UserId,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = False,
        **rest: Any,
    ) -> httpx.Response:
        request = self._http.build_request(
            method,
            f"{self._url}/api{path}",
            headers={"Authorization": f"Bearer {self._get_token(owner)}", **(headers or {})},
            **rest,
        )
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._send(request, is_repeatable)
        except (httpx.TransportError, TimeoutError) as error:
            if reason := _distrust(error):
                raise Untrusted(
                    f"The certificate of {self._url} is not trusted: {reason}. SSL_CERT_FILE can name a certificate to"
                    " trust."
                ) from None
            raise Unavailable(f"The server {self._url} is away: {_describe(error)}. Try again soon.") from None
        if not response.is_success:
            raise self._explain(response, names_task=path.count("/") > 1 or method == "POST")
        return response

    async def _send(self, request: httpx.Request, is_repeatable: bool) -> httpx.Response:
        for pause in islice(pauses(0.3, 2), self._attempts - 1):
            wait = pause
            try:
                response = await self._http.send(request)
                if response.status_code != 503 or not is_repeatable:
                    return response
                wait += _parse_retry_after(response.headers.get("Retry-After", ""))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # the request was never sent
                if _distrust(error):
                    raise
            except httpx.TransportError:
                if not is_repeatable:
                    raise
            await asyncio.sleep(wait)
        return await self._http.send(request)

    def decode(self, response: httpx.Response, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(response.content)
        except (ValueError, RecursionError):
            raise self.explain_no_contract(response) from None

    def _explain(self, response: httpx.Response, *, names_task: bool) -> Refusal:
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (ValueError, RecursionError):
            if response.status_code in (502, 503, 504):  # of a proxy
                return Unavailable(f"The server {self._url} is away: status {response.status_code}. Try again soon.")
            return self.explain_no_contract(response)
        kind = _REFUSALS.get(response.status_code)
        if kind is InvalidField and problem.errors and problem.errors[0].pointer:
            return InvalidField(problem.detail, *parse_pointer(problem.errors[0].pointer))
        if kind is IdTaken and problem.errors and problem.errors[0].pointer:
            _, place = parse_pointer(problem.errors[0].pointer)  # of the operations
            return OperationRefused(int(place), IdTaken())
        if kind is TaskNotFound and not names_task:
            return self.explain_no_contract(response)
        if kind is None or kind is InvalidField:
            return Refusal(f"The server {self._url} refused the request: {problem.detail}")
        if issubclass(kind, NotAuthenticated | Unavailable):
            return kind(problem.detail)
        if response.status_code == 500:
            return Refusal(f"The server {self._url} failed: {problem.detail}")
        return kind()

    def explain_no_contract(self, response: httpx.Response) -> NotATodoServer:
        if response.is_redirect:
            return NotATodoServer(f"{self._url} redirects, and a token is not sent elsewhere; check the address.")
        return NotATodoServer(f"What answers at {self._url} is not a todo server; check the address.")


def _parse_retry_after(value: str) -> float:
    """Seconds (RFC 9110, section 10.2.3); a date counts as none."""
    return float(value) if value.isdecimal() else 0


def _distrust(error: Exception) -> str | None:
    """Why a certificate was rejected, if that is the error; httpx has no class of its own for it."""
    found = re.search(r"certificate verify failed: (.*) \(", str(error))
    return found and found[1]


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "it does not answer in time"
    return str(error) or type(error).__name__
