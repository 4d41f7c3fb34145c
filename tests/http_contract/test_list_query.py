"""Cursors, without a server."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import ANN, BOB, NOON
from todo.domain.ports import ANY_VERSION, IdPrefix, ListVersion, Order, Selection
from todo.domain.task import Position
from todo.http_contract.list_query import Cursor, format_cursor, list_query, parse_cursor

POSITIONS = st.builds(
    Position,
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),  # noqa: DTZ001 - of Hypothesis, which adds the zone itself
    st.uuids(),
    st.just(""),
)
DUES = st.sampled_from(["~", "2026-12-24", "2026-12-24T17:30"])
SELECTIONS = [
    Selection(),
    Selection(completed=True),
    Selection(completed=False),
    Selection(text="a"),
    Selection(ids=IdPrefix("0")),
    Selection(priority="low"),
    Selection(labels=["a"]),
    Selection(labels=["a", "b"]),
    Selection(due_from="2026-01-01"),
    Selection(due_until="2026-01-01"),
    Selection(order=Order.BY_DUE),
    Selection(completed=False, order=Order.BY_DUE),
]


VERSIONS = st.just(ANY_VERSION) | st.builds(ListVersion, st.uuids(), st.integers(1, 2**63 - 1))


@given(POSITIONS, DUES, VERSIONS, st.sampled_from(SELECTIONS))
def test_a_cursor_leads_back_to_its_place_for_its_owner_and_selection_alone(
    position: Position, due: str, version: ListVersion, wanted: Selection
) -> None:
    if wanted.order is Order.BY_DUE:
        position = position._replace(due=due)
    cursor = format_cursor(ANN, wanted, Cursor(position, version))
    assert parse_cursor(ANN, wanted, cursor) == (position, version)
    assert parse_cursor(BOB, wanted, cursor) is None
    for other in SELECTIONS:
        assert (parse_cursor(ANN, other, cursor) is not None) == (other == wanted)


@given(POSITIONS, DUES, st.sampled_from(Order), st.integers(0, 111), st.sampled_from("Aa0_-9z"))
def test_a_cursor_with_any_character_changed_is_none(
    position: Position, due: str, order: Order, place: int, character: str
) -> None:
    wanted = Selection(order=order)
    cursor = format_cursor(ANN, wanted, Cursor(position._replace(due=due), ANY_VERSION))
    place %= len(cursor)
    changed = cursor[:place] + character + cursor[place + 1 :]
    assert (parse_cursor(ANN, wanted, changed) is None) == (changed != cursor)


@given(POSITIONS, st.text("0123456789-T: é\0", max_size=8))
def test_a_cursor_that_somebody_computes_leads_to_a_due_date_or_nowhere(position: Position, due: str) -> None:
    wanted = Selection(order=Order.BY_DUE)
    assert (
        parse_cursor(ANN, wanted, format_cursor(ANN, wanted, Cursor(position._replace(due=due), ANY_VERSION))) is None
    )


@given(st.text())
def test_other_text_is_no_cursor(text: str) -> None:
    assert parse_cursor(ANN, Selection(), text) is None


def test_a_query_names_only_what_is_asked_for() -> None:
    assert list_query(ANN, Selection(), None, None) == {}
    position = Position(NOON, ANN_ID)
    wanted = Selection(
        completed=False,
        text="milk",
        ids=IdPrefix("01a"),
        priority="high",
        labels=["b", "A"],
        due_from="2026-01-01",
        due_until="2026-01-31",
        order=Order.BY_DUE,
    )
    assert list_query(ANN, wanted, 10, position) == {
        "limit": "10",
        "completed": "false",
        "q": "milk",
        "id_prefix": "01a",
        "priority": "high",
        "label": ("a", "b"),
        "due_from": "2026-01-01",
        "due_until": "2026-01-31",
        "sort": "due",
        "cursor": format_cursor(ANN, wanted, Cursor(position, ANY_VERSION)),
    }


ANN_ID = IdPrefix("01a20492-eb95-712e-8878-69b05f01324d").first
