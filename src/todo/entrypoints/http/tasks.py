"""The routes of tasks. They translate, and call the use cases."""

import asyncio
from collections.abc import AsyncIterator

from litestar import Controller, delete, get, patch, post, put
from litestar.types import ASGIApp

from todo.domain.ports import ListVersion, Page
from todo.domain.use_cases import Tasks
from todo.entrypoints.http.compression import accepts_gzip
from todo.entrypoints.http.list_parameters import ListQuery, read_list_query
from todo.entrypoints.http.problems import Headers
from todo.entrypoints.http.requests import (
    ApiRequest,
    invalid_body,
    read_at_least,
    read_edit,
    read_header,
    read_idempotency_key,
    read_if_match,
    read_task_id,
)
from todo.entrypoints.http.responses import (
    LIST_HEADERS,
    TASK_HEADERS,
    BytesResponse,
    respond_with,
    respond_with_list,
    respond_with_parts,
    take_turns,
)
from todo.http_contract.documents import NewTask, Rename, TaskChange, encode_pages, encode_tasks
from todo.http_contract.entity_tags import format_list_etag, format_task_etag, is_in_if_none_match

FIRST_PAGE = 100  # how many tasks of a whole list are read at once with all other requests. Most lists are no longer
LONG_READS = 2  # how many further pages are read at once, so that other requests need not queue behind many of them


class TaskController(Controller):
    """A subclass brings the use cases. As an injected dependency they would cost each request 14 µs."""

    path = "/tasks"
    tasks: Tasks
    long_reads: asyncio.Semaphore

    @post()
    async def create(self, request: ApiRequest) -> ASGIApp:
        key = read_idempotency_key(request)
        values = await read_edit(request, NewTask)
        added = await self.tasks.add(request.user, values, key=key)
        [task] = added.tasks
        headers = [(b"location", f"{_get_path(request)}/{task.id}".encode())]
        if added.replayed:
            headers.append((b"idempotency-replayed", b"true"))
        return respond_with(task, 201, headers)

    @get()
    async def list(self, request: ApiRequest) -> ASGIApp:
        query = read_list_query(request)
        after = query.cursor and query.cursor.position
        named = () if query.cursor is None else (query.cursor.version,)
        at_least = read_at_least(request, *named)
        known = read_header(request, b"if-none-match")
        if known is not None:
            etag = _list_etag(request, await self.tasks.version(request.user, at_least=at_least), query)
            if is_in_if_none_match(known, etag):
                weak = "W/" if "W/" in known else ""  # as the list itself was sent
                return BytesResponse(304, [(b"etag", f"{weak}{etag}".encode()), *LIST_HEADERS])
        limit = query.limit or FIRST_PAGE
        page = await self.tasks.page(request.user, query.wanted, after=after, limit=limit, at_least=at_least)
        etag = _list_etag(request, page.version, query)
        is_compressed = accepts_gzip(read_header(request, b"accept-encoding"))
        if page.more and query.limit is None:
            parts = encode_pages(self._read_on(request, query, page))
            return await respond_with_parts(request.scope["http_version"], parts, etag, is_compressed=is_compressed)
        headers: Headers = []
        if page.more:
            next_page = query.next_page(request.user, page)
            headers.append((b"link", f'<{_get_path(request)}?{next_page}>; rel="next"'.encode()))
        return await respond_with_list(encode_tasks(page.tasks), headers, etag, is_compressed=is_compressed)

    @get("/{task_id:str}")
    async def read(self, request: ApiRequest) -> ASGIApp:
        task_id = read_task_id(request)
        task = await self.tasks.read(request.user, task_id, at_least=read_at_least(request))
        etag = format_task_etag(task.revision)
        if is_in_if_none_match(read_header(request, b"if-none-match"), etag):
            return BytesResponse(304, [(b"etag", etag.encode()), *TASK_HEADERS])
        return respond_with(task)

    @patch("/{task_id:str}")
    async def change(self, request: ApiRequest) -> ASGIApp:
        task_id = read_task_id(request)
        changes = await read_edit(request, TaskChange)
        if not changes.named:
            raise invalid_body(f"Send at least one of these: {', '.join(TaskChange.__struct_fields__)}.")
        expected = read_if_match(request)
        return respond_with(await self.tasks.change(request.user, task_id, changes, expected=expected))

    @put("/{task_id:str}")
    async def rename(self, request: ApiRequest) -> ASGIApp:
        task_id = read_task_id(request)
        changes = await read_edit(request, Rename)
        expected = read_if_match(request)
        return respond_with(await self.tasks.change(request.user, task_id, changes, expected=expected))

    @delete("/{task_id:str}", status_code=200)  # Litestar wants None of a handler that is a 204
    async def remove(self, request: ApiRequest) -> ASGIApp:
        revision = await self.tasks.remove(request.user, read_task_id(request), expected=read_if_match(request))
        return BytesResponse(204, [(b"etag", format_task_etag(revision).encode())])

    async def _read_on(self, request: ApiRequest, query: ListQuery, first: Page) -> AsyncIterator[Page]:
        """The first page, and all after it."""
        yield first
        last = query.wanted.position(first.tasks[-1])
        rest = self.tasks.pages(request.user, query.wanted, after=last, at_least=first.version)
        async for page in take_turns(self.long_reads, rest):
            yield page


def _get_path(request: ApiRequest) -> str:
    """The list's path, also where the service is mounted below another."""
    return f"{request.scope.get('root_path', '')}/api/tasks"


def _list_etag(request: ApiRequest, version: ListVersion, query: ListQuery) -> str:
    return format_list_etag(request.user, version, repr(query.parameters) if query.parameters else "")
