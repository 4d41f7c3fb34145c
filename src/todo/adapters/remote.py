"""The TaskStore that stands before a server: the HTTP contract, spoken by its client."""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import msgspec

from todo.domain.ports import PAGE_LENGTH, Added, Filter, Page
from todo.domain.refusals import InvalidTitle, NotAuthenticated, Refusal, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Position, Task, UserId
from todo.wire import STATUSES, Problem, TaskDocument, etag, list_query, revision_of

PATIENCE = 30
"""Seconds for one call, its repeats included."""

PAUSES = (0.2, 0.5, 1.0)
"""Seconds before each repeat, at least."""

# Of two refusals with one status the later in the table is the more particular.
_REFUSALS: Mapping[int, type[Refusal]] = {status: kind for kind, status in STATUSES.items()}
_WITH_A_SENTENCE = (InvalidTitle, NotAuthenticated, Unavailable)

T = TypeVar("T")


class NoTodoServer(Unavailable):
    """What answers does not speak the contract."""


class RemoteTaskStore:
    """``token_of`` gives a person's token, and the server knows by it whose tasks are asked for.

    Reads are repeated a few times when the connection breaks or the answer is 503, and so are creations, each of which
    has an Idempotency-Key. A change is repeated only if it was never sent. Redirects are not followed: a token goes
    to ``url`` and nowhere else. Raises NoTodoServer from each call if there is none.
    """

    def __init__(self, url: str, token_of: Callable[[UserId], str]) -> None:
        self._url = url.rstrip("/")
        self._token_of = token_of
        is_https = url.startswith("https:")
        self._http = httpx.AsyncClient(
            timeout=PATIENCE,
            follow_redirects=False,
            # Without TLS a proxy would read the token, and there are no certificates to load.
            trust_env=is_https,
            verify=True if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def add(self, task: Task, key: str | None = None) -> Added:
        answer = await self._ask(
            task.owner,
            "POST",
            "",
            headers={"Idempotency-Key": key or str(uuid4())},
            json={"title": task.title},
            is_repeatable=True,
        )
        # With a key of our own, a replay is the answer that was lost.
        replayed = key is not None and answer.headers.get("Idempotency-Replayed") == "true"
        return Added(self._read(answer, TaskDocument).task(), replayed)

    async def get(self, asker: UserId, task_id: UUID) -> Task:
        answer = await self._ask(asker, "GET", f"/{task_id}", is_repeatable=True)
        return self._read(answer, TaskDocument).task()

    async def save(self, task: Task) -> Task:
        answer = await self._change(task, "PATCH", json={"title": task.title, "completed": task.completed})
        return self._read(answer, TaskDocument).task()

    async def remove(self, task: Task) -> None:
        await self._change(task, "DELETE")

    async def list(
        self, owner: UserId, wanted: Filter, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        parameters = list_query(owner, wanted, limit, after)
        answer = await self._ask(owner, "GET", "", params=parameters, is_repeatable=True)
        documents = self._read(answer, list[TaskDocument])
        return Page(
            [document.task() for document in documents],
            more="next" in answer.links,
            revision=self._revision_of(answer),
        )

    async def revision(self, owner: UserId) -> int:
        # Not HEAD, to which a refusal has no words.
        answer = await self._ask(owner, "GET", "", params={"limit": "1"}, is_repeatable=True)
        return self._revision_of(answer)

    async def _change(self, task: Task, method: str, **request: Any) -> httpx.Response:
        try:
            return await self._ask(
                task.owner, method, f"/{task.id}", headers={"If-Match": etag(task.revision)}, **request
            )
        except TaskNotFound:
            raise TaskChanged from None

    async def _ask(
        self,
        asker: UserId,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = False,
        **request: Any,
    ) -> httpx.Response:
        asked = self._http.build_request(
            method,
            f"{self._url}/api/tasks{path}",
            headers={"Authorization": f"Bearer {self._token_of(asker)}", **(headers or {})},
            **request,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._answer(asked, is_repeatable)
        except (httpx.TransportError, TimeoutError) as error:
            raise Unavailable(f"The server {self._url} is away: {_why(error)}. Try again soon.") from None
        if not answer.is_success:
            raise self._refusal(answer, is_of_one_task=bool(path) or method == "POST")
        return answer

    async def _answer(self, asked: httpx.Request, is_repeatable: bool) -> httpx.Response:
        for pause in PAUSES:
            try:
                answer = await self._http.send(asked)
                if answer.status_code != 503 or not is_repeatable:
                    return answer
                wait = max(pause, _seconds(answer.headers.get("Retry-After", "")))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                wait = pause
            except httpx.TransportError:
                if not is_repeatable:
                    raise
                wait = pause
            await asyncio.sleep(wait * random.uniform(1, 1.5))  # noqa: S311 - spreads those who wait, hides nothing
        return await self._http.send(asked)

    def _read(self, answer: httpx.Response, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except (ValueError, RecursionError):
            raise self._no_todo_server(answer) from None

    def _revision_of(self, answer: httpx.Response) -> int:
        revision = revision_of(answer.headers.get("ETag", ""))
        if revision is None:
            raise self._no_todo_server(answer)
        return revision

    def _refusal(self, answer: httpx.Response, *, is_of_one_task: bool) -> Refusal:
        try:
            problem = msgspec.json.decode(answer.content, type=Problem)
        except (ValueError, RecursionError):
            return self._no_todo_server(answer)
        kind = _REFUSALS.get(answer.status_code, Unavailable)
        if kind is TaskNotFound and not is_of_one_task:
            return self._no_todo_server(answer)
        if kind is InvalidTitle and not (problem.errors and problem.errors[0].pointer == "/title"):
            kind = Unavailable
        return kind(problem.detail) if issubclass(kind, _WITH_A_SENTENCE) else kind()

    def _no_todo_server(self, answer: httpx.Response) -> NoTodoServer:
        if answer.is_redirect:
            return NoTodoServer(f"{self._url} leads elsewhere, and a token is sent nowhere else; check the address.")
        return NoTodoServer(f"What answers at {self._url} is no todo server; check the address.")


def _seconds(retry_after: str) -> float:
    """Of a Retry-After (RFC 9110, section 10.2.3) in seconds; a date counts as none."""
    return float(retry_after) if retry_after.isdecimal() else 0


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "it does not answer in time"
    return str(error) or type(error).__name__
