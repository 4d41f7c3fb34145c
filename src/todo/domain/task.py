"""The Task aggregate: what a task is, what can be changed about it, and whose it is.

A person is an ``owner`` as the one whose a task is, an ``actor`` as the one who asks, and named by a user id.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, NewType, Self, get_args, get_origin, get_type_hints
from uuid import UUID

from todo.domain.fields import CONTROL, UNSET, Choice, Due, DueDate, Flag, Labels, Rule, Text, Unset
from todo.domain.refusals import NotYours, TaskNotFound

UserId = NewType("UserId", str)  # A person, as the token issuer names them: opaque, case-sensitive

USER_ID_LENGTH = 255  # the most characters (Unicode code points) of a user id


def parse_user_id(text: str) -> UserId:
    """Raises ValueError: empty, over 255 characters, or with a control character or lone surrogate in it."""
    if not 1 <= len(text) <= USER_ID_LENGTH or CONTROL.search(text):
        raise ValueError(f"a user id has 1 to {USER_ID_LENGTH} characters, none of them a control character")
    return UserId(text)


NEVER_DUE = "~"  # sorts after every digit


class Position(NamedTuple):
    """Where a task stands in a list: by ``due``, which is empty in a list that has another order; then newest first,
    then by descending id."""

    created_at: datetime
    id: UUID
    due: str = ""


class Task(NamedTuple):
    """Something that one person wants done.

    The annotated fields are those that people can set, each with its rule; ``Edit`` has the same. Times are aware and
    in UTC. ``revision`` is the owner's counter at the task's last change, so it may jump; 0 until the task is stored.
    """

    id: UUID
    title: Annotated[str, Text(max_length=500, is_required=True)]
    notes: Annotated[str | None, Text(max_length=8192)]
    due: Annotated[Due | None, DueDate()]
    priority: Annotated[str | None, Choice(words=("low", "medium", "high"))]
    labels: Annotated[Sequence[str], Labels(max_number=20, max_length=60)]
    completed: Annotated[bool, Flag(at_creation=False)]
    completed_at: datetime | None
    owner: UserId
    created_at: datetime
    updated_at: datetime
    revision: int

    @classmethod
    def new(cls, owner: UserId, values: "Edit", *, task_id: UUID, now: datetime) -> Self:
        """Raises InvalidField if a required field is not named."""
        named = values.named
        fields = {name: named[name] if name in named else rule.default(name) for name, _, rule in FIELDS}
        completed_at = now if fields["completed"] else None
        return cls(
            id=task_id, owner=owner, created_at=now, updated_at=now, completed_at=completed_at, revision=0, **fields
        )

    @property
    def due_order(self) -> str:
        """Text whose order is that of due dates: by date, a whole day before its times, and never due last."""
        if self.due is None:
            return NEVER_DUE
        return self.due.date if self.due.time is None else f"{self.due.date}T{self.due.time}"

    def edit(self, changes: "Edit", *, now: datetime) -> Self:
        """This task with the named fields changed; the very same task if that changes nothing."""
        named = changes.named
        if all(getattr(self, name) == value for name, value in named.items()):
            return self
        now = max(self.updated_at, now)  # a clock that was set back must not make the task look older than it is
        completed_at = self.completed_at
        if named.get("completed", self.completed) != self.completed:
            completed_at = now if named["completed"] else None
        return self._replace(**named, completed_at=completed_at, updated_at=now)

    def remove(self, *, now: datetime) -> "RemovedTask":
        return RemovedTask(self, max(self.updated_at, now))


class RemovedTask(NamedTuple):
    """A task in the trash, from which it can be restored. Its revision is that of its removal."""

    task: Task
    removed_at: datetime

    def restore(self, *, now: datetime) -> Task:
        """The task as it was, changed now."""
        return self.task._replace(updated_at=max(self.removed_at, now))


class Field(NamedTuple):
    """A field that a person can set."""

    name: str
    type: Any  # of its values
    rule: Rule


def get_task_types() -> dict[str, Any]:
    """The type of each of a task's values, by name."""
    return get_type_hints(Task)


FIELDS = tuple(
    Field(name, *get_args(hint))
    for name, hint in get_type_hints(Task, include_extras=True).items()
    if get_origin(hint) is Annotated
)
"""Whatever handles fields one by one (bodies, documents, schemas, columns) goes through these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Values for some fields of a task, new or not, each of which keeps its rule. Raises InvalidField."""

    title: str | Unset = UNSET
    notes: str | Unset | None = UNSET
    due: Due | Unset | None = UNSET
    priority: str | Unset | None = UNSET
    labels: Sequence[str] | Unset | None = UNSET
    completed: bool | Unset = UNSET
    named: dict[str, Any] = field(init=False, repr=False, compare=False)  # the values of the fields that are named

    def __post_init__(self) -> None:
        named = {}
        for name, _, rule in FIELDS:
            value = getattr(self, name)
            if value is not UNSET:
                named[name] = value = rule.parse(name, value)
                object.__setattr__(self, name, value)
        object.__setattr__(self, "named", named)

    def digest(self) -> bytes:
        """Equal for equal values, however they were written down; 32 bytes."""
        return sha256(json.dumps(self.named, sort_keys=True, default=str).encode()).digest()


def check_access(owner: UserId | None, actor: UserId) -> None:
    """The rule of ownership: people reach their own tasks alone. ``owner`` is whose the task is, None if there is none.

    Raises NotYours, TaskNotFound.
    """
    if owner is None:
        raise TaskNotFound
    if owner != actor:
        raise NotYours
