"""What is written for other programs, and what of it comes back."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta

import icalendar
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.formats.test_programs import take, values
from tests.support.builders import NOON, a_task, later
from todo.domain.fields import FORBIDDEN, Due
from todo.domain.task import FIELDS, Edit, Task
from todo.formats.writing import COLUMNS, WRITERS
from todo.http_contract.documents import encode_tasks

BERLIN = Due("2026-12-24", "17:30", "Europe/Berlin")
FULL = a_task(title="Buy milk", notes="oat", due=BERLIN, priority="high", labels=["deep work", "a,b"])
DONE = FULL.edit(Edit(completed=True), now=later(86400))


def escape_label(label: str) -> str:
    return re.sub(r"([\\,])", r"\\\1", label)


def write(name: str, *tasks: Task) -> str:
    return b"".join(WRITERS[name](tasks)).decode()


def test_a_csv_has_a_header_and_a_line_for_each_task() -> None:
    text = write("csv", DONE, a_task())
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    done, bare = csv.DictReader(io.StringIO(text, newline=""))
    assert done == {
        "id": str(DONE.id),
        "title": "Buy milk",
        "notes": "oat",
        "due_date": "2026-12-24",
        "due_time": "17:30",
        "due_time_zone": "Europe/Berlin",
        "priority": "high",
        "labels": "deep work, a\\,b",
        "completed": "true",
        "completed_at": "2026-03-02T12:00:00.000000Z",
        "created_at": "2026-03-01T12:00:00.000000Z",
        "updated_at": "2026-03-02T12:00:00.000000Z",
    }
    assert {name for name, value in bare.items() if value} == {"id", "title", "completed", "created_at", "updated_at"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    task = a_task(notes=text, labels=["=x"])
    (row,) = csv.DictReader(io.StringIO(write("csv", task), newline=""))
    assert (row["notes"], row["labels"]) == (f"'{text}", "'=x")


def test_a_todotxt_line_has_completion_creation_priority_title_labels_and_due_date() -> None:
    assert write("todotxt", DONE) == (
        "x 2026-03-02 2026-03-01 (A) Buy milk @deep%20work @a,b due:2026-12-24 time:17:30 tz:Europe/Berlin\n"
    )
    assert write("todotxt", a_task(title="Call\r\n@home due:now", priority="low")) == (
        "(C) 2026-03-01 Call %40home %64ue:now\n"
    )


def test_another_reader_of_icalendar_finds_the_same_in_it() -> None:
    dues = [BERLIN, Due("2026-12-24"), Due("2026-12-24", "17:30"), Due("2026-12-24", "17:30", "UTC")]
    tasks = [DONE, *(a_task(title="é, b; c" * 30, due=due) for due in dues)]
    text = write("ics", *tasks)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    calendar = icalendar.Calendar.from_ical(text)
    assert [str(each["TZID"]) for each in calendar.walk("VTIMEZONE")] == ["Europe/Berlin"]
    done, *others = calendar.walk("VTODO")
    assert {name: str(done[name]) for name in ("UID", "SUMMARY", "DESCRIPTION", "PRIORITY", "STATUS")} == {
        "UID": str(DONE.id),
        "SUMMARY": "Buy milk",
        "DESCRIPTION": "oat",
        "PRIORITY": "1",
        "STATUS": "COMPLETED",
    }
    assert (done.decoded("CREATED"), done.decoded("COMPLETED"), done["PERCENT-COMPLETE"]) == (NOON, later(86400), 100)
    assert done.decoded("DTSTAMP") == done.decoded("LAST-MODIFIED") == DONE.updated_at
    assert "\r\nCATEGORIES:deep work,a\\,b\r\n" in text  # of which release 6.1 makes three
    assert [str(each.decoded("DUE")) for each in others] == [
        "2026-12-24 17:30:00+01:00",
        "2026-12-24",
        "2026-12-24 17:30:00",
        "2026-12-24 17:30:00+00:00",
    ]
    assert [str(each["SUMMARY"]) for each in others] == ["é, b; c" * 30] * 4
    assert not any(each.errors for each in [done, *others])


def test_an_unknown_time_zone_is_written_without_its_rules() -> None:
    text = write("ics", a_task(due=Due("2026-12-24", "17:30", "Mars/Olympus")))
    assert "VTIMEZONE" not in text
    assert "DUE;TZID=Mars/Olympus:20261224T173000\r\n" in text


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_list_is_a_file_as_well(name: str) -> None:
    assert write(name).count("\r\n") == {"csv": 1, "ics": 4, "todotxt": 0}[name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_written_in_parts_as_the_tasks_come(name: str) -> None:
    taken = []

    def stream() -> Iterator[Task]:
        for number in range(1000):
            taken.append(number)
            yield FULL

    parts = WRITERS[name](stream())
    next(parts), next(parts)
    assert len(taken) < 500
    assert sum(1 for _ in parts) > 2


texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not FORBIDDEN.search(text))
words = st.sampled_from(
    ["x", "(A)", "@home", "+a", "due:2026-12-24", "time:17:30", "tz:UTC", "pri:A", "rec:1w", "2026-01-01", "%40", "%",
     "%4a", "\\n", "\\N", "\\", "C:\\New", ";", ",", '"', "'=", "a", "ü", " ", "\t", "\n", "\r\n", "\r", "BEGIN:VTODO"]
)  # fmt: skip
tricky = st.lists(words, max_size=8).map(" ".join) | st.lists(words, max_size=8).map("".join)
titles = (texts | tricky).map(str.strip).filter(lambda text: 1 <= len(text) <= 500)
labels = (
    (texts | tricky).map(lambda text: re.sub("[\t\r\n]", "", text).strip()).filter(lambda text: 1 <= len(text) <= 60)
)
dates = st.dates().map(str)
times = st.times().map(lambda moment: moment.strftime("%H:%M"))
zones = st.sampled_from([None, "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
tasks = st.builds(
    lambda title, notes, due, priority, labels, done: a_task(
        title=title, notes=notes, due=due, priority=priority, labels=labels
    ).edit(Edit(completed=done), now=NOON + timedelta(days=1)),
    titles,
    st.none() | texts | tricky,
    st.none() | dates.map(Due) | st.tuples(dates, times, zones).map(lambda parts: Due(*parts)),
    st.sampled_from([None, "low", "medium", "high"]),
    st.lists(labels, max_size=5, unique_by=str.casefold),
    st.booleans(),
)


def get_values(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name, _, _ in FIELDS}


def spell_line_breaks(text: str, line_break: str) -> str:
    return re.sub("\r\n|\r|\n", line_break, text)


@given(st.lists(tasks, max_size=4))
def test_json_gives_back_all_that_was_written(written: list[Task]) -> None:
    document = {"format": "todo/1", "exported_at": "2026-12-01T08:00:00Z", "tasks": json.loads(encode_tasks(written))}
    parsed = take("json", json.dumps(document | {"trash": []}))
    assert [each.named for each in values(parsed)] == [get_values(task) for task in written]
    assert [record.source_id for record in parsed.records] == [str(task.id) for task in written]
    assert parsed.losses == []


@given(st.lists(tasks, max_size=4))
def test_icalendar_gives_back_all_but_the_kind_of_line_breaks(written: list[Task]) -> None:
    parsed = take("ics", write("ics", *written))
    expected = [
        get_values(task)
        | {
            "title": spell_line_breaks(task.title, "\n"),
            "notes": None if task.notes is None else spell_line_breaks(task.notes, "\n"),
        }
        for task in written
    ]
    assert [each.named for each in values(parsed)] == expected
    assert [record.source_id for record in parsed.records] == [str(task.id) for task in written]
    assert parsed.losses == []


@given(st.lists(tasks, min_size=1, max_size=4))
@example([a_task(title="(A) x", labels=["%20"]).edit(Edit(completed=True), now=NOON)])
def test_todotxt_gives_back_all_but_notes_and_line_breaks(written: list[Task]) -> None:
    parsed = take("todotxt", write("todotxt", *written))
    expected = [get_values(task) | {"title": spell_line_breaks(task.title, " "), "notes": None} for task in written]
    assert [each.named for each in values(parsed)] == expected
    assert parsed.losses == []


def split_labels(cell: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", part.strip()) for part in re.findall(r"(?:\\.|[^,\\])+", cell)]


@given(st.lists(tasks, max_size=4))
def test_a_csv_gives_back_all_but_some_apostrophes(written: list[Task]) -> None:
    guard = re.compile("^'(?=[=+\\-@\t\r])")
    rows = list(csv.DictReader(io.StringIO(write("csv", *written), newline="")))
    for row, task in zip(rows, written, strict=True):
        cells = {name: guard.sub("", cell) for name, cell in row.items()}
        due = [cells["due_date"], cells["due_time"], cells["due_time_zone"]]
        assert (Due(due[0], *(part or None for part in due[1:])) if due[0] else None) == task.due
        assert cells["title"] == guard.sub("", task.title)
        assert cells["notes"] == guard.sub("", task.notes or "")
        assert split_labels(cells["labels"]) == split_labels(guard.sub("", ", ".join(map(escape_label, task.labels))))
        assert (cells["priority"] or None, cells["completed"] == "true") == (task.priority, task.completed)


@given(st.lists(labels, max_size=5, unique_by=str.casefold))
def test_labels_in_a_csv_can_be_told_apart(written: list[str]) -> None:
    assert split_labels(", ".join(map(escape_label, written))) == written


@pytest.mark.parametrize("name", ["ics", "todotxt"])
def test_ten_thousand_written_tasks_are_read(name: str) -> None:
    data = "".join(write(name, *[FULL] * 10_000))
    assert len(take(name, data).records) == 10_000


TASK_OF_OTHERS = {
    "google": '{"kind":"tasks#taskLists","items":[{"title":"a","items":[%s]}]}',
    "microsoft": '{"value":[%s]}',
    "taskwarrior": "[%s]",
    "json": '{"format":"todo/1","tasks":[%s]}',
}


@pytest.mark.parametrize("name", TASK_OF_OTHERS)
def test_ten_thousand_equal_tasks_of_others_are_read(name: str) -> None:
    task = '{"title":"Buy milk","description":"Buy milk","status":"completed","notes":"oat"}'
    data = TASK_OF_OTHERS[name] % ",".join([task] * 10_000)
    assert len({record.source_id for record in take(name, data).records}) == 10_000


def test_ten_thousand_rows_of_todoist_are_read() -> None:
    data = "TYPE,CONTENT,DESCRIPTION,DATE\n" + "task,Buy milk @a @b,oat,Dec 24 2026\nnote,more,,\n" * 10_000
    assert len(take("todoist", data).records) == 10_000
