"""The TaskStore that calls a todo server: the client's end of the HTTP contract."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import msgspec

from todo.backoff import pauses
from todo.domain.batch import OperationRefused
from todo.domain.ports import PAGE_LENGTH, Applied, Change, IdempotencyKey, Known, ListVersion, Page, Selection, Trash
from todo.domain.refusals import (
    IdTaken,
    InvalidField,
    NotAuthenticated,
    NotYours,
    Refusal,
    TaskChanged,
    TaskNotFound,
    Unavailable,
)
from todo.domain.task import Position, RemovedTask, Task, UserId
from todo.http_contract.batches import decode_results, operation_body
from todo.http_contract.documents import (
    STATUSES,
    Problem,
    change_body,
    creation_body,
    decode_task,
    decode_tasks,
    decode_trash,
    parse_pointer,
)
from todo.http_contract.entity_tags import format_task_etag, parse_list_etag
from todo.http_contract.list_query import list_query, trash_query

TIMEOUT = 30  # seconds for one call, all attempts included

ATTEMPTS = 4

_REFUSALS: Mapping[int, type[Refusal]] = {status: kind for kind, status in STATUSES.items()}

T = TypeVar("T")


class NotATodoServer(Refusal):
    """What answers does not follow the contract."""


class Untrusted(Refusal):
    """The server's certificate is not from an authority that this machine trusts."""


class RemoteTaskStore:
    """``get_token`` returns a person's token, from which the server knows whose tasks are meant.

    Reads are retried when the connection breaks or the answer is 503, and so are additions, each of which has an
    Idempotency-Key. Other changes are retried only if they were never sent. Redirects are not followed: a token goes
    to ``url`` and nowhere else. Every call may raise NotATodoServer and Untrusted.
    """

    def __init__(
        self, url: str, get_token: Callable[[UserId], str], *, timeout: float = TIMEOUT, attempts: int | None = None
    ) -> None:
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

    async def get(self, owner: UserId, task_id: UUID) -> Task:
        response = await self._request(owner, "GET", f"/tasks/{task_id}", is_repeatable=True)
        return self._decode(response, decode_task)

    async def list(
        self, owner: UserId, wanted: Selection, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        query = list_query(owner, wanted, limit, after)
        response = await self._request(owner, "GET", "/tasks", params=query, is_repeatable=True)
        return Page(self._decode(response, decode_tasks), "next" in response.links, self._read_version(response))

    async def find(self, owner: UserId, ids: Collection[UUID], new: Collection[UUID], *, now: datetime) -> Known:
        """One request for each id that is not new; the server looks for those that are when it adds them."""
        tasks: dict[UUID, Task] = {}
        missing: set[UUID] = set()
        others: set[UUID] = set()

        async def find_one(task_id: UUID) -> None:
            try:
                async with at_once:
                    tasks[task_id] = await self.get(owner, task_id)
            except TaskNotFound:
                missing.add(task_id)
            except NotYours:
                others.add(task_id)

        at_once = asyncio.Semaphore(8)
        await asyncio.gather(*(find_one(task_id) for task_id in ids if task_id not in new))
        trash = self._read_trash(owner, now)
        removed = {one.task.id: one async for one in trash if one.task.id in missing} if missing else {}
        return Known(tasks, removed, others)

    async def version(self, owner: UserId) -> ListVersion:
        # Not HEAD: a refusal would have no sentence.
        return (await self.list(owner, Selection(), limit=1)).version

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        if len(changes) > 1 or (key is not None and key.note is not None):
            return await self._apply_all(owner, changes, key)
        [(before, after)] = changes
        if before is None:
            assert isinstance(after, Task)
            return await self._add(owner, after, key)
        try:
            if isinstance(before, RemovedTask):
                response = await self._request(owner, "POST", f"/trash/{before.task.id}/restore")
                return Applied([self._decode(response, decode_task)])
            headers = {"If-Match": format_task_etag(before.revision)}
            if isinstance(after, RemovedTask):
                await self._request(owner, "DELETE", f"/tasks/{before.id}", headers=headers)
                return Applied([])
            body = change_body(before, after)
            response = await self._request(owner, "PATCH", f"/tasks/{before.id}", headers=headers, json=body)
        except TaskNotFound:
            raise TaskChanged from None
        return Applied([self._decode(response, decode_task)])

    async def trash(
        self,
        owner: UserId,
        *,
        now: datetime,  # noqa: ARG002 - the server has its own
        before: int | None = None,
        limit: int = PAGE_LENGTH,
    ) -> Trash:
        query = trash_query(owner, limit, before)
        response = await self._request(owner, "GET", "/trash", params=query, is_repeatable=True)
        return Trash(self._decode(response, decode_trash), "next" in response.links)

    async def get_removed(self, owner: UserId, task_id: UUID, *, now: datetime) -> RemovedTask:
        async for one in self._read_trash(owner, now):
            if one.task.id == task_id:
                return one
        raise TaskNotFound

    async def _read_trash(self, owner: UserId, now: datetime) -> AsyncIterator[RemovedTask]:
        before, more = None, True
        while more:
            removed, more = await self.trash(owner, now=now, before=before)
            for one in removed:
                yield one
                before = one.task.revision

    async def recall(self, owner: UserId, key: IdempotencyKey, *, now: datetime) -> str | None:  # noqa: ARG002 - the server does
        return None

    async def purge(self, owner: UserId, task_id: UUID | None = None) -> None:
        await self._request(owner, "DELETE", "/trash" if task_id is None else f"/trash/{task_id}")

    async def _add(self, owner: UserId, task: Task, key: IdempotencyKey | None) -> Applied:
        headers = {"Idempotency-Key": str(uuid4()) if key is None else key.text}
        body = creation_body(task)
        response = await self._request(owner, "POST", "/tasks", headers=headers, json=body, is_repeatable=True)
        # With a key of our own, a replay only means that an earlier response was lost.
        replayed = key is not None and response.headers.get("Idempotency-Replayed") == "true"
        return Applied([self._decode(response, decode_task)], replayed)

    async def _apply_all(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None) -> Applied:
        headers = {} if key is None else {"Idempotency-Key": key.text}
        body = {"operations": [operation_body(change) for change in changes]}
        # Sent again, additions change nothing; a change that names a revision would be refused, although it was made.
        is_repeatable = key is not None or all(change.before is None for change in changes)
        options: dict[str, Any] = {"headers": headers, "json": body, "is_repeatable": is_repeatable}
        try:
            response = await self._request(owner, "POST", "/batch", **options)
        except (NotYours, TaskNotFound):
            raise TaskChanged from None
        results = self._decode(response, decode_results)
        repeated = {task.id for status, task in results if task is not None and status == 200}
        return Applied([task for _, task in results if task is not None], repeated=repeated)

    async def _request(
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
            raise self._refusal(response, names_task=path.count("/") > 1 or method == "POST")
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

    def _decode(self, response: httpx.Response, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(response.content)
        except (ValueError, RecursionError):
            raise self._not_a_todo_server(response) from None

    def _read_version(self, response: httpx.Response) -> ListVersion:
        version = parse_list_etag(response.headers.get("ETag", ""))
        if version is None:
            raise self._not_a_todo_server(response)
        return version

    def _refusal(self, response: httpx.Response, *, names_task: bool) -> Refusal:
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (ValueError, RecursionError):
            if response.status_code in (502, 503, 504):  # of a proxy
                return Unavailable(f"The server {self._url} is away: status {response.status_code}. Try again soon.")
            return self._not_a_todo_server(response)
        kind = _REFUSALS.get(response.status_code)
        if kind is InvalidField and problem.errors and problem.errors[0].pointer:
            return InvalidField(problem.detail, *parse_pointer(problem.errors[0].pointer))
        if kind is IdTaken and problem.errors and problem.errors[0].pointer:
            _, place = parse_pointer(problem.errors[0].pointer)  # of the operations
            return OperationRefused(int(place), IdTaken())
        if kind is TaskNotFound and not names_task:
            return self._not_a_todo_server(response)
        if kind is None or kind is InvalidField:
            return Refusal(f"The server {self._url} refused the request: {problem.detail}")
        if issubclass(kind, NotAuthenticated | Unavailable):
            return kind(problem.detail)
        if response.status_code == 500:
            return Refusal(f"The server {self._url} failed: {problem.detail}")
        return kind()

    def _not_a_todo_server(self, response: httpx.Response) -> NotATodoServer:
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
