"""The JSON documents, without a server."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from tests.support.builders import a_task, later
from todo.composition import avoid_whole_second
from todo.domain.refusals import InvalidField, Refusal, TaskNotFound, Unavailable
from todo.domain.task import FIELDS, Edit
from todo.http_contract.documents import (
    NewTask,
    Rename,
    TaskChange,
    change_body,
    creation_body,
    decode_task,
    decode_tasks,
    encode_task,
    encode_tasks,
    format_pointer,
    get_status,
    make_edit,
    parse_pointer,
)


def test_a_task_is_read_back_from_its_document() -> None:
    tasks = [
        a_task(title="שלום \U0001d11e")._replace(revision=n, completed=bool(n), updated_at=later(n)) for n in (0, 1)
    ]
    assert decode_task(encode_task(tasks[0])) == tasks[0]
    assert decode_tasks(encode_tasks(tasks)) == tasks


def test_times_always_have_six_digits_of_a_second() -> None:
    for microsecond, digits in ((0, "000001"), (1, "000001"), (120_000, "120000")):
        time = avoid_whole_second(datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=UTC))
        document = json.loads(encode_task(a_task()._replace(created_at=time)))
        assert document["created_at"] == f"2026-01-02T03:04:05.{digits}Z"


def test_unknown_fields_of_a_document_are_ignored() -> None:
    document = json.loads(encode_task(a_task())) | {"later": 1}
    assert decode_task(json.dumps(document).encode()).title == "Buy milk"


def test_bodies_have_the_fields_that_a_client_may_set() -> None:
    assert NewTask.__struct_fields__ == tuple(name for name, _, rule in FIELDS if rule.at_creation)
    assert Rename.__struct_fields__ == ("title",)
    assert TaskChange.__struct_fields__ == tuple(name for name, _, _ in FIELDS)


def test_a_body_names_the_fields_that_were_sent() -> None:
    assert make_edit(msgspec.convert({"completed": True}, TaskChange)) == Edit(completed=True)
    assert make_edit(msgspec.convert({"title": " a "}, TaskChange)) == Edit(title="a")
    assert make_edit(msgspec.convert({}, TaskChange)).named == {}
    with pytest.raises(InvalidField):
        make_edit(msgspec.convert({"title": ""}, NewTask))


def test_the_bodies_of_a_client_have_what_it_sets() -> None:
    task = a_task()
    assert creation_body(task) == {"title": "Buy milk"}
    assert change_body(task, task.edit(Edit(completed=True), now=later(1))) == {"completed": True}
    assert change_body(task, task) == {}


def test_a_more_particular_refusal_has_the_status_of_its_kind() -> None:
    class Away(Unavailable):
        pass

    assert (get_status(Away()), get_status(TaskNotFound())) == (503, 404)
    with pytest.raises(StopIteration):
        get_status(Refusal())


@pytest.mark.parametrize(
    ("path", "pointer"), [((), ""), (("title",), "/title"), (("labels", 3), "/labels/3"), (("a/b", "~"), "/a~1b/~0")]
)
def test_a_path_is_written_as_a_json_pointer(path: tuple[str | int, ...], pointer: str) -> None:
    assert format_pointer(path) == pointer
    assert parse_pointer(pointer) == tuple(map(str, path))
