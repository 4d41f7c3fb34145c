"""Filters and pagination of lists: the query parameters, and the cursor of the next page."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from todo.domain.ports import ANY_VERSION, ListVersion, Order, Selection
from todo.domain.task import NEVER_DUE, Position, UserId
from todo.http_contract.sealed_tokens import format_trash_cursor, format_version, parse_version

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES, _ID_BYTES, _VERSION_BYTES, _DUE_BYTES, _CHECK_BYTES = 8, 16, 24, 18, 18
# Lengths that divide by three have no padding, and no other text stands for the same bytes.
CURSOR_PATTERN = "[A-Za-z0-9_-]{88}([A-Za-z0-9_-]{24})?"
_DUE = re.compile(f"{NEVER_DUE}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(T[0-9]{{2}}:[0-9]{{2}})?")


class Cursor(NamedTuple):
    position: Position  # after which the page begins
    version: ListVersion
    """The list's when the page before was read. The next page is not from an earlier one."""


def list_query(
    owner: UserId,
    wanted: Selection,
    limit: int | None,
    after: Position | None,
    at_least: ListVersion | None = None,
) -> dict[str, str | Sequence[str]]:
    """The parameters that ask for a part of a list."""
    parameters: dict[str, str | Sequence[str]] = {} if limit is None else {"limit": str(limit)}
    if wanted.completed is not None:
        parameters["completed"] = "true" if wanted.completed else "false"
    if wanted.text is not None:
        parameters["q"] = wanted.text
    if wanted.ids is not None:
        parameters["id_prefix"] = wanted.ids.text
    if wanted.priority is not None:
        parameters["priority"] = wanted.priority
    if wanted.labels:
        parameters["label"] = wanted.labels
    if wanted.due_from is not None:
        parameters["due_from"] = wanted.due_from
    if wanted.due_until is not None:
        parameters["due_until"] = wanted.due_until
    if wanted.order is Order.BY_DUE:
        parameters["sort"] = "due"
    if after is not None:
        parameters["cursor"] = format_cursor(owner, wanted, Cursor(after, at_least or ANY_VERSION))
    return parameters


def trash_query(owner: UserId, limit: int | None, before: int | None) -> dict[str, str]:
    """The parameters that ask for a part of the trash."""
    parameters = {} if limit is None else {"limit": str(limit)}
    return parameters if before is None else parameters | {"cursor": format_trash_cursor(owner, before)}


def format_cursor(owner: UserId, wanted: Selection, cursor: Cursor) -> str:
    """A place in the owner's list under this selection, as base64url (RFC 4648, section 5): 88 characters, or 112 in a
    list by due date.

    The checksum binds it to owner and selection and finds a changed character. It is no signature, and none is needed:
    a cursor that somebody computes leads nowhere but through their own list.
    """
    position, version = cursor
    time = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    payload = time.to_bytes(_TIME_BYTES, signed=True) + position.id.bytes + format_version(version)
    if wanted.order is Order.BY_DUE:
        payload += position.due.encode().ljust(_DUE_BYTES)
    return urlsafe_b64encode(payload + _checksum(owner, wanted, payload)).decode()


def parse_cursor(owner: UserId, wanted: Selection, text: str) -> Cursor | None:
    """None unless it was made for this owner and selection, and is unchanged."""
    if not re.fullmatch(CURSOR_PATTERN, text):
        return None
    decoded = urlsafe_b64decode(text)
    payload, checksum = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if checksum != _checksum(owner, wanted, payload):
        return None
    time = timedelta(microseconds=int.from_bytes(payload[:_TIME_BYTES], signed=True))
    task_id = UUID(bytes=payload[_TIME_BYTES : _TIME_BYTES + _ID_BYTES])
    version = parse_version(payload[_TIME_BYTES + _ID_BYTES :][:_VERSION_BYTES])
    due = payload[_TIME_BYTES + _ID_BYTES + _VERSION_BYTES :].decode("latin-1").rstrip()
    if (wanted.order is Order.BY_DUE) != bool(due) or (due and not _DUE.fullmatch(due)):
        return None
    try:
        return Cursor(Position(_EPOCH + time, task_id, due), version)
    except OverflowError:
        return None


def _checksum(owner: UserId, wanted: Selection, payload: bytes) -> bytes:
    sealed = b"%b%b\0%b" % (payload, owner.encode(), repr(wanted).encode())
    return blake2b(sealed, digest_size=_CHECK_BYTES, person=b"todo cursor").digest()
