"""The JSON documents of /api/batch: operations, and what became of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, defstruct

from todo.domain.batch import Alter, Batch, Create, Operation, Remove, Restore
from todo.domain.ports import Change
from todo.domain.refusals import InvalidField, Refusal
from todo.domain.task import RemovedTask, Task
from todo.http_contract.documents import (
    NewTask,
    TaskChange,
    change_body,
    creation_body,
    decode_task,
    get_status,
    make_documents,
    make_edit,
)

ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# Beside what POST takes, a batch can create tasks that are completed: those of another program, or made offline.
_NewTask = defstruct("_NewTask", [("completed", bool | UnsetType, UNSET)], bases=(NewTask,))


class _Create(Struct):
    task: _NewTask  # type: ignore[valid-type] # made above
    id: str | UnsetType | None = UNSET


class _Change(Struct):
    id: str
    task: TaskChange  # type: ignore[valid-type] # made from the fields
    if_revision: int | UnsetType | None = UNSET


class _Remove(Struct):
    id: str
    if_revision: int | UnsetType | None = UNSET


class _Restore(Struct):
    id: str


_BODIES: Final[Mapping[str, type[Struct]]] = {
    "create": _Create,
    "change": _Change,
    "remove": _Remove,
    "restore": _Restore,
}


def read_operation(document: Any) -> Operation:
    """Raises InvalidField, and msgspec.ValidationError where a type is wrong."""
    op = document.get("op") if isinstance(document, dict) else None
    if not isinstance(op, str) or op not in _BODIES:
        raise InvalidField("op must be create, change, remove or restore.", "op")
    body = msgspec.convert(document, _BODIES[op])  # a union of the four would be analysed anew for each operation
    match body:
        case _Create(task, task_id):
            return Create(_make_edit(task), None if task_id in (None, UNSET) else _read_id(task_id))
        case _Change(task_id, task, revision):
            changes = _make_edit(task)
            if not changes.named:
                raise InvalidField(f"Send at least one of these: {', '.join(TaskChange.__struct_fields__)}.", "task")
            return Alter(_read_id(task_id), changes, None if revision is UNSET else revision)
        case _Remove(task_id, revision):
            return Remove(_read_id(task_id), None if revision is UNSET else revision)
        case _Restore(task_id):
            return Restore(_read_id(task_id))
    raise AssertionError(body)


def _read_id(text: Any) -> UUID:
    if not ID.fullmatch(text):
        raise InvalidField("The id must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057.", "id")
    return UUID(text)


def _make_edit(body: Struct) -> Any:
    try:
        return make_edit(body)
    except InvalidField as error:
        raise InvalidField(str(error), "task", *error.path) from None


def operation_body(change: Change) -> Mapping[str, Any]:
    """The operation that asks for a change."""
    before, after = change
    if isinstance(before, RemovedTask):
        return {"op": "restore", "id": str(before.task.id)}
    if before is None:
        assert isinstance(after, Task)
        task = creation_body(after) | ({"completed": True} if after.completed else {})
        return {"op": "create", "id": str(after.id), "task": task}
    operation = {"id": str(before.id), "if_revision": before.revision}
    if isinstance(after, RemovedTask):
        return {"op": "remove", **operation}
    return {"op": "change", **operation, "task": change_body(before, after)}


class _Result(Struct, omit_defaults=True):
    status: int
    task: Any = UNSET
    problem: Raw | UnsetType = UNSET


def encode_batch(batch: Batch, render_refusal: Callable[[Refusal], bytes]) -> bytes:
    """``render_refusal``: as a problem document."""
    documents = iter(make_documents(one.task for one in batch.outcomes if one.task is not None))
    results = [
        _Result(get_status(refusal), problem=Raw(render_refusal(refusal)))
        if refusal is not None
        else _Result(204)
        if task is None
        else _Result(201 if is_new else 200, task=next(documents))
        for task, is_new, refusal in batch.outcomes
    ]
    return msgspec.json.encode({"revision": batch.revision, "results": results})


class _ReadResult(Struct):
    status: int
    task: Raw | UnsetType = UNSET


class _Results(Struct):
    results: list[_ReadResult]


_results_decoder = msgspec.json.Decoder(_Results)


def decode_results(document: bytes) -> Sequence[tuple[int, Task | None]]:
    """Status and task of each. Raises ValueError."""
    results = _results_decoder.decode(document).results
    return [(one.status, None if one.task is UNSET else decode_task(one.task)) for one in results]
