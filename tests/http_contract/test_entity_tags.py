"""Entity tags, without a server."""

from itertools import combinations, count
from uuid import UUID

import pytest

from tests.support.builders import ANN, BOB
from todo.domain.ports import ListVersion
from todo.http_contract.entity_tags import (
    format_list_etag,
    format_task_etag,
    is_in_if_none_match,
    parse_if_match,
    parse_list_tag,
    parse_tags,
)

EPOCH, NEXT_EPOCH = UUID(int=1), UUID(int=2)


def test_the_etag_of_a_task_is_its_revision() -> None:
    assert format_task_etag(16) == '"16"'


@pytest.mark.parametrize(
    ("header", "revisions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"16"', {16}),
        ('W/"16"', {16}),
        ('"16-gzip"', {16}),
        ('"16;br"', {16}),
        ('W/"16-gzip"', {16}),
        ('"1", W/"2" ,"3-gzip"', {1, 2, 3}),
        ('"x"', set()),
        ('""', set()),
        ('"016"', set()),
        ('"-1"', set()),
        ('"16-x"', set()),
        (f'"{10**19}"', set()),
    ],
)
def test_if_match_names_revisions_however_a_proxy_wrapped_them(header: str | None, revisions: set[int] | None) -> None:
    assert parse_if_match(header) == revisions


@pytest.mark.parametrize("header", ["", "16", '"16', '16"', '"16",', '"1" "2"', 'w/"16"', '"a", b'])
def test_an_if_match_that_is_no_list_of_tags_is_an_error(header: str) -> None:
    with pytest.raises(ValueError, match="no list of entity tags"):
        parse_if_match(header)


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        (None, False),
        ("*", True),
        ('"16"', True),
        ('W/"16"', True),
        ('"16-gzip"', True),
        ('"15", "16"', True),
        ('"1"', False),
        ("16", False),
    ],
)
def test_if_none_match_is_compared_weakly(header: str | None, is_known: bool) -> None:
    assert is_in_if_none_match(header, '"16"') == is_known


def test_no_two_lists_share_an_etag_and_each_can_be_read_back() -> None:
    versions = [ListVersion(None, 0), ListVersion(EPOCH, 1), ListVersion(EPOCH, 2), ListVersion(NEXT_EPOCH, 2)]
    tags = {
        (owner, version, query): format_list_etag(owner, version, query)
        for owner in (ANN, BOB)
        for version in versions
        for query in ("", "limit=1", "limit=2")
    }
    assert all(one != other for one, other in combinations(tags.values(), 2))
    for (_, version, _), tag in tags.items():
        assert [parse_list_tag(one) for one in parse_tags(f"{tag}, W/{tag}")] == [version, version]


@pytest.mark.parametrize("tag", ["16", "x", "1.2.3", ""])
def test_the_etag_of_something_else_is_not_that_of_a_list(tag: str) -> None:
    assert parse_list_tag(tag) is None


def test_a_tag_that_happens_to_end_like_a_coding_is_known() -> None:
    version = ListVersion(EPOCH, 1)
    tags = (format_list_etag(ANN, version, str(number)) for number in count())
    etag = next(tag for tag in tags if tag.endswith('-br"'))
    for coding in ("", "-gzip", ";br"):
        assert is_in_if_none_match(f'{etag[:-1]}{coding}"', etag)
    assert [parse_list_tag(tag) for tag in parse_tags(etag)] == [version]
