"""The TaskStore port, and what it takes and returns: Selection, Page, Change. A contract suite holds adapters to it."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, Protocol
from unicodedata import normalize
from uuid import UUID

from todo.domain.task import Position, RemovedTask, Task, UserId

KEY_LIFETIME = timedelta(hours=24)  # how long an idempotency key is remembered, from the creation it was sent with
PAGE_LENGTH = 1000  # the most tasks that a store is asked for at once
NEVER = 2**63 - 1  # a revision that no list reaches
TOMBSTONE_LIFETIME = timedelta(days=30)  # how long a removal is remembered at least


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


def fold(text: str) -> str:
    """For comparing regardless of case (Unicode, section 3.13: caseless matching), and of the form in which a character
    is written: é is one code point or two."""
    return text.lower() if text.isascii() else normalize("NFKC", normalize("NFKC", text).casefold())


class Order(Enum):
    NEWEST_FIRST = "newest first"
    BY_DUE = "by due date, earliest first; then newest first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks of a list are wanted, and in what order. A part that is None, or empty, leaves nothing out."""

    completed: bool | None = None
    text: str | None = None
    """Keeps tasks whose title or notes contain it, all folded."""
    ids: IdPrefix | None = None  # keeps tasks whose id begins so
    priority: str | None = None
    labels: Sequence[str] = ()
    """Keeps tasks that have all of these, regardless of case; casefolded and sorted here."""
    due_from: str | None = None  # a date; keeps tasks that are due on it or later
    due_until: str | None = None  # a date; keeps tasks that are due on it or earlier
    order: Order = Order.NEWEST_FIRST

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", fold_labels(self.labels))

    def keeps(self, task: Task) -> bool:
        return (
            (self.completed is None or task.completed == self.completed)
            and (self.text is None or any(fold(self.text) in fold(text) for text in (task.title, task.notes or "")))
            and (self.ids is None or self.ids.first <= task.id <= self.ids.last)
            and (self.priority is None or task.priority == self.priority)
            and set(self.labels).issubset(fold_labels(task.labels))
            and (self.due_from is None or (task.due is not None and task.due.date >= self.due_from))
            and (self.due_until is None or (task.due is not None and task.due.date <= self.due_until))
        )

    def position(self, task: Task) -> Position:
        """Where the task stands. In a list by due date it moves when that changes; otherwise never."""
        return Position(task.created_at, task.id, task.due_order if self.order is Order.BY_DUE else "")


def fold_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """For comparing: regardless of case and order (Unicode, section 3.13: caseless matching)."""
    return tuple(sorted({label.casefold() for label in labels}))


class ListVersion(NamedTuple):
    """Names one state of a person's list: two different states never share one.

    The revision counts the changes since the epoch began. Another epoch begins when the person is erased and comes
    back, and when the store is restored from a backup.
    """

    epoch: UUID | None  # none for a person who never added a task
    revision: int

    def has_reached(self, other: "ListVersion") -> bool:
        """Whether this is the other one or a later one. Of one without an epoch, only the revision is known."""
        return other.epoch in (None, self.epoch) and self.revision >= other.revision

    def is_news_after(self, known: "ListVersion") -> bool:
        """Whether something may have changed since the known one: false of an earlier version."""
        return self.epoch != known.epoch or self.revision > known.revision


ANY_VERSION = ListVersion(None, 0)  # every version has reached it


def find_latest(versions: Iterable[ListVersion]) -> ListVersion | None:
    """What has reached this one has reached all of them. None if they are of several epochs, so that there is none."""
    epoch, revision = ANY_VERSION
    for version in versions:
        if version.epoch is not None and epoch not in (None, version.epoch):
            return None
        epoch, revision = epoch or version.epoch, max(revision, version.revision)
    return ListVersion(epoch, revision)


class Page(NamedTuple):
    """A part of a list."""

    tasks: Sequence[Task]
    more: bool  # whether the list continued after the last task when it was read
    version: ListVersion  # the owner's, when the tasks were read


class Trash(NamedTuple):
    """A part of what a person has removed, the latest removal first."""

    tasks: Sequence[RemovedTask]
    more: bool


class Changes(NamedTuple):
    """A part of what has changed after a revision, in the order of revisions."""

    tasks: Sequence[Task]
    removed: Sequence[UUID]
    until: int  # the revision up to which this part leads: the owner's, unless there is more
    more: bool
    version: ListVersion  # the owner's, when this was read
    forgotten: int  # removals up to this revision are no longer known


class Known(NamedTuple):
    """What is known of some ids."""

    tasks: Mapping[UUID, Task]  # the owner's
    removed: Mapping[UUID, RemovedTask | None]  # by the owner; None for one that can't be restored any more
    others: Collection[UUID]  # of other people's tasks


class Change(NamedTuple):
    """What becomes of one task: added (nothing before), saved, removed (in the trash after) or restored (before)."""

    before: Task | RemovedTask | None  # as it was read from the store
    after: Task | RemovedTask


class IdempotencyKey(NamedTuple):
    text: str
    request_digest: bytes  # equal for equal requests; 32 bytes
    note: str | None = None  # of a batch: what ``recall`` finds again


class Applied(NamedTuple):
    tasks: Sequence[Task]  # those that were not removed, as stored, in the order of the changes
    revision: int  # the owner's with all the changes, or a later one
    replayed: bool = False  # true when an idempotency key led to a task that was added before
    repeated: Collection[UUID] = ()
    """Of additions, those that had been made before with the same values; only a store on another machine has any."""


class TaskStore(Protocol):
    """Stores tasks, and for each person a counter: the revision, 0 at first.

    Every call is about one owner and is one atomic act. Each change moves the owner's revision by one and leaves the
    new value on the changed task, so that the order of revisions is the order in which changes became visible. A call
    that changes nothing moves nothing.

    A read finds the owner's tasks as they are. One that is given ``at_least`` may find them as they were, but at no
    earlier version than that.

    Every call may raise Unavailable (its changes have then been made all or not at all) and OperatorNeeded.
    """

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        """The owner's task with this id. Raises TaskNotFound, or NotYours if it belongs to another person."""
        ...

    async def list(
        self,
        owner: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Page:
        """At most ``limit`` (1 to PAGE_LENGTH) of the owner's wanted tasks in the order of their positions, starting
        after ``after``."""
        ...

    async def find(self, owner: UserId, ids: Collection[UUID], new: Collection[UUID], *, now: datetime) -> Known:
        """What is known of these ids, of which ``new`` were made up for tasks to be added. A store on another machine
        may leave it to ``apply`` to look for those."""
        ...

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        """Costs the same however many tasks there are."""
        ...

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        """Makes all the changes, or none. There is at least one, each is of another of the owner's tasks, and all
        times are those of the tasks given. A store on another machine may give added tasks other ids and times.

        A removal remembers the task's id and its own revision, for ``changes``; and what the task was, until the trash
        forgets it. What has to be forgotten by then is forgotten by the owner's next removal.

        Raises TaskChanged unless each task is still at the revision of its ``before``, and if an id of an addition is
        taken; a store on another machine then raises OperationRefused, with the place of the change.

        With a key, which goes with one addition: if the owner sent the same key less than KEY_LIFETIME before
        ``created_at`` of the addition, nothing is added, and the task that was added then is returned as it is now.
        Raises KeyReused if the digests differ, TaskNotFound if it has been removed since. However many such calls
        meet, one adds. With a key that has a note, which goes with a batch: raises TaskChanged if the key is in use.
        """
        ...

    async def recall(self, owner: UserId, key: IdempotencyKey, *, now: datetime) -> str | None:
        """The note of a batch that was made with this key less than KEY_LIFETIME before ``now``. Raises KeyReused if
        the digests differ."""
        ...

    async def trash(
        self, owner: UserId, *, now: datetime, before: int | None = None, limit: int = PAGE_LENGTH
    ) -> Trash:
        """At most ``limit`` of what the owner has removed and the trash still keeps at ``now``, the latest removal
        first, starting before the revision of a removal."""
        ...

    async def get_removed(self, owner: UserId, task_id: UUID, *, now: datetime) -> RemovedTask:
        """Raises TaskNotFound if the trash does not keep it at ``now``, NotYours if another person removed it."""
        ...

    async def purge(self, owner: UserId, task_id: UUID | None = None) -> None:
        """Forgets what one removed task was, or all of them. That it was removed is remembered."""
        ...


class ChangeFeed(Protocol):
    """Tells what has changed. Of ``at_least`` see TaskStore."""

    async def changes(
        self,
        owner: UserId,
        *,
        since: int,
        removed_since: int,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Changes:
        """At most ``limit`` of the owner's tasks that have changed after the revision ``since``, and of removals after
        ``removed_since``."""
        ...

    async def versions(self, owners: Collection[UserId]) -> Mapping[UserId, ListVersion]:
        """Of those who have one; each may be an earlier version. Costs one look-up for each, in one statement."""
        ...


class UserEraser(Protocol):
    """Forgets people."""

    async def erase(self, owner: UserId) -> int | None:
        """Removes a person's tasks, keys and revision, in one atomic act. Returns how many tasks that were; None if
        the person is unknown. May raise Unavailable: everything is gone then, or nothing."""
        ...
