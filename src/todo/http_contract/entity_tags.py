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
# A tag of a list, or of changes, as we gave it: some end like one of those codings.
_WHOLE = re.compile(f"{_LIST_TAG.pattern}|[A-Za-z0-9_-]{{68}}")


def format_task_etag(revision: int) -> str:
    return f'"{revision}"'


def format_list_etag(owner: UserId, version: ListVersion, query: str) -> str:
    """Unique to this owner, this version of their list, and this query."""
    digest = blake2b(f"{owner}\0{query}".encode(), digest_size=12, person=b"todo list").digest()
    epoch = "0" if version.epoch is None else version.epoch.hex
    return f'"{version.revision}.{epoch}.{urlsafe_b64encode(digest).decode()}"'


def parse_list_tag(tag: str) -> ListVersion | None:
    """The version in an entity tag without its quotes; None if it is not that of a list."""
    parts = _LIST_TAG.fullmatch(tag)
    return parts and ListVersion(None if parts[2] == "0" else UUID(parts[2]), int(parts[1]))


def parse_revision(tag: str) -> int | None:
    """The revision in an entity tag without its quotes; None if it is not that of a task."""
    return int(tag) if _REVISION.fullmatch(tag) else None


def parse_if_match(header: str | None) -> Collection[int] | None:
    """The revisions that satisfy an If-Match (RFC 9110, section 13.1.1); None if every one does.

    A tag that a proxy made weak or gave a suffix still names its revision. Raises ValueError: no list of tags.
    """
    if header is None or header.strip() == "*":
        return None
    return {revision for tag in parse_tags(header) if (revision := parse_revision(tag)) is not None}


def is_in_if_none_match(header: str | None, etag: str) -> bool:
    """Whether the client has this already (RFC 9110, section 13.1.2: compared weakly)."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    try:
        return etag.strip('"') in parse_tags(header)
    except ValueError:
        return False


def parse_tags(header: str) -> list[str]:
    """Without quotes, and without what proxies add. Raises ValueError."""
    if not _TAGS.fullmatch(header):
        raise ValueError("no list of entity tags")
    return [tag if _WHOLE.fullmatch(tag) else _CODING.sub("", tag) for tag in _TAG.findall(header)]
