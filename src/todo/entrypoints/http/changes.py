"""The route of the changes."""

from functools import partial

from litestar import Controller, get
from litestar.types import ASGIApp

from todo.domain.ports import PAGE_LENGTH
from todo.domain.task import UserId
from todo.domain.use_cases import Sync, SyncPoint, Tasks
from todo.entrypoints.http.compression import accepts_gzip
from todo.entrypoints.http.problems import InvalidRequest
from todo.entrypoints.http.query import LIMIT, Parameter, Query, read_query
from todo.entrypoints.http.requests import ApiRequest, read_at_least, read_header
from todo.entrypoints.http.responses import LIST_HEADERS, BytesResponse, respond_with_list
from todo.http_contract.documents import encode_changes
from todo.http_contract.entity_tags import is_in_if_none_match
from todo.http_contract.sealed_tokens import format_sync_token, parse_sync_token


class ChangesController(Controller):
    path = "/changes"
    tasks: Tasks
    sync: Sync

    @get()
    async def list(self, request: ApiRequest) -> ASGIApp:
        user, known, at_least = request.user, read_header(request, b"if-none-match"), read_at_least(request)
        if known is not None:
            # An answer's tag is its next: that of an answer without changes is the since that asked for it.
            current = format_sync_token(user, SyncPoint(await self.tasks.version(user, at_least=at_least), 0))
            if is_in_if_none_match(known, f'"{current}"') and _asks_since(request, current):
                weak = "W/" if "W/" in known else ""
                return BytesResponse(304, [(b"etag", f'{weak}"{current}"'.encode()), *LIST_HEADERS])
        query = _read_query(request)
        since: SyncPoint | None = query.first.get("since")
        limit = query.first.get("limit", PAGE_LENGTH)
        page = await self.sync.changes(user, since, limit=limit, at_least=at_least)
        following = format_sync_token(user, page.next)
        body = encode_changes(page.tasks, page.removed, following, more=page.more)
        is_compressed = accepts_gzip(read_header(request, b"accept-encoding"))
        return await respond_with_list(body, [], f'"{following}"', is_compressed=is_compressed)


def _asks_since(request: ApiRequest, token: str) -> bool:
    # Most clients send nothing else, and to parse a query takes a tenth of such a request.
    return request.scope["query_string"] == b"since=" + token.encode() or _read_query(request).texts.get("since") == [
        token
    ]


def _read_query(request: ApiRequest) -> Query:
    since = Parameter(partial(parse_since, request.user), "since must be the next of an answer to you.")
    query = read_query(request, {"limit": LIMIT, "since": since})
    if query.errors:
        raise InvalidRequest(query.errors[0].detail, *query.errors)
    return query


def parse_since(owner: UserId, text: str) -> SyncPoint:
    """Raises ValueError unless it is a token of the owner's."""
    point = parse_sync_token(owner, text)
    if point is None:
        raise ValueError("no such token")
    return point
