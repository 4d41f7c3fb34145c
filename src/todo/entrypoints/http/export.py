"""The route of the export."""

import asyncio
from datetime import UTC, datetime

from litestar import Controller, get
from litestar.types import ASGIApp

from todo.domain.ports import Selection
from todo.domain.use_cases import Tasks
from todo.entrypoints.http.compression import accepts_gzip, compress
from todo.entrypoints.http.problems import Headers, InvalidRequest
from todo.entrypoints.http.query import Parameter, read_query
from todo.entrypoints.http.requests import ApiRequest, read_header
from todo.entrypoints.http.responses import BytesResponse, StreamingResponse, respond_to_head, take_turns
from todo.formats.export import FORMS, export


class ExportController(Controller):
    path = "/export"
    tasks: Tasks
    long_reads: asyncio.Semaphore

    @get()
    async def export(self, request: ApiRequest) -> ASGIApp:
        query = read_query(request, {"format": Parameter(_parse_format, f"format must be one of {', '.join(FORMS)}.")})
        if query.errors:
            raise InvalidRequest(query.errors[0].detail, *query.errors)
        form = query.first.get("format", "json")
        now = datetime.now(UTC)
        name = f"tasks-{now:%Y-%m-%d}.{FORMS[form].suffix}"
        headers: Headers = [
            (b"content-type", FORMS[form].media_type.encode()),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"cache-control", b"private, no-store"),
            (b"vary", b"Accept-Encoding, Authorization"),
        ]
        if request.scope["state"]["is_head"]:
            return respond_to_head(headers)
        tasks, trash = self.tasks.pages(request.user, Selection()), self.tasks.trash_pages(request.user)
        parts = export(form, take_turns(self.long_reads, tasks), take_turns(self.long_reads, trash), now)
        if accepts_gzip(read_header(request, b"accept-encoding")):
            headers.append((b"content-encoding", b"gzip"))
            parts = compress(parts)
        if request.scope["http_version"] == "1.0":  # which has no chunks
            return BytesResponse(200, headers, b"".join([part async for part in parts]))
        return StreamingResponse(headers, parts)


def _parse_format(text: str) -> str:
    if text not in FORMS:
        raise ValueError("no such format")
    return text
