"""Min-Revision, and the versions of a list that a request names in its other headers.

A client that sends the ETag of an answer back, in this header or in If-None-Match, gets nothing older than that.
"""

from collections.abc import Sequence

from todo.domain.ports import NEVER, ListVersion
from todo.domain.task import UserId
from todo.http_contract.entity_tags import parse_list_tag, parse_revision, parse_tags
from todo.http_contract.sealed_tokens import parse_sync_token


def format_min_revision(at_least: ListVersion | None) -> str:
    """Without a version, a revision that no list reaches: so everything is read as it is."""
    return str(NEVER if at_least is None else at_least.revision)


def parse_min_revision(owner: UserId, header: str) -> ListVersion:
    """A revision, or the entity tag of an answer to this owner. Raises ValueError."""
    revision = parse_revision(header.strip())
    if revision is not None:
        return ListVersion(None, revision)
    [tag] = parse_tags(header)
    version = _parse_tag(owner, tag)
    if version is None:
        raise ValueError("no tag of an answer to this owner")
    return version


def parse_versions(owner: UserId, header: str) -> Sequence[ListVersion]:
    """The versions whose entity tags a header holds. Other tags, and what is no list of tags, name none."""
    try:
        versions = [_parse_tag(owner, tag) for tag in parse_tags(header)]
    except ValueError:
        return []
    return [version for version in versions if version is not None]


def _parse_tag(owner: UserId, tag: str) -> ListVersion | None:
    if (revision := parse_revision(tag)) is not None:
        return ListVersion(None, revision)
    if (version := parse_list_tag(tag)) is not None:
        return version
    point = parse_sync_token(owner, tag)
    return None if point is None else point.known
