"""The aggregate's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import ANN, BOB, NOON, a_task, later
from todo.domain.refusals import InvalidTitle, NotYours
from todo.domain.task import Task, title_of, user_id_of


def test_a_new_task_is_open_and_belongs_to_who_made_it() -> None:
    task = a_task(ANN, "  Buy milk\n")
    assert (task.owner, task.title, task.completed, task.created_at, task.updated_at) == (
        ANN,
        "Buy milk",
        False,
        NOON,
        NOON,
    )


@pytest.mark.parametrize("length", [1, 500])
def test_a_title_may_have_1_to_500_characters(length: int) -> None:
    assert title_of("𝔸" * length) == "𝔸" * length


@pytest.mark.parametrize("text", ["", " \t\r\n", "\u2003\u3000", "x" * 501, "𝔸" * 501])
def test_a_title_must_not_be_blank_or_longer(text: str) -> None:
    with pytest.raises(InvalidTitle):
        title_of(text)


@pytest.mark.parametrize("code", [c for c in [*range(0x20), *range(0x7F, 0xA0)] if chr(c) not in "\t\n\r"])
@pytest.mark.parametrize("text", ["a{}b", "{}a", "a{}"])
def test_no_control_character_gets_into_a_title(text: str, code: int) -> None:
    with pytest.raises(InvalidTitle):
        title_of(text.format(chr(code)))


def test_a_title_may_have_tabs_and_line_breaks_inside() -> None:
    assert title_of("a\tb\r\nc") == "a\tb\r\nc"


def test_no_lone_surrogate_gets_into_a_title() -> None:
    with pytest.raises(InvalidTitle):
        title_of("a\udc80b")


@given(st.text())
def test_a_title_is_refused_or_trimmed_and_within_the_rules(text: str) -> None:
    try:
        title = title_of(text)
    except InvalidTitle:
        return
    assert title == text.strip()
    assert 1 <= len(title) <= 500


def test_a_verb_returns_a_new_task_and_leaves_the_old_one() -> None:
    task = a_task()
    renamed = task.rename(ANN, "Buy oat milk", now=later(1))
    done = renamed.complete(ANN, now=later(2))
    open_again = done.reopen(ANN, now=later(3))
    assert (task.title, task.completed, task.updated_at) == ("Buy milk", False, NOON)
    assert (renamed.title, renamed.updated_at) == ("Buy oat milk", later(1))
    assert (done.completed, done.updated_at) == (True, later(2))
    assert (open_again.completed, open_again.updated_at) == (False, later(3))
    assert {t.created_at for t in (task, renamed, done, open_again)} == {NOON}


def test_a_verb_that_changes_nothing_returns_the_same_task() -> None:
    task = a_task(title="Buy milk")
    assert task.rename(ANN, " Buy milk ", now=later(1)) is task
    assert task.reopen(ANN, now=later(1)) is task


def test_updated_at_never_moves_back() -> None:
    assert a_task().complete(ANN, now=later(-60)).updated_at == NOON


@pytest.mark.parametrize(
    "verb",
    [
        lambda task: task.belonging_to(BOB),
        lambda task: task.rename(BOB, "Mine now", now=NOON),
        lambda task: task.complete(BOB, now=NOON),
        lambda task: task.reopen(BOB, now=NOON),
    ],
)
def test_nobody_does_anything_with_another_persons_task(verb: object) -> None:
    assert callable(verb)
    with pytest.raises(NotYours):
        verb(a_task(ANN))


def test_a_stranger_is_told_whose_it_is_not_before_that_the_title_is_bad() -> None:
    with pytest.raises(NotYours):
        a_task(ANN).rename(BOB, "", now=NOON)


@pytest.mark.parametrize("text", ["x", "é" * 255, "Ab-_|:@ 9"])
def test_a_user_id_is_opaque(text: str) -> None:
    assert user_id_of(text) == text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\x00b", "a\n", "\x7f", "\x85", "\ud800"])
def test_a_user_id_that_no_issuer_gives_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 characters"):
        user_id_of(text)


def test_user_ids_are_case_sensitive() -> None:
    task: Task = a_task(ANN)
    with pytest.raises(NotYours):
        task.belonging_to(type(ANN)("Ann"))
