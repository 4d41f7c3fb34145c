"""The routes of tasks. They translate, and call the use cases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from litestar import Controller, HttpMethod, Response, delete, get, patch, post, put, route
from litestar.types import ASGIApp

from todo.domain.ports import ListVersion, Page
from todo.domain.task import Task
from todo.domain.use_cases import Tasks
from todo.entrypoints.http.compression import MIN_LENGTH, accepts_gzip, compress
from todo.entrypoints.http.list_parameters import ListQuery, read_list_query
from todo.entrypoints.http.problems import Headers
from todo.entrypoints.http.requests import (
    ApiRequest,
    invalid_body,
    read_edit,
    read_header,
    read_idempotency_key,
    read_if_match,
    read_task_id,
)
from todo.entrypoints.http.responses import JSON, BytesResponse, StreamingResponse
from todo.http_contract.documents import NewTask, Rename, TaskChange, encode_pages, encode_task, encode_tasks
from todo.http_contract.entity_tags import format_list_etag, format_task_etag, is_in_if_none_match

FIRST_PAGE = 100  # how many tasks of a whole list are read at once with all other requests. Most lists are no longer
LONG_READS = 2  # how many further pages are read at once, so that other requests need not queue behind many of them

# A task is its owner's: no shared cache keeps it, and a browser asks again before it shows it to whoever signed in.
_CACHE = (b"cache-control", b"private, no-cache")
_TASK_HEADERS: Headers = [_CACHE, (b"vary", b"Authorization")]
_LIST_HEADERS: Headers = [_CACHE, (b"vary", b"Accept-Encoding, Authorization")]


class TaskController(Controller):
    """A subclass brings the use cases. As an injected dependency they would cost each request 14 µs."""

    path = "/tasks"
    tasks: Tasks
    long_reads: asyncio.Semaphore

    @post()
    async def create(self, request: ApiRequest) -> ASGIApp:
        key = read_idempotency_key(request)
        values = await read_edit(request, NewTask)
        (task,), replayed = await self.tasks.add(request.user, values, key=key)
        headers = [(b"location", f"{_get_path(request)}/{task.id}".encode())]
        if replayed:
            headers.append((b"idempotency-replayed", b"true"))
        return _respond_with(task, 201, headers)

    @get()
    async def list(self, request: ApiRequest) -> ASGIApp:
        query = read_list_query(request)
        known = read_header(request, b"if-none-match")
        if known is not None:
            etag = _list_etag(request, await self.tasks.version(request.user), query)
            if is_in_if_none_match(known, etag):
                weak = "W/" if "W/" in known else ""  # as the list itself was sent
                return BytesResponse(304, [(b"etag", f"{weak}{etag}".encode()), *_LIST_HEADERS])
        page = await self.tasks.page(request.user, query.wanted, after=query.after, limit=query.limit or FIRST_PAGE)
        etag = _list_etag(request, page.version, query)
        headers = [JSON, *_LIST_HEADERS]
        if page.more and query.limit is not None:
            next_page = query.next_page(request.user, query.wanted.position(page.tasks[-1]))
            headers.append((b"link", f'<{_get_path(request)}?{next_page}>; rel="next"'.encode()))
        is_compressed = accepts_gzip(read_header(request, b"accept-encoding"))
        if page.more and query.limit is None:
            parts = encode_pages(self._read_on(request, query, page))
            if is_compressed:
                parts = compress(parts)
            headers += _entity_headers(etag, is_compressed=is_compressed)
            if request.scope["http_version"] == "1.0":  # which has no chunks
                return BytesResponse(200, headers, b"".join([part async for part in parts]))
            return StreamingResponse(headers, parts)
        body = encode_tasks(page.tasks)
        is_compressed &= len(body) >= MIN_LENGTH
        if is_compressed:
            body = b"".join([part async for part in compress(_once(body))])
        return BytesResponse(200, headers + _entity_headers(etag, is_compressed=is_compressed), body)

    @get("/{task_id:str}")
    async def read(self, request: ApiRequest) -> ASGIApp:
        task = await self.tasks.read(request.user, read_task_id(request))
        etag = format_task_etag(task.revision)
        if is_in_if_none_match(read_header(request, b"if-none-match"), etag):
            return BytesResponse(304, [(b"etag", etag.encode()), *_TASK_HEADERS])
        return _respond_with(task)

    @patch("/{task_id:str}")
    async def change(self, request: ApiRequest) -> ASGIApp:
        task_id = read_task_id(request)
        changes = await read_edit(request, TaskChange)
        if not changes.named:
            raise invalid_body(f"Send at least one of these: {', '.join(TaskChange.__struct_fields__)}.")
        expected = read_if_match(request)
        return _respond_with(await self.tasks.change(request.user, task_id, changes, expected=expected))

    @put("/{task_id:str}")
    async def rename(self, request: ApiRequest) -> ASGIApp:
        task_id = read_task_id(request)
        changes = await read_edit(request, Rename)
        expected = read_if_match(request)
        return _respond_with(await self.tasks.change(request.user, task_id, changes, expected=expected))

    @delete("/{task_id:str}", status_code=200)  # Litestar wants None of a handler that is a 204
    async def remove(self, request: ApiRequest) -> ASGIApp:
        await self.tasks.remove(request.user, read_task_id(request), expected=read_if_match(request))
        return BytesResponse(204, [])

    async def _read_on(self, request: ApiRequest, query: ListQuery, first: Page) -> AsyncIterator[Page]:
        """The first page, and all after it."""
        yield first
        rest = self.tasks.pages(request.user, query.wanted, after=query.wanted.position(first.tasks[-1]))
        async with aclosing(rest):
            while True:
                async with self.long_reads:
                    page = await anext(rest, None)
                if page is None:
                    return
                yield page


# Registered before the controller: of several handlers at one path, Litestar's own OPTIONS names one method alone.
@route("/tasks", http_method=HttpMethod.OPTIONS, status_code=204)
async def options_of_list() -> Response[None]:
    return Response(None, headers={"Allow": "GET, OPTIONS, POST"})


@route("/tasks/{task_id:str}", http_method=HttpMethod.OPTIONS, status_code=204)
async def options_of_task() -> Response[None]:
    return Response(None, headers={"Allow": "DELETE, GET, OPTIONS, PATCH, PUT"})


def _get_path(request: ApiRequest) -> str:
    """The list's path, also where the service is mounted below another."""
    return f"{request.scope.get('root_path', '')}/api/tasks"


def _respond_with(task: Task, status: int = 200, more: Sequence[tuple[bytes, bytes]] = ()) -> BytesResponse:
    etag = (b"etag", format_task_etag(task.revision).encode())
    return BytesResponse(status, [JSON, etag, *_TASK_HEADERS, *more], encode_task(task))


def _list_etag(request: ApiRequest, version: ListVersion, query: ListQuery) -> str:
    return format_list_etag(request.user, version, repr(query.parameters) if query.parameters else "")


def _entity_headers(etag: str, *, is_compressed: bool) -> Headers:
    """A weak tag for what is compressed: it is not the same bytes (RFC 9110, section 8.8.1)."""
    if is_compressed:
        return [(b"etag", f"W/{etag}".encode()), (b"content-encoding", b"gzip")]
    return [(b"etag", etag.encode())]


async def _once(part: bytes) -> AsyncIterator[bytes]:
    yield part
