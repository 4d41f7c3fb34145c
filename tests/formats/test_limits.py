"""Values outside the rules of the domain are cut to fit, and files beyond all limits are refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.samples import SAMPLES
from tests.formats.test_programs import edit, said, take, values
from todo.adapters.time_zones import is_time_zone
from todo.domain.fields import CONTROL, Due
from todo.formats import records, texts
from todo.formats.reading import READERS, guess, read
from todo.formats.records import Loss, Parsed, Unreadable


def take_own(**task: Any) -> Parsed:
    return take("json", json.dumps({"format": "todo/1", "tasks": [{"id": "1", **task}]}))


def test_a_long_title_is_cut_and_stays_whole_in_the_notes() -> None:
    parsed = take_own(title="é" * 501, notes="n")
    assert values(parsed) == [edit("é" * 500, notes=f"{'é' * 501}\n\nn")]
    assert said(parsed) == ["tasks[0]: Its title was cut to 500 characters; the whole of it is in the notes."]


def test_long_notes_are_cut() -> None:
    parsed = take_own(title="a", notes="n" * 8193)
    assert values(parsed) == [edit("a", notes="n" * 8192)]
    assert said(parsed) == ["tasks[0]: Its notes were cut to 8,192 characters."]


def test_control_characters_are_removed() -> None:
    parsed = take_own(title="a\0b\x85\tc", notes="\x1b[1m\r\n", labels=["x\ny"])
    assert values(parsed) == [edit("ab\tc", notes="[1m\r\n", labels=["x y"])]
    assert said(parsed) == [
        "tasks[0]: Control characters were removed from a label.",
        "tasks[0]: Control characters were removed.",
    ]


def test_labels_are_cut_taken_once_and_twenty_at_most() -> None:
    parsed = take_own(title="a", labels=["Home", " home ", "Home", "", "x" * 61, *map(str, range(20))])
    assert values(parsed) == [edit("a", labels=["Home", "x" * 60, *map(str, range(18))])]
    assert said(parsed) == [
        "tasks[0]: The label “home” is there in another spelling as well; it was taken once.",
        f"tasks[0]: The label “{'x' * 59}…” was cut to 60 characters.",
        "tasks[0]: It has 22 labels; the first 20 were taken.",
    ]


def test_a_task_without_a_title_takes_the_first_line_of_its_notes_or_is_left_out() -> None:
    parsed = take_own(title=" \n", notes="\n one\ntwo")
    assert values(parsed) == [edit("one", notes="\n one\ntwo")]
    assert said(parsed) == ["tasks[0]: It had no title; the first line of its notes became the title."]
    parsed = take_own(notes=" ")
    assert values(parsed) == []
    assert said(parsed) == ["tasks[0]: It has no title and was left out."]


def test_a_wrong_due_date_is_kept_in_the_notes_and_an_unknown_zone_is_dropped() -> None:
    parsed = take_own(title="a", due={"date": "2026-02-30", "time": "17:30"})
    assert values(parsed) == [edit("a", notes="Due: 2026-02-30 17:30")]
    assert said(parsed) == ["tasks[0]: Its due date is kept in the notes: due.date must be a date such as 2026-12-24."]
    parsed = take_own(title="a", due={"date": "2026-02-28", "time": "17:30", "time_zone": "Mars/Olympus"})
    assert values(parsed) == [edit("a", due=Due("2026-02-28", "17:30"))]
    assert said(parsed) == ["tasks[0]: The time zone “Mars/Olympus” is not known here; its due time has none."]


def test_an_unknown_priority_is_left_out() -> None:
    assert values(take_own(title="a", priority="urgent")) == [edit("a")]
    assert said(take_own(title="a", priority="urgent")) == [
        "tasks[0]: The priority “urgent” is not known here; it has none."
    ]


def test_ids_that_occur_twice_or_are_very_long_are_made_distinct_and_short() -> None:
    tasks = [{"id": name, "title": "a"} for name in ("x", "x", "x#2", "x", "y" * 201, "", "")]
    ids = [record.source_id for record in take("json", json.dumps({"format": "todo/1", "tasks": tasks})).records]
    assert ids[:4] == ["x", "x#2", "x#2#2", "x#3"]
    assert len(set(ids)) == 7
    assert max(map(len, ids)) < 50


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty."),
        (b" \r\n", "The file is empty."),
        (b"\xef\xbb\xbf", "The file is empty."),
        (b"\x89PNG\r\n\x1a\n\0\0", "The file is not text in UTF-8 or UTF-16."),
        (b"PK\x03\x04\0\0", "The file is binary, not text."),
        (b"caf\xe9", "The file is not text in UTF-8 or UTF-16."),
        (b"\xff\xfea", "The file is not text in UTF-8 or UTF-16."),
    ],
)
def test_a_file_that_is_no_text_is_refused(source: str, data: bytes, sentence: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(data, source, is_time_zone)
    assert str(refused.value) == sentence


JSON_SOURCES = ("json", "google", "microsoft", "taskwarrior")


@pytest.mark.parametrize("source", JSON_SOURCES)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"value":' * 100_000,
        '{"format":"todo/1","tasks":[' + "[" * 100_000 + "]" * 100_000 + "]}",
        "[NaN]",
        "[1e999]",
        "[1, 2",
        '{"format":"todo/1","tasks":[{"title":"\\ud800"}]}',
        '{"kind":"tasks#taskLists","items":[{"items":[{"title":7}]}]}',
        '[{"description":"a","due":5}]',
        '[{"title":' + "9" * 5000 + "}]",
        "null",
        '"text"',
        "{}",
        '{"value":{}}',
        '{"format":7,"tasks":{}}',
        '{"kind":"tasks#tasks"}',
    ],
)
def test_json_of_another_shape_is_refused(source: str, text: str) -> None:
    with pytest.raises(Unreadable):
        take(source, text)


def test_a_huge_number_where_a_text_should_be_is_a_loss_of_one_task() -> None:
    text = '[{"description":"a"},{"description":' + "9" * 5000 + '},{"description":"b","tags":{"a":[[]]}}]'
    parsed = take("taskwarrior", text)
    assert [each.title for each in values(parsed)] == ["a"]
    assert len(parsed.losses) == 2


def test_a_character_reference_with_thousands_of_digits_is_kept() -> None:
    body = {"contentType": "html", "content": f"<p>a</p>&#{'9' * 5000};"}
    parsed = take("microsoft", json.dumps([{"title": "a", "body": body}]))
    assert parsed.records[0].values.named["notes"].startswith("a\n&#999")


def test_a_csv_with_an_endless_cell_is_refused() -> None:
    with pytest.raises(Unreadable, match="is not CSV"):
        take("todoist", 'TYPE,CONTENT\ntask,"' + "a" * 200_000)


def test_a_task_of_endless_lines_labels_or_columns_is_refused_or_cut() -> None:
    head = "BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:a\n"
    with pytest.raises(Unreadable, match="has more than 10,000 lines"):
        take("ics", head + "X:y\n" * 10_001)
    labels = ",".join(map(str, range(5000)))
    parsed = take("ics", f"{head}CATEGORIES:{labels}\nCATEGORIES:{labels}\nEND:VTODO")
    assert values(parsed) == [edit("a", labels=list(map(str, range(20))))]
    assert said(parsed) == ["line 2: It has 1000 labels; the first 20 were taken."]
    parsed = take("todotxt", f"{'a' * 100_001}\nb")
    assert values(parsed) == [edit("b")]
    assert said(parsed) == ["line 1: It has more than 100,000 characters and was left out."]
    assert values(take("todoist", "TYPE,CONTENT" + ",x" * 100_000 + "\ntask,a")) == [edit("a", priority=None)]


def test_files_beyond_the_limits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", 10)
    with pytest.raises(Unreadable, match="larger than"):
        take("todotxt", "a" * 11)
    monkeypatch.setattr(texts, "MAX_BYTES", 1000)
    monkeypatch.setattr(texts, "MAX_VALUES", 3)
    with pytest.raises(Unreadable, match="more than 3 values"):
        take("taskwarrior", "[[],[],[]]")
    monkeypatch.setattr(records, "MAX_TASKS", 2)
    with pytest.raises(Unreadable, match="more than 2 tasks"):
        take("todotxt", "a\nb\nc")
    monkeypatch.setattr(records, "MAX_LOSSES", 1)
    with pytest.raises(Unreadable, match="More than 1 things"):
        take("todotxt", "(D) a\n(E) b")


@pytest.mark.parametrize("source", READERS)
@pytest.mark.parametrize(
    "unit", ["<", "&", "@a ", '"', "\\", "a\n\n", " \n\t", ";a=b", "%40 ", "x ", ",", "BEGIN:VTODO\n"]
)
def test_a_value_of_one_repeated_part_does_not_take_for_ever(source: str, unit: str) -> None:
    """A megabyte of it, as the value of each text in the sample: quadratic work would take hours."""
    value = unit * (2**20 // len(unit))
    cell = json.dumps(value)[1:-1] if source in JSON_SOURCES else value
    data = SAMPLES[source].replace("Buy milk", cell).replace("oat", cell).encode()
    with suppress(Unreadable):
        read(data, source, is_time_zone)
    guess(data)


def mutate(text: str) -> st.SearchStrategy[bytes]:
    """The text with some parts repeated, removed, replaced or cut off."""
    data = text.encode()
    position = st.integers(0, len(data))
    part = st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\0", b"\xff", b'"', b"[", b"{", b"\n", b"\r", b",", b":", b"null", b"1e400", b"\\ud800"]),
        st.tuples(position, position).map(lambda ends: data[min(ends) : max(ends)]),
        st.text(max_size=10).map(lambda added: added.encode(errors="ignore")),
    )
    change = st.tuples(position, st.integers(0, 30), part)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = data
        for start, length, added in changes:
            changed = changed[:start] + added + changed[start + length :]
        return changed

    return st.lists(change, min_size=1, max_size=4).map(apply)


@pytest.mark.parametrize("source", READERS)
@given(draw=st.data())
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused(source: str, draw: st.DataObject) -> None:
    origin = draw.draw(st.sampled_from([SAMPLES[source], *SAMPLES.values()]))
    data = draw.draw(st.one_of(mutate(origin), st.binary(), st.text().map(lambda text: text.encode(errors="ignore"))))
    assert guess(data) in {None, *READERS}
    try:
        parsed = read(data, source, is_time_zone)
    except Unreadable as refused:
        parsed = Parsed([], [Loss("", str(refused))])
    assert len({record.source_id for record in parsed.records}) == len(parsed.records)
    for record in parsed.records:
        assert record.values.named.keys() == {"title", "notes", "due", "priority", "labels", "completed"}
    for _, sentence in parsed.losses:
        assert sentence.endswith(".")
        assert not CONTROL.search(sentence)
