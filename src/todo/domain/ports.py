"""What the domain asks of the world. Adapters keep these promises; the contract suite holds them to it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from todo.domain.task import Position, Task, UserId

KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is remembered, from the creation it was sent with."""

PAGE_LENGTH = 1000
"""The most tasks a store is asked for at once."""


@dataclass(frozen=True, slots=True)
class IdPrefix:
    """How an id begins, written as ids are (RFC 9562, section 4): lower case, hyphens in their places.

    Raises ValueError if no id begins so.
    """

    text: str

    def __post_init__(self) -> None:
        if not (re.fullmatch("[0-9a-f-]{1,36}", self.text) and str(self.first).startswith(self.text)):
            raise ValueError("no id begins so")

    @property
    def first(self) -> UUID:
        """The least id that begins so."""
        return UUID(self._digits.ljust(32, "0"))

    @property
    def last(self) -> UUID:
        """The greatest id that begins so."""
        return UUID(self._digits.ljust(32, "f"))

    @property
    def _digits(self) -> str:
        return self.text.replace("-", "")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks of a list are wanted; a part that is None asks for nothing."""

    completed: bool | None = None
    text: str | None = None
    """Keeps titles that contain it, both casefolded (Unicode, section 3.13: caseless matching)."""
    ids: IdPrefix | None = None
    """Keeps tasks whose id begins so."""

    def keeps(self, task: Task) -> bool:
        return (
            (self.completed is None or task.completed == self.completed)
            and (self.text is None or self.text.casefold() in task.title.casefold())
            and (self.ids is None or self.ids.first <= task.id <= self.ids.last)
        )


class Page(NamedTuple):
    """A stretch of a list, newest first."""

    tasks: Sequence[Task]
    more: bool
    """Whether the list went on behind the last task when it was read."""
    revision: int
    """The owner's, of the moment when it was read, or of one before."""


class Added(NamedTuple):
    task: Task
    replayed: bool
    """True when an idempotency key led to a task that was made before."""


class TaskStore(Protocol):
    """Keeps tasks, and for each person a counter: the revision, 0 at first.

    Every call is one atomic act. Each change of a person's tasks moves their revision by one and leaves its
    new value on the changed task, so that the order of revisions is the order in which changes became
    visible. A call that changes nothing moves nothing.

    Every call may raise Unavailable; a change has then been made wholly or not at all.
    """

    async def add(self, task: Task, key: str | None = None) -> Added:
        """Keeps a new task, and returns it as it is kept: that one counts (a distant store may give it
        another id and other times).

        With a key: if the owner sent the same key less than KEY_LIFETIME before ``task.created_at``, nothing
        is added, and the task that was added then is returned as it is now. Raises KeyReused if it was added
        with another title, TaskNotFound if it has been removed since. However many such calls meet, one adds.
        """
        ...

    async def get(self, asker: UserId, task_id: UUID) -> Task:
        """The asker's task with this id. Raises TaskNotFound, or NotYours as ``Task.belonging_to`` does."""
        ...

    async def save(self, task: Task) -> Task:
        """Replaces title, completed and updated_at of a task that was read from this store, and returns it
        with its new revision. Raises TaskChanged unless the kept one is still at ``task.revision``."""
        ...

    async def remove(self, task: Task) -> None:
        """Removes a task that was read from this store. Raises TaskChanged as ``save`` does."""
        ...

    async def list(
        self, owner: UserId, wanted: Filter, *, after: Position | None = None, limit: int = PAGE_LENGTH
    ) -> Page:
        """At most ``limit`` (1 to PAGE_LENGTH) of the owner's wanted tasks: newest ``created_at`` first, ties by
        descending id, beginning behind the position ``after``."""
        ...

    async def revision(self, owner: UserId) -> int:
        """The owner's revision; 0 for a person who never changed anything. Costs the same however many tasks
        they have."""
        ...


class Eraser(Protocol):
    """Forgets people."""

    async def erase(self, person: UserId) -> int | None:
        """Removes a person's tasks, keys and revision, in one atomic act. Returns how many tasks that were; None if
        nothing was known of them. May raise Unavailable: all is gone then, or nothing."""
        ...


class TokenVerifier(Protocol):
    """Says who a bearer token (RFC 6750) speaks for."""

    async def verify(self, token: str) -> UserId:
        """Raises InvalidToken, or Unavailable while that can't be judged."""
        ...
