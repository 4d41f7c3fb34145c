"""Cursors, without a server."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import ANN, BOB, NOON
from todo.domain.ports import Filter, IdPrefix
from todo.domain.task import Position
from todo.http_contract.list_query import format_cursor, list_query, parse_cursor

POSITIONS = st.builds(
    Position,
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),  # noqa: DTZ001 - of Hypothesis, which adds the zone itself
    st.uuids(),
)
FILTERS = [Filter(), Filter(completed=True), Filter(completed=False), Filter(text="a"), Filter(ids=IdPrefix("0"))]


@given(POSITIONS, st.sampled_from(FILTERS))
def test_a_cursor_leads_back_to_its_position_for_its_owner_and_filter_alone(position: Position, wanted: Filter) -> None:
    cursor = format_cursor(ANN, wanted, position)
    assert parse_cursor(ANN, wanted, cursor) == position
    assert parse_cursor(BOB, wanted, cursor) is None
    for other in FILTERS:
        assert (parse_cursor(ANN, other, cursor) is not None) == (other == wanted)


@given(POSITIONS, st.integers(0, 55), st.sampled_from("Aa0_-9z"))
def test_a_cursor_with_any_character_changed_is_none(position: Position, place: int, character: str) -> None:
    cursor = format_cursor(ANN, Filter(), position)
    changed = cursor[:place] + character + cursor[place + 1 :]
    assert (parse_cursor(ANN, Filter(), changed) is None) == (changed != cursor)


@given(st.text())
def test_other_text_is_no_cursor(text: str) -> None:
    assert parse_cursor(ANN, Filter(), text) is None


def test_a_query_names_only_what_is_asked_for() -> None:
    assert list_query(ANN, Filter(), None, None) == {}
    position = Position(NOON, ANN_ID)
    wanted = Filter(completed=False, text="milk", ids=IdPrefix("01a"))
    assert list_query(ANN, wanted, 10, position) == {
        "limit": "10",
        "completed": "false",
        "q": "milk",
        "id_prefix": "01a",
        "cursor": format_cursor(ANN, wanted, position),
    }


ANN_ID = IdPrefix("01a20492-eb95-712e-8878-69b05f01324d").first
