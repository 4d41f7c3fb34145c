"""Filters and pagination of lists: the query parameters, and the cursor of the next page."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from todo.domain.ports import Filter
from todo.domain.task import Position, UserId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES, _ID_BYTES, _CHECK_BYTES = 8, 16, 18  # 42 in all: exactly 56 characters of base64
CURSOR_PATTERN = "[A-Za-z0-9_-]{56}"


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
        parameters["cursor"] = format_cursor(owner, wanted, after)
    return parameters


def format_cursor(owner: UserId, wanted: Filter, position: Position) -> str:
    """A position in the owner's list under this filter, as 56 characters of base64url (RFC 4648, section 5).

    The checksum binds it to owner and filter and finds a changed character. It is no signature, and none is needed: a
    cursor that somebody computes leads nowhere but through their own list.
    """
    time = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    payload = time.to_bytes(_TIME_BYTES, signed=True) + position.id.bytes
    return urlsafe_b64encode(payload + _checksum(owner, wanted, payload)).decode()


def parse_cursor(owner: UserId, wanted: Filter, text: str) -> Position | None:
    """The position that a cursor stands for; None unless it was made for this owner and filter, and is unchanged."""
    if not re.fullmatch(CURSOR_PATTERN, text):
        return None
    decoded = urlsafe_b64decode(text)
    payload, checksum = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if checksum != _checksum(owner, wanted, payload):
        return None
    time = timedelta(microseconds=int.from_bytes(payload[:_TIME_BYTES], signed=True))
    try:
        return Position(_EPOCH + time, UUID(bytes=payload[_TIME_BYTES:]))
    except OverflowError:
        return None


def _checksum(owner: UserId, wanted: Filter, payload: bytes) -> bytes:
    sealed = b"%b%b\0%b" % (payload, owner.encode(), repr(wanted).encode())
    return blake2b(sealed, digest_size=_CHECK_BYTES, person=b"todo cursor").digest()
