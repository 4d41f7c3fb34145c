"""Tokens that a client sends back as it got them: cursors of the trash, and how far it has followed the changes.

Each is bytes with a checksum, as base64url (RFC 4648, section 5). The checksum binds it to its owner and its purpose,
and finds a changed character. It is no signature, and none is needed: a token that somebody computes leads nowhere but
to their own tasks.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from uuid import UUID

from todo.domain.ports import ListVersion
from todo.domain.task import UserId
from todo.domain.use_cases import SyncPoint

_NO_EPOCH = UUID(int=0)
_CHECK_BYTES = 19  # with which each token has a length that divides by three, and no other text for the same bytes
_REVISION_BYTES, _EPOCH_BYTES = 8, 16


def seal(owner: UserId, purpose: bytes, payload: bytes) -> str:
    return urlsafe_b64encode(payload + _checksum(owner, purpose, payload)).decode()


def unseal(owner: UserId, purpose: bytes, text: str) -> bytes | None:
    """The payload; None unless the token was made for this owner and purpose, and is unchanged."""
    if len(text) % 4 or not re.fullmatch("[A-Za-z0-9_-]+", text):
        return None
    decoded = urlsafe_b64decode(text)
    payload, checksum = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    return payload if checksum == _checksum(owner, purpose, payload) else None


def format_sync_token(owner: UserId, point: SyncPoint) -> str:
    """68 characters."""
    return seal(owner, b"sync", point.start.to_bytes(_REVISION_BYTES) + format_version(point.version))


def parse_sync_token(owner: UserId, text: str) -> SyncPoint | None:
    """None unless it was made for this owner, and is unchanged."""
    payload = unseal(owner, b"sync", text)
    if payload is None or len(payload) != 2 * _REVISION_BYTES + _EPOCH_BYTES:
        return None
    point = SyncPoint(parse_version(payload[_REVISION_BYTES:]), int.from_bytes(payload[:_REVISION_BYTES]))
    return point if point.known.revision < 2**63 else None


def format_trash_cursor(owner: UserId, before: int) -> str:
    """36 characters."""
    return seal(owner, b"trash", before.to_bytes(_REVISION_BYTES))


def parse_trash_cursor(owner: UserId, text: str) -> int | None:
    """None unless it was made for this owner, and is unchanged."""
    payload = unseal(owner, b"trash", text)
    if payload is None or len(payload) != _REVISION_BYTES:
        return None
    before = int.from_bytes(payload)
    return before if before < 2**63 else None


def format_version(version: ListVersion) -> bytes:
    """24 bytes."""
    return version.revision.to_bytes(_REVISION_BYTES) + (version.epoch or _NO_EPOCH).bytes


def parse_version(data: bytes) -> ListVersion:
    epoch = UUID(bytes=data[_REVISION_BYTES:])
    return ListVersion(None if epoch == _NO_EPOCH else epoch, int.from_bytes(data[:_REVISION_BYTES]))


def _checksum(owner: UserId, purpose: bytes, payload: bytes) -> bytes:
    return blake2b(b"%b%b" % (payload, owner.encode()), digest_size=_CHECK_BYTES, person=purpose).digest()
