"""The rules of the Task aggregate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import ANN, BOB, NOON, a_task, later
from todo.domain.fields import Due, Rule, Text
from todo.domain.refusals import InvalidField, NotYours, TaskNotFound
from todo.domain.task import Edit, Task, UserId, check_access, parse_user_id


def parse_title(text: str) -> str:
    return a_task(title=text).title


def test_a_new_task_is_open_and_belongs_to_its_creator() -> None:
    task = a_task(ANN, "  Buy milk\n")
    assert (task.owner, task.title, task.completed, task.created_at, task.updated_at) == (
        ANN,
        "Buy milk",
        False,
        NOON,
        NOON,
    )
    assert task.revision == 0


def test_a_new_task_needs_a_title() -> None:
    with pytest.raises(InvalidField, match="title is missing") as refused:
        Task.new(ANN, Edit(), task_id=a_task().id, now=NOON)
    assert refused.value.path == ("title",)


@pytest.mark.parametrize("length", [1, 500])
def test_a_title_may_have_1_to_500_characters(length: int) -> None:
    assert parse_title("𝔸" * length) == "𝔸" * length


@pytest.mark.parametrize("text", ["", " \t\r\n", "\u2003\u3000", "x" * 501, "𝔸" * 501])
def test_a_title_must_not_be_blank_or_longer(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_title(text)
    assert refused.value.path == ("title",)


@pytest.mark.parametrize("code", [c for c in [*range(0x20), *range(0x7F, 0xA0)] if chr(c) not in "\t\n\r"])
@pytest.mark.parametrize("text", ["a{}b", "{}a", "a{}"])
def test_a_title_must_not_contain_control_characters(text: str, code: int) -> None:
    with pytest.raises(InvalidField):
        parse_title(text.format(chr(code)))


def test_a_title_may_contain_tabs_and_line_breaks() -> None:
    assert parse_title("a\tb\r\nc") == "a\tb\r\nc"


def test_a_title_must_not_contain_a_lone_surrogate() -> None:
    with pytest.raises(InvalidField):
        parse_title("a\udc80b")


@given(st.text())
def test_a_title_is_rejected_or_trimmed_and_within_the_rules(text: str) -> None:
    try:
        title = parse_title(text)
    except InvalidField:
        return
    assert title == text.strip()
    assert 1 <= len(title) <= 500


@given(st.text(max_size=12))
def test_an_optional_text_is_rejected_kept_as_sent_or_none_when_blank(text: str) -> None:
    rule: Rule = Text(max_length=10)
    assert rule.default("notes") is rule.parse("notes", None) is None
    try:
        value = rule.parse("notes", text)
    except InvalidField:
        return
    assert value == (text if text.strip() else None)
    assert len(text) <= 10 or value is None


@pytest.mark.parametrize("value", ["low", "medium", "high", None])
def test_a_priority_is_one_of_three_words_or_none(value: str | None) -> None:
    assert Edit(priority=value).named == {"priority": value}
    for wrong in ("High", "urgent", "", " low", "1"):
        with pytest.raises(InvalidField, match="priority must be low, medium or high") as refused:
            Edit(priority=wrong)
        assert refused.value.path == ("priority",)


@pytest.mark.parametrize(
    "due",
    [
        Due("2026-12-24"),
        Due("2024-02-29", "00:00"),
        Due("0001-01-01", "23:59"),
        Due("9999-12-31", "17:30", "Europe/Berlin"),
        None,
    ],
)
def test_a_due_date_is_kept_as_it_is(due: Due | None) -> None:
    assert Edit(due=due).named == {"due": due}


@pytest.mark.parametrize(
    ("due", "part"),
    [
        (Due(text), "date")
        for text in ("", "2026-2-4", "2026-02-30", "2025-02-29", "20261224", "2026-W52-4", "0000-01-01", "２026-01-01")
    ]
    + [(Due("2026-12-24T00:00"), "date"), (Due("2026-12-24 "), "date"), (Due("2026-12-24\n"), "date")]
    + [
        (Due("2026-12-24", text), "time")
        for text in ("", "24:00", "7:30", "17:30:00", "17.30", "17:60", "1７:30", "17:30Z")
    ]
    + [(Due("2026-12-24", None, "Europe/Berlin"), "time_zone")],
)
def test_a_wrong_due_date_is_refused_with_the_part_that_is_wrong(due: Due, part: str) -> None:
    with pytest.raises(InvalidField, match=f"due.{part}") as refused:
        Edit(due=due)
    assert refused.value.path == ("due", part)


def test_due_dates_are_in_the_order_of_the_calendar_a_whole_day_before_its_times() -> None:
    dues = [Due("2026-01-31"), Due("2026-01-31", "00:00"), Due("2026-01-31", "09:05", "Asia/Tokyo"), Due("2026-02-01")]
    tasks = [a_task()._replace(due=due) for due in (*dues, None)]
    assert sorted(tasks, key=lambda task: task.due_order) == tasks


def test_labels_are_trimmed_and_keep_their_order() -> None:
    assert Edit(labels=[" home\n", "Work", "ÄRZTE", "a b"]).labels == ["home", "Work", "ÄRZTE", "a b"]
    assert Edit(labels=[str(n) for n in range(20)]).labels == [str(n) for n in range(20)]
    assert Edit(labels=["𝔸" * 60]).labels == ["𝔸" * 60]
    assert Edit(labels=[]).labels == Edit(labels=None).labels == []


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        ([str(n) for n in range(21)], ("labels",)),
        (["a", ""], ("labels", 1)),
        (["a", "b", " \t"], ("labels", 2)),
        (["x" * 61], ("labels", 0)),
        (["a\tb"], ("labels", 0)),
        (["a", "\x85b"], ("labels", 1)),
        (["a", "\ud800"], ("labels", 1)),
        (["Home", "work", "hOME "], ("labels", 2)),
        (["STRASSE", "Straße"], ("labels", 1)),
    ],
)
def test_wrong_labels_are_refused_with_the_place_of_the_wrong_one(labels: list[str], path: tuple[str | int]) -> None:
    with pytest.raises(InvalidField) as refused:
        Edit(labels=labels)
    assert refused.value.path == path


@pytest.mark.parametrize("value", ["true", 1, 0, None])
def test_a_flag_is_true_or_false_and_nothing_like_it(value: Any) -> None:
    with pytest.raises(InvalidField, match="completed must be true or false"):
        Edit(completed=value)


def test_an_edit_returns_a_new_task_and_leaves_the_old_one_alone() -> None:
    task = a_task()
    renamed = task.edit(Edit(title="Buy oat milk"), now=later(1))
    completed = renamed.edit(Edit(completed=True), now=later(2))
    both = completed.edit(Edit(title="Buy rice", completed=False), now=later(3))
    assert (task.title, task.completed, task.updated_at) == ("Buy milk", False, NOON)
    assert renamed == task._replace(title="Buy oat milk", updated_at=later(1))
    assert completed == renamed._replace(completed=True, completed_at=later(2), updated_at=later(2))
    assert both == completed._replace(title="Buy rice", completed=False, completed_at=None, updated_at=later(3))


def test_a_task_says_when_it_was_completed() -> None:
    done = a_task().edit(Edit(completed=True), now=later(1))
    assert done.edit(Edit(title="Other", completed=True), now=later(2)).completed_at == later(1)
    assert done.edit(Edit(completed=False), now=later(2)).completed_at is None
    assert a_task().edit(Edit(completed=True), now=later(-60)).completed_at == NOON
    assert Task.new(ANN, Edit(title="x", completed=True), task_id=a_task().id, now=NOON).completed_at == NOON


def test_an_edit_that_changes_nothing_returns_the_same_task() -> None:
    task = a_task(title="Buy milk")
    for edit in (Edit(), Edit(title=" Buy milk "), Edit(completed=False), Edit(title="Buy milk", completed=False)):
        assert task.edit(edit, now=later(1)) is task


def test_updated_at_never_moves_back() -> None:
    assert a_task().edit(Edit(completed=True), now=later(-60)).updated_at == NOON


def test_edits_with_the_same_values_have_the_same_digest_and_others_another() -> None:
    assert Edit(title=" Buy milk").digest() == Edit(title="Buy milk ").digest()
    edits = [Edit(), Edit(title="Buy milk"), Edit(title="Buy Milk"), Edit(title="Buy milk", completed=False)]
    assert len({edit.digest() for edit in edits}) == len(edits)
    assert {len(edit.digest()) for edit in edits} == {32}


def test_people_reach_their_own_tasks_alone() -> None:
    check_access(ANN, ANN)
    for stranger in (BOB, UserId(ANN.upper())):
        with pytest.raises(NotYours):
            check_access(ANN, stranger)
    with pytest.raises(TaskNotFound):
        check_access(None, ANN)


@pytest.mark.parametrize("text", ["x", "é" * 255, "Ab-_|:@ 9"])
def test_a_user_id_is_opaque(text: str) -> None:
    assert parse_user_id(text) == text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\x00b", "a\n", "\x7f", "\x85", "\ud800"])
def test_a_user_id_that_no_issuer_gives_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 characters"):
        parse_user_id(text)
