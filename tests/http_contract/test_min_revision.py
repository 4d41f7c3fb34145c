"""Which versions a request names, without a server."""

from uuid import UUID

import pytest

from tests.support.builders import ANN, BOB
from todo.domain.ports import ANY_VERSION, ListVersion, find_latest
from todo.domain.use_cases import SyncPoint
from todo.http_contract.entity_tags import format_list_etag, format_task_etag
from todo.http_contract.min_revision import format_min_revision, parse_min_revision, parse_versions
from todo.http_contract.sealed_tokens import format_sync_token

EPOCH, OTHER_EPOCH = UUID(int=1), UUID(int=2)
VERSION = ListVersion(EPOCH, 7)
TOKEN = format_sync_token(ANN, SyncPoint(VERSION, 0))
TAGS = {
    format_task_etag(7): ListVersion(None, 7),
    format_list_etag(ANN, VERSION, "limit=1"): VERSION,
    f'"{TOKEN}"': VERSION,
    f'W/"{TOKEN}"': VERSION,
    f'"{format_sync_token(ANN, SyncPoint(VERSION, 9))}"': ListVersion(EPOCH, 9),
    '"7-gzip"': ListVersion(None, 7),
}


@pytest.mark.parametrize(("tag", "version"), TAGS.items())
def test_each_etag_of_ours_names_its_version_in_both_headers(tag: str, version: ListVersion) -> None:
    assert [parse_min_revision(ANN, tag)] == parse_versions(ANN, tag) == [version]


def test_min_revision_is_also_a_bare_number() -> None:
    assert parse_min_revision(ANN, " 7 ") == ListVersion(None, 7)
    assert parse_min_revision(ANN, format_min_revision(VERSION)) == ListVersion(None, 7)


def test_without_a_version_it_is_one_that_no_list_reaches() -> None:
    wanted = parse_min_revision(ANN, format_min_revision(None))
    assert not ListVersion(EPOCH, 2**63 - 2).has_reached(wanted)


@pytest.mark.parametrize("header", ["", "-1", "07", "7.5", "seven", '"x"', '"7', "7, 8", f'"{TOKEN[:-1]}A"', "*"])
def test_what_else_is_no_min_revision_and_names_nothing(header: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        parse_min_revision(ANN, header)
    assert parse_versions(ANN, header) == []


def test_a_token_of_another_person_names_nothing() -> None:
    assert parse_versions(BOB, f'"{TOKEN}"') == []


def test_of_several_versions_the_latest_counts() -> None:
    assert find_latest([]) == ANY_VERSION
    assert find_latest([ListVersion(None, 9), VERSION, ListVersion(EPOCH, 8)]) == ListVersion(EPOCH, 9)
    assert find_latest([VERSION, ListVersion(None, 9)]) == ListVersion(EPOCH, 9)


def test_of_versions_of_different_epochs_none_is_the_latest() -> None:
    assert find_latest([VERSION, ListVersion(OTHER_EPOCH, 1)]) is None


def test_a_version_has_reached_earlier_ones_of_its_epoch_and_of_none() -> None:
    assert VERSION.has_reached(VERSION)
    assert VERSION.has_reached(ListVersion(None, 7))
    assert VERSION.has_reached(ANY_VERSION)
    assert not VERSION.has_reached(ListVersion(EPOCH, 8))
    assert not VERSION.has_reached(ListVersion(None, 8))
    assert not VERSION.has_reached(ListVersion(OTHER_EPOCH, 1))


def test_news_is_a_later_revision_or_another_epoch() -> None:
    assert ListVersion(EPOCH, 8).is_news_after(VERSION)
    assert ListVersion(OTHER_EPOCH, 1).is_news_after(VERSION)
    assert not VERSION.is_news_after(VERSION)
    assert not ListVersion(EPOCH, 6).is_news_after(VERSION)
