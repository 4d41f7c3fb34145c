"""The routes of the trash."""

import asyncio
from functools import partial
from typing import Any

from litestar import Controller, delete, get, post
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp

from todo.domain.task import UserId
from todo.domain.use_cases import Tasks
from todo.entrypoints.http.compression import accepts_gzip
from todo.entrypoints.http.problems import Headers, InvalidRequest
from todo.entrypoints.http.query import LIMIT, Parameter, read_query
from todo.entrypoints.http.requests import ApiRequest, read_header, read_task_id
from todo.entrypoints.http.responses import (
    BytesResponse,
    respond_with,
    respond_with_list,
    respond_with_parts,
    take_turns,
)
from todo.http_contract.documents import encode_pages, encode_trash
from todo.http_contract.sealed_tokens import format_trash_cursor, parse_trash_cursor


class TrashController(Controller):
    path = "/trash"
    tasks: Tasks
    long_reads: asyncio.Semaphore

    @get()
    async def list(self, request: ApiRequest) -> ASGIApp:
        query = read_query(
            request, {"limit": LIMIT, "cursor": Parameter(partial(_parse_cursor, request.user), _WRONG_CURSOR)}
        )
        if query.errors:
            raise InvalidRequest(query.errors[0].detail, *query.errors)
        limit, before = query.first.get("limit"), query.first.get("cursor")
        is_compressed = accepts_gzip(read_header(request, b"accept-encoding"))
        if limit is None:
            parts = encode_pages(
                take_turns(self.long_reads, self.tasks.trash_pages(request.user, before=before)), encode_trash
            )
            return await respond_with_parts(request.scope["http_version"], parts, None, is_compressed=is_compressed)
        removed, more = await self.tasks.trash(request.user, before=before, limit=limit)
        headers: Headers = []
        if more:
            cursor = format_trash_cursor(request.user, removed[-1].task.revision)
            path = f"{request.scope.get('root_path', '')}/api/trash"
            headers.append((b"link", f'<{path}?limit={limit}&cursor={cursor}>; rel="next"'.encode()))
        return await respond_with_list(encode_trash(removed), headers, None, is_compressed=is_compressed)

    @post("/{task_id:str}/restore", status_code=200)
    async def restore(self, request: ApiRequest) -> ASGIApp:
        return respond_with(await self.tasks.restore(request.user, read_task_id(request)))

    @delete("/{task_id:str}", status_code=200)  # Litestar wants None of a handler that is a 204
    async def purge(self, request: ApiRequest) -> ASGIApp:
        await self.tasks.purge(request.user, read_task_id(request))
        return BytesResponse(204, [])

    @delete(status_code=200)
    async def purge_all(self, request: ApiRequest) -> ASGIApp:
        if (request.scope.get("raw_path") or b"").endswith(b"/"):
            raise NotFoundException  # an address whose id is missing: all of it was not meant
        await self.tasks.purge(request.user)
        return BytesResponse(204, [])


_WRONG_CURSOR = "The cursor is not one from a Link header of your own trash."


def _parse_cursor(owner: UserId, text: str) -> Any:
    before = parse_trash_cursor(owner, text)
    if before is None:
        raise ValueError("no such cursor")
    return before
