"""The tools: what each takes, and what it does with the use cases. Their docstrings are shown to clients."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from todo.domain.batch import MAX_OPERATIONS, Alter, Asked, Create, Operation, Outcome, Remove, Restore
from todo.domain.fields import Text
from todo.domain.ports import Order, Selection
from todo.domain.refusals import InvalidField, Refusal
from todo.domain.task import FIELDS, Edit, Task, UserId
from todo.domain.use_cases import Tasks
from todo.entrypoints.mcp.task_arguments import TYPES, Change, NewTask, Strict, get_fields
from todo.http_contract.documents import encode_task, make_edit
from todo.http_contract.list_query import Cursor, format_cursor, parse_cursor

_RULES = {field.name: field.rule for field in FIELDS} | {"text": Text(max_length=500)}
_Priority: Any = TYPES["priority"]
_SHOWN = ("id", *(field.name for field in FIELDS), "completed_at", "revision")


class Tool(Strict):
    """The arguments of a call."""

    hints: ClassVar[Mapping[str, Any]]

    async def use(self, tasks: Tasks, user: UserId) -> dict[str, Any]:
        """Raises Refusal if all is refused; what is refused of single tasks is in the result."""
        raise NotImplementedError


class ListTasks(Tool):
    """List tasks, newest first or by due date. To go on, pass next_cursor as cursor, with the same filters."""

    hints: ClassVar = {"read_only_hint": True}

    completed: bool | None = None
    text: str | None = None
    labels: list[str] | None = None
    priority: _Priority = None
    due_from: date | None = None
    due_until: date | None = None
    sort: Literal["due"] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: str | None = None

    async def use(self, tasks: Tasks, user: UserId) -> dict[str, Any]:
        wanted = Selection(
            completed=self.completed,
            **{name: _RULES[name].parse(name, getattr(self, name)) for name in ("text", "labels", "priority")},
            due_from=self.due_from.isoformat() if self.due_from else None,
            due_until=self.due_until.isoformat() if self.due_until else None,
            order=Order.NEWEST_FIRST if self.sort is None else Order.BY_DUE,
        )
        cursor = None if self.cursor is None else parse_cursor(user, wanted, self.cursor)
        if self.cursor is not None and cursor is None:
            raise Refusal("The cursor is not one of a list with these filters and this order; begin again without it.")
        page = await tasks.page(user, wanted, after=cursor and cursor.position, limit=self.limit)
        found: dict[str, Any] = {"tasks": [_shorten(task) for task in page.tasks]}
        if page.more:
            following = Cursor(wanted.position(page.tasks[-1]), page.version)
            found["next_cursor"] = format_cursor(user, wanted, following)
        return found


class _Writer(Tool):
    def ask(self) -> Sequence[tuple[UUID | None, Asked]]:
        """The operations, each with the id of its task unless that is new."""
        raise NotImplementedError

    async def use(self, tasks: Tasks, user: UserId) -> dict[str, Any]:
        asked = self.ask()
        done = await tasks.batch(user, [operation for _, operation in asked], is_atomic=False)
        return {"results": [_describe(task_id, one) for (task_id, _), one in zip(asked, done.outcomes, strict=True)]}


class AddTasks(_Writer):
    """Add tasks."""

    hints: ClassVar = {"destructive_hint": False, "idempotent_hint": False}

    tasks: Annotated[list[NewTask], Meta(min_length=1, max_length=MAX_OPERATIONS)]

    def ask(self) -> Sequence[tuple[UUID | None, Asked]]:
        return [(None, _ask(Create, one)) for one in self.tasks]


class ChangeTasks(_Writer):
    """Change fields of tasks; null clears. With if_revision, only if the task has not changed since."""

    hints: ClassVar = {"destructive_hint": True, "idempotent_hint": True}

    tasks: Annotated[list[Change], Meta(min_length=1, max_length=MAX_OPERATIONS)]

    def ask(self) -> Sequence[tuple[UUID | None, Asked]]:
        return [(one.id, _ask(partial(Alter, one.id, revision=one.if_revision), get_fields(one))) for one in self.tasks]


class _Ids(_Writer):
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_OPERATIONS)]
    operation: ClassVar[Any]

    def ask(self) -> Sequence[tuple[UUID | None, Asked]]:
        return [(task_id, self.operation(task_id)) for task_id in self.ids]


class CompleteTasks(_Ids):
    """Complete tasks, or reopen them with completed false."""

    hints: ClassVar = {"destructive_hint": False, "idempotent_hint": True}

    completed: bool = True

    def operation(self, task_id: UUID) -> Alter:
        return Alter(task_id, Edit(completed=self.completed))


class RemoveTasks(_Ids):
    """Remove tasks. restore_tasks brings them back, usually for 30 days."""

    hints: ClassVar = {"destructive_hint": True, "idempotent_hint": True}
    operation: ClassVar = Remove


class RestoreTasks(_Ids):
    """Restore removed tasks."""

    hints: ClassVar = {"destructive_hint": False, "idempotent_hint": True}
    operation: ClassVar = Restore


TOOLS: Mapping[str, type[Tool]] = {
    "list_tasks": ListTasks,
    "add_tasks": AddTasks,
    "change_tasks": ChangeTasks,
    "complete_tasks": CompleteTasks,
    "remove_tasks": RemoveTasks,
    "restore_tasks": RestoreTasks,
}


def make_schema(kind: type[Tool]) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments."""
    _, definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = definitions.pop(kind.__name__)
    del schema["description"]  # the tool has it
    return schema | ({"$defs": definitions} if definitions else {})


def read_arguments(tool: str, given: Any) -> Tool:
    """Raises Refusal."""
    if tool not in TOOLS:
        raise Refusal(f"There is no tool {tool}; these are: {', '.join(TOOLS)}.")
    try:
        return msgspec.convert(given, TOOLS[tool])
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at $.")
        raise Refusal(f"{where or 'The arguments'}: {what}.") from None


def _ask(make: Callable[[Edit], Operation], fields: Struct) -> Asked:
    """The operation, or a refusal if a value breaks its rule."""
    try:
        return make(make_edit(fields))
    except InvalidField as refusal:
        return refusal


def _describe(task_id: UUID | None, outcome: Outcome) -> dict[str, Any]:
    if outcome.task is not None:
        return _shorten(outcome.task)
    named = {} if task_id is None else {"id": str(task_id)}
    return named | ({"removed": True} if outcome.refusal is None else {"refused": str(outcome.refusal)})


def _shorten(task: Task) -> dict[str, Any]:
    """Without what is not set."""
    document = msgspec.json.decode(encode_task(task))
    return {name: document[name] for name in _SHOWN if document[name] not in (None, False, [])}
