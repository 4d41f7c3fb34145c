"""The HTTP contract's forms, for both of its ends: the server that speaks it, and a store that stands before one."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import encode

from todo.domain.ports import Filter
from todo.domain.refusals import (
    InvalidTitle,
    InvalidToken,
    KeyReused,
    NotAuthenticated,
    NotYours,
    Refusal,
    TaskChanged,
    TaskNotFound,
    Unavailable,
)
from todo.domain.task import Position, Task, UserId

STATUSES: Final[Mapping[type[Refusal], int]] = {
    InvalidTitle: 400,
    NotAuthenticated: 401,
    InvalidToken: 401,
    NotYours: 403,
    TaskNotFound: 404,
    TaskChanged: 412,
    KeyReused: 422,
    Unavailable: 503,
}
"""What each refusal is in HTTP (RFC 9110, section 15)."""


def status_of(refusal: Refusal) -> int:
    """An adapter may raise a more particular refusal than those of the table."""
    return next(STATUSES[kind] for kind in type(refusal).__mro__ if kind in STATUSES)


KEY_LENGTH = 255
"""The most characters of an Idempotency-Key."""


class TaskDocument(Struct, frozen=True, gc=False):
    """A task as clients see it. Nothing in it can lead back to it: the garbage collector need not know of it."""

    id: UUID
    title: str
    completed: bool
    user_id: str
    created_at: datetime
    updated_at: datetime
    revision: int
    """What the task's own entity tag says, for those who have it out of a list."""

    @staticmethod
    def of(task: Task) -> "TaskDocument":
        return documents_of((task,))[0]

    def task(self) -> Task:
        return Task(
            id=self.id,
            owner=UserId(self.user_id),
            title=self.title,
            completed=self.completed,
            created_at=self.created_at,
            updated_at=self.updated_at,
            revision=self.revision,
        )


def documents_of(tasks: Sequence[Task]) -> list[TaskDocument]:
    return [
        TaskDocument(id_, title, completed, owner, created_at, updated_at, revision)
        for id_, owner, title, completed, created_at, updated_at, revision in tasks
    ]


async def json_array(stretches: AsyncIterable[Sequence[Task]]) -> AsyncGenerator[bytes, None]:
    """A list of tasks as one JSON array, a stretch of it at a time."""
    opening = b"["
    async for tasks in stretches:
        yield opening + encode(documents_of(tasks))[1:-1]
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with one part of a request: of its body (a JSON Pointer, RFC 6901) or of the rest."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    detail: str


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457). Its type is always about:blank, so its title is the status's own phrase."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] | UnsetType = UNSET


def etag(revision: int) -> str:
    """A strong entity tag (RFC 9110, section 8.8.3)."""
    return f'"{revision}"'


_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')
_ENTITY_TAGS = re.compile(r'\s*(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*\s*')


def _entity_tags(header: str) -> list[tuple[str, str]]:
    """Mark of weakness and opaque tag of each; none if the header is malformed."""
    return _ENTITY_TAG.findall(header) if _ENTITY_TAGS.fullmatch(header) else []


def revision_of(header: str) -> int | None:
    """What an ETag of this service says; None if it is none."""
    tags = _entity_tags(header)
    return int(tags[0][1]) if len(tags) == 1 and _is_revision(tags[0][1]) else None


def revisions_of_if_match(header: str | None) -> Collection[int] | None:
    """The revisions that satisfy an If-Match (RFC 9110, section 13.1.1: compared strongly).

    None if every one does; none if it names no tag that this service gives.
    """
    if header is None or header.strip() == "*":
        return None
    return {int(tag) for weak, tag in _entity_tags(header) if not weak and _is_revision(tag)}


def if_none_match_holds(header: str | None, revision: int) -> bool:
    """Whether the client has this revision already (RFC 9110, section 13.1.2: compared weakly)."""
    if header is None:
        return False
    return header.strip() == "*" or str(revision) in (tag for _, tag in _entity_tags(header))


def _is_revision(tag: str) -> bool:
    return re.fullmatch("0|[1-9][0-9]{0,18}", tag) is not None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES, _ID_BYTES, _CHECK_BYTES = 8, 16, 18  # 42 in all: 56 characters of base64 without a bit to spare


def cursor(owner: UserId, position: Position) -> str:
    """A position in the owner's list, as 56 characters of base64url (RFC 4648, section 5).

    The check binds it to its owner and finds a changed character. It is no signature, and none is needed: a
    cursor that somebody computes leads nowhere but through their own list.
    """
    time = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    payload = time.to_bytes(_TIME_BYTES, signed=True) + position.id.bytes
    return urlsafe_b64encode(payload + _check(owner, payload)).decode()


def position_of(owner: UserId, text: str) -> Position | None:
    """The position a cursor stands for; None unless it is one of this owner's, unchanged."""
    if not re.fullmatch("[A-Za-z0-9_-]{56}", text):
        return None
    decoded = urlsafe_b64decode(text)
    payload, check = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if check != _check(owner, payload):
        return None
    time = timedelta(microseconds=int.from_bytes(payload[:_TIME_BYTES], signed=True))
    try:
        return Position(_EPOCH + time, UUID(bytes=payload[_TIME_BYTES:]))
    except OverflowError:
        return None


def list_query(owner: UserId, wanted: Filter, limit: int | None, after: Position | None) -> dict[str, str]:
    """The parameters that ask for a part of a list."""
    parameters = {} if limit is None else {"limit": str(limit)}
    if wanted.completed is not None:
        parameters["completed"] = "true" if wanted.completed else "false"
    if wanted.text is not None:
        parameters["q"] = wanted.text
    if wanted.ids is not None:
        parameters["id_prefix"] = wanted.ids.text
    if after is not None:
        parameters["cursor"] = cursor(owner, after)
    return parameters


def _check(owner: UserId, payload: bytes) -> bytes:
    return blake2b(payload + owner.encode(), digest_size=_CHECK_BYTES, person=b"todo cursor").digest()
