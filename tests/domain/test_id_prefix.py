"""How an id begins."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from todo.domain.ports import IdPrefix

ID = "01a20492-eb95-712e-8878-69b05f01324d"


@given(st.uuids(), st.integers(1, 36))
def test_the_ids_with_a_prefix_are_those_between_its_first_and_last(task_id: UUID, length: int) -> None:
    prefix = IdPrefix(ID[:length])
    assert (prefix.first <= task_id <= prefix.last) == str(task_id).startswith(prefix.text)
    own = IdPrefix(str(task_id)[:length])
    assert own.first <= task_id <= own.last


def test_a_whole_id_is_the_prefix_of_itself_alone() -> None:
    assert IdPrefix(ID).first == IdPrefix(ID).last == UUID(ID)


@pytest.mark.parametrize(
    "text", ["", "x", "-", "01a20492e", "01a2-", "01a20492--", ID.upper(), ID + "0", ID + "-", "٣"]
)
def test_text_that_no_id_begins_with_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="no id begins so"):
        IdPrefix(text)
