"""Entity tags (RFC 9110, section 8.8.3) of tasks and of lists, and the conditions that name them."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Collection
from hashlib import blake2b
from uuid import UUID

from todo.domain.ports import ListVersion
from todo.domain.task import UserId

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_TAGS = re.compile(r'\s*(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*\s*')
# What proxies append to the tag of an answer that they compress (Apache's mod_deflate, and others after it).
_CODING = re.compile("[-;](gzip|br|zstd|deflate)$")
_REVISION = re.compile("0|[1-9][0-9]{0,18}")
_LIST_TAG = re.compile(r"(0|[1-9][0-9]{0,18})\.([0-9a-f]{32}|0)\.[A-Za-z0-9_-]{16}")


def format_task_etag(revision: int) -> str:
    return f'"{revision}"'


def format_list_etag(owner: UserId, version: ListVersion, query: str) -> str:
    """Unique to this owner, this version of their list, and this query."""
    digest = blake2b(f"{owner}\0{query}".encode(), digest_size=12, person=b"todo list").digest()
    epoch = "0" if version.epoch is None else version.epoch.hex
    return f'"{version.revision}.{epoch}.{urlsafe_b64encode(digest).decode()}"'


def parse_list_etag(header: str) -> ListVersion | None:
    """The version in a list's ETag; None if the header holds no such tag."""
    tag = _LIST_TAG.fullmatch(_parse_tags(header)[0]) if _TAGS.fullmatch(header) else None
    return tag and ListVersion(None if tag[2] == "0" else UUID(tag[2]), int(tag[1]))


def parse_if_match(header: str | None) -> Collection[int] | None:
    """The revisions that satisfy an If-Match (RFC 9110, section 13.1.1); None if every one does.

    A tag that a proxy made weak or gave a suffix still names its revision. Raises ValueError: no list of tags.
    """
    if header is None or header.strip() == "*":
        return None
    return {int(tag) for tag in _parse_tags(header) if _REVISION.fullmatch(tag)}


def is_in_if_none_match(header: str | None, etag: str) -> bool:
    """Whether the client has this already (RFC 9110, section 13.1.2: compared weakly)."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    try:
        return etag.strip('"') in _parse_tags(header)
    except ValueError:
        return False


def _parse_tags(header: str) -> list[str]:
    if not _TAGS.fullmatch(header):
        raise ValueError("no list of entity tags")
    return [_CODING.sub("", tag) for tag in _TAG.findall(header)]
