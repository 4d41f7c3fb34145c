"""The routes of tasks. They translate, and call the use cases."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from http import HTTPStatus

import msgspec
from litestar import Controller, HttpMethod, Response, delete, get, patch, post, put, route
from litestar.types import ASGIApp

from todo.domain.ports import PAGE_LENGTH, Page
from todo.domain.task import Task
from todo.domain.tasks import Tasks
from todo.entrypoints.http.compression import SHORTEST, coding_for, compressed
from todo.entrypoints.http.replies import JSON, Headers, Reply, StreamedReply
from todo.entrypoints.http.requests import (
    ApiRequest,
    ListQuery,
    NewTask,
    TaskChange,
    bad_body,
    body_of,
    header_of,
    idempotency_key_of,
    list_query_of,
    task_id_of,
)
from todo.wire import TaskDocument, documents_of, etag, if_none_match_holds, json_array, revisions_of_if_match

FIRST_STRETCH = 100
"""How much of a whole list is read at once with all others' requests. Most lists are no longer."""

LONG_READS = 2
"""How many of the further stretches are read at once, so that others need not stand in line behind many of them."""

# A task is its owner's: no shared cache keeps it, and a browser asks again before it shows it to whoever signed in.
_CACHE = (b"cache-control", b"private, no-cache")
_OF_TASK: Headers = [_CACHE, (b"vary", b"Authorization")]
_OF_LIST: Headers = [_CACHE, (b"vary", b"Accept-Encoding, Authorization")]

_encode = msgspec.json.Encoder().encode


class TaskController(Controller):
    """A subclass brings the use cases. As an injected dependency they would cost each request 14 microseconds."""

    path = "/tasks"
    tasks: Tasks
    long_reads: asyncio.Semaphore

    @post()
    async def create(self, request: ApiRequest) -> ASGIApp:
        key = idempotency_key_of(request)
        body = await body_of(request, NewTask)
        added = await self.tasks.add(request.user, body.title, key=key)
        headers = [(b"location", f"{_path(request)}/{added.task.id}".encode())]
        if added.replayed:
            headers.append((b"idempotency-replayed", b"true"))
        return _document(added.task, HTTPStatus.CREATED, headers)

    @get()
    async def list(self, request: ApiRequest) -> ASGIApp:
        query = list_query_of(request)
        known = header_of(request, b"if-none-match")
        if known is not None:
            revision = await self.tasks.revision(request.user)
            if if_none_match_holds(known, revision):
                coding = "any" if "W/" in known else None  # the tag that the list itself came with
                return _not_modified([_etag(revision, coding), *_OF_LIST])
        page = await self._page(request, query, query.limit or FIRST_STRETCH)
        headers = [JSON, *_OF_LIST]
        if page.more and query.limit is not None:
            next_page = query.next_page(request.user, page.tasks[-1].position)
            headers.append((b"link", f'<{_path(request)}?{next_page}>; rel="next"'.encode()))
        coding = coding_for(header_of(request, b"accept-encoding"))
        if page.more and query.limit is None:
            return await _streamed(request, headers, page, json_array(self._stretches(request, query, page)), coding)
        body = _encode(documents_of(page.tasks))
        if coding is not None and len(body) >= SHORTEST:
            body = b"".join([part async for part in compressed(_once(body), coding)])
            headers.append((b"content-encoding", coding.encode()))
        else:
            coding = None
        return Reply(HTTPStatus.OK, [_etag(page.revision, coding), *headers], body)

    @get("/{task_id:str}")
    async def read(self, request: ApiRequest) -> ASGIApp:
        task = await self.tasks.read(request.user, task_id_of(request))
        if if_none_match_holds(header_of(request, b"if-none-match"), task.revision):
            return _not_modified([_etag(task.revision), *_OF_TASK])
        return _document(task)

    @patch("/{task_id:str}")
    async def change(self, request: ApiRequest) -> ASGIApp:
        task_id = task_id_of(request)
        body = await body_of(request, TaskChange)
        title = None if body.title is msgspec.UNSET else body.title
        completed = None if body.completed is msgspec.UNSET else body.completed
        if title is None and completed is None:
            raise bad_body("Send title, completed, or both.")
        expected = revisions_of_if_match(header_of(request, b"if-match"))
        task = await self.tasks.change(request.user, task_id, title=title, completed=completed, expected=expected)
        return _document(task)

    @put("/{task_id:str}")
    async def rename(self, request: ApiRequest) -> ASGIApp:
        task_id = task_id_of(request)
        body = await body_of(request, NewTask)
        expected = revisions_of_if_match(header_of(request, b"if-match"))
        return _document(await self.tasks.change(request.user, task_id, title=body.title, expected=expected))

    @delete("/{task_id:str}", status_code=HTTPStatus.OK)  # Litestar wants None of a handler that is a 204
    async def remove(self, request: ApiRequest) -> ASGIApp:
        expected = revisions_of_if_match(header_of(request, b"if-match"))
        await self.tasks.remove(request.user, task_id_of(request), expected=expected)
        return Reply(HTTPStatus.NO_CONTENT, [])

    async def _page(self, request: ApiRequest, query: ListQuery, limit: int) -> Page:
        return await self.tasks.page(request.user, query.wanted, after=query.after, limit=limit)

    async def _stretches(self, request: ApiRequest, query: ListQuery, first: Page) -> AsyncIterator[Sequence[Task]]:
        page = first
        yield page.tasks
        while page.more:
            async with self.long_reads:
                page = await self._page(request, query._replace(after=page.tasks[-1].position), PAGE_LENGTH)
            yield page.tasks


# Registered before the controller: of several handlers at one path, Litestar's own OPTIONS names one method alone.
@route("/tasks", http_method=HttpMethod.OPTIONS, status_code=HTTPStatus.NO_CONTENT)
async def options_of_list() -> Response[None]:
    return Response(None, headers={"Allow": "GET, OPTIONS, POST"})


@route("/tasks/{task_id:str}", http_method=HttpMethod.OPTIONS, status_code=HTTPStatus.NO_CONTENT)
async def options_of_task() -> Response[None]:
    return Response(None, headers={"Allow": "DELETE, GET, OPTIONS, PATCH, PUT"})


async def _streamed(
    request: ApiRequest, headers: Headers, first: Page, array: AsyncGenerator[bytes, None], coding: str | None
) -> ASGIApp:
    headers = [_etag(first.revision, coding), *headers]
    if coding is not None:
        headers.append((b"content-encoding", coding.encode()))
        array = compressed(array, coding)
    if request.scope["http_version"] == "1.0":  # which knows no chunks
        return Reply(HTTPStatus.OK, headers, b"".join([part async for part in array]))
    return StreamedReply(headers, array)


def _path(request: ApiRequest) -> str:
    """The list's path, also where the service is mounted below another."""
    return f"{request.scope.get('root_path', '')}/api/tasks"


def _document(task: Task, status: int = HTTPStatus.OK, more: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    return Reply(status, [JSON, _etag(task.revision), *_OF_TASK, *more], _encode(TaskDocument.of(task)))


def _not_modified(headers: Headers) -> Reply:
    return Reply(HTTPStatus.NOT_MODIFIED, headers)


def _etag(revision: int, coding: str | None = None) -> tuple[bytes, bytes]:
    """A weak one for what is compressed: it is not the same bytes (RFC 9110, section 8.8.1)."""
    return (b"etag", f"{'' if coding is None else 'W/'}{etag(revision)}".encode())


async def _once(part: bytes) -> AsyncIterator[bytes]:
    yield part
