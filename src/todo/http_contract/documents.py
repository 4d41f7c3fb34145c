"""The JSON documents of the contract: tasks, bodies of requests, and problems; and the status of each refusal.

Those of tasks derive from the domain's fields: a new field needs no line here.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct
from msgspec.json import Decoder, Encoder

from todo.domain import refusals
from todo.domain.fields import Due
from todo.domain.ports import Page, Trash
from todo.domain.task import FIELDS, Edit, Field, RemovedTask, Task, get_task_types

STATUSES: Final[Mapping[type[refusals.Refusal], int]] = {
    refusals.InvalidField: 400,
    refusals.NotAuthenticated: 401,
    refusals.InvalidToken: 401,
    refusals.NotYours: 403,
    refusals.TaskNotFound: 404,
    refusals.IdTaken: 409,
    refusals.ChangesForgotten: 410,
    refusals.TaskChanged: 412,
    refusals.KeyReused: 422,
    refusals.OperatorNeeded: 500,
    refusals.Unavailable: 503,
}
"""The status of each refusal (RFC 9110, section 15). Of two with the same status, the later is the more specific."""


def get_status(refusal: refusals.Refusal) -> int:
    """That of its class, or of the nearest base class: an adapter may raise a more specific refusal."""
    return next(STATUSES[kind] for kind in type(refusal).__mro__ if kind in STATUSES)


KEY_LENGTH = 255  # the most characters of an Idempotency-Key

WIRE_NAMES: Final[Mapping[str, str]] = {"owner": "user_id"}
"""Where a document has another name for a field of the Task than the Task itself."""


class DueDocument(Struct, frozen=True, omit_defaults=True, gc=False):
    """A due date. What it lacks is absent."""

    date: str
    time: str | None = None
    time_zone: str | None = None


def _document_type(kind: Any) -> Any:
    return DueDocument | None if kind == Due | None else kind


# In the order of the Task's fields. Documents form no reference cycles, so the garbage collector can ignore them.
TaskDocument = defstruct(
    "TaskDocument",
    [(WIRE_NAMES.get(name, name), _document_type(kind)) for name, kind in get_task_types().items()],
    gc=False,
)


def _body_type(field: Field) -> Any:
    kind = _document_type(field.type)
    return kind | None if field.rule.is_clearable else kind


RemovedTaskDocument = defstruct("RemovedTaskDocument", [("removed_at", datetime)], bases=(TaskDocument,), gc=False)


NewTask = defstruct(
    "NewTask",
    [
        (field.name, _body_type(field))
        if field.rule.is_required
        else (field.name, _body_type(field) | UnsetType, UNSET)
        for field in FIELDS
        if field.rule.at_creation
    ],
)
"""The body of POST."""

Rename = defstruct("Rename", [("title", str)])  # the body of PUT

TaskChange = defstruct("TaskChange", [(field.name, _body_type(field) | UnsetType, UNSET) for field in FIELDS])
"""The body of PATCH."""


class ErrorItem(Struct, frozen=True, kw_only=True):
    """What is wrong with one part of a request: of its body (a JSON Pointer, RFC 6901) or of the rest."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    detail: str


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457). Its type is always about:blank, so its title is the status's own phrase."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[ErrorItem, ...] | UnsetType = UNSET


_encode = Encoder().encode
_task_decoder, _tasks_decoder = Decoder(TaskDocument), Decoder(list[TaskDocument])  # type: ignore[valid-type] # made above
_trash_decoder = Decoder(list[RemovedTaskDocument])  # type: ignore[valid-type] # made above


def encode_task(task: Task) -> bytes:
    return _encode(make_documents([task])[0])


def encode_tasks(tasks: Iterable[Task]) -> bytes:
    return _encode(make_documents(tasks))


def make_documents(tasks: Iterable[Task]) -> Sequence[Any]:
    documents: Sequence[Any] = [TaskDocument(*task) for task in tasks]
    for document in documents:
        if document.due is not None:
            document.due = DueDocument(*document.due)
    return documents


def encode_trash(removed: Iterable[RemovedTask]) -> bytes:
    documents = []
    for task, removed_at in removed:
        document: Any = RemovedTaskDocument(*task, removed_at)
        if task.due is not None:
            document.due = DueDocument(*task.due)
        documents.append(document)
    return _encode(documents)


class ChangesDocument(Struct):
    """What has changed, and the ``since`` of the next request."""

    changed: Sequence[Any]
    removed: Sequence[UUID]
    next: str
    more: bool


def encode_changes(tasks: Iterable[Task], removed: Sequence[UUID], next_token: str, *, more: bool) -> bytes:
    return _encode(ChangesDocument(make_documents(tasks), removed, next_token, more))


async def encode_pages(
    pages: AsyncIterable[Page | Trash], encode: Callable[[Any], bytes] = encode_tasks
) -> AsyncGenerator[bytes, None]:
    """All tasks of the pages as one JSON array, a page at a time."""
    opening = b"["
    async for page in pages:
        if page.tasks:
            yield opening + encode(page.tasks)[1:-1]
            opening = b","
    yield b"[]" if opening == b"[" else b"]"


def decode_task(document: bytes | msgspec.Raw) -> Task:
    """Raises ValueError."""
    return _read_document(_task_decoder.decode(document))


def decode_tasks(document: bytes) -> list[Task]:
    """Raises ValueError."""
    return [_read_document(one) for one in _tasks_decoder.decode(document)]


def decode_trash(document: bytes) -> list[RemovedTask]:
    """Raises ValueError."""
    decoded = [
        [_from_document(value) for value in msgspec.structs.astuple(one)] for one in _trash_decoder.decode(document)
    ]
    return [RemovedTask(Task(*values[:-1]), values[-1]) for values in decoded]


def _read_document(document: Any) -> Task:
    return Task(*map(_from_document, msgspec.structs.astuple(document)))


def _from_document(value: Any) -> Any:
    return Due(*msgspec.structs.astuple(value)) if isinstance(value, DueDocument) else value


def make_edit(body: Struct) -> Edit:
    """Out of the body of a request. Raises InvalidField."""
    values = zip(body.__struct_fields__, msgspec.structs.astuple(body), strict=True)
    return Edit(**{name: _from_document(value) for name, value in values if value is not UNSET})


def creation_body(task: Task) -> Any:
    """The fields that a new task would not have by itself."""
    values = {name: (getattr(task, name), rule) for name, _, rule in FIELDS if rule.at_creation}
    return _make_body(
        {name: value for name, (value, rule) in values.items() if rule.is_required or value != rule.default(name)}
    )


def change_body(before: Task, after: Task) -> Any:
    """The fields in which the two differ."""
    values = {name: getattr(after, name) for name, _, _ in FIELDS}
    return _make_body({name: value for name, value in values.items() if value != getattr(before, name)})


def _make_body(values: Mapping[str, Any]) -> Any:
    documents = {name: DueDocument(*value) if isinstance(value, Due) else value for name, value in values.items()}
    return msgspec.to_builtins(documents)


def format_pointer(path: Iterable[str | int]) -> str:
    """As a JSON Pointer (RFC 6901, section 3)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def parse_pointer(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
