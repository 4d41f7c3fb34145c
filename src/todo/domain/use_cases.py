"""What a person can do with their tasks. Every entrypoint calls these; the person who acts comes first in each."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from todo.domain import batch as batches
from todo.domain.batch import Asked, Batch, Create, OperationRefused
from todo.domain.ports import (
    NEVER,
    PAGE_LENGTH,
    Applied,
    Change,
    ChangeFeed,
    IdempotencyKey,
    Known,
    ListVersion,
    Page,
    Selection,
    TaskStore,
    Trash,
    find_latest,
)
from todo.domain.refusals import ChangesForgotten, InvalidField, Refusal, TaskChanged, TaskNotFound, Unavailable
from todo.domain.task import Edit, Position, RemovedTask, Task, UserId

Clock = Callable[[], datetime]  # now, aware and in UTC

# An attempt fails only because another writer succeeded. So many in a row is a crowd that no client waits for.
_ATTEMPTS = 200


class Tasks:
    """The use cases.

    ``expected`` holds the revisions at which the caller still wants the change; with None it is made at any. Of
    ``at_least`` see TaskStore.
    """

    def __init__(
        self, store: TaskStore, clock: Clock, new_id: Callable[[], UUID], is_time_zone: Callable[[str], bool]
    ) -> None:
        """``is_time_zone``: whether the tz database has a zone of this name."""
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._is_time_zone = is_time_zone
        self.listeners: list[Callable[[UserId], None]] = []
        """Called with whose tasks have just been changed."""

    async def add(self, actor: UserId, values: Edit, *, key: str | None = None) -> Applied:
        """Raises InvalidField; with a key, what ``TaskStore.apply`` says of it."""
        self._check_time_zone(values)
        task = Task.new(actor, values, task_id=self._new_id(), now=self._clock())
        idempotency = None if key is None else IdempotencyKey(key, values.digest())
        return await self._apply(actor, [Change(None, task)], idempotency)

    async def read(self, actor: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        """Raises TaskNotFound, NotYours."""
        return await self._store.get(actor, task_id, at_least=at_least)

    async def version(self, actor: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        """Changes exactly when one of the actor's tasks does."""
        return await self._store.version(actor, at_least=at_least)

    async def page(
        self,
        actor: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int,
        at_least: ListVersion | None = None,
    ) -> Page:
        return await self._store.list(actor, wanted, after=after, limit=limit, at_least=at_least)

    async def pages(
        self,
        actor: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        first: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> AsyncGenerator[Page, None]:
        """The whole list from ``after`` on, at least one page; ``first`` is the length of the first. A task that keeps
        its position while others come and go is seen exactly once."""
        page = await self.page(actor, wanted, after=after, limit=first, at_least=at_least)
        yield page
        while page.more:
            last = wanted.position(page.tasks[-1])
            at_least = at_least and page.version
            page = await self.page(actor, wanted, after=last, limit=PAGE_LENGTH, at_least=at_least)
            yield page

    async def change(
        self, actor: UserId, task_id: UUID, changes: Edit, *, expected: Collection[int] | None = None
    ) -> Task:
        """Raises InvalidField, TaskNotFound, NotYours, TaskChanged."""
        self._check_time_zone(changes)

        def edit(task: Task) -> Task:
            return task.edit(changes, now=self._clock())

        return (await self._read_and_apply(actor, task_id, expected, edit)).tasks[0]

    async def remove(self, actor: UserId, task_id: UUID, *, expected: Collection[int] | None = None) -> int:
        """Into the trash. Returns the revision of the removal, or a later one. Raises TaskNotFound, NotYours,
        TaskChanged."""
        applied = await self._read_and_apply(actor, task_id, expected, lambda task: task.remove(now=self._clock()))
        return applied.revision

    async def batch(
        self, actor: UserId, asked: Sequence[Asked], *, is_atomic: bool = True, key: str | None = None
    ) -> Batch:
        """All the operations, each of another task, as one act. If it is atomic and one is refused, none is done.

        Raises InvalidField, OperationRefused, KeyReused.
        """
        batches.check_operations(asked)
        idempotency = None if key is None else IdempotencyKey(key, batches.digest(asked, is_atomic=is_atomic))
        ids = [one.id for one in asked if not isinstance(one, Refusal) and one.id is not None]
        new = {one.id for one in asked if isinstance(one, Create) and one.id is not None}
        asked = [self._prepare(one) for one in asked]
        for _ in range(_ATTEMPTS):
            now = self._clock()
            if idempotency is not None:
                noted = await self._store.recall(actor, idempotency, now=now)
                if noted is not None:
                    known = await self._store.find(actor, batches.noted_ids(noted), (), now=now)
                    version = await self._store.version(actor)
                    return Batch(batches.recall(asked, noted, known), version.revision, replayed=True)
            known = await self._store.find(actor, ids, new, now=now) if ids else Known({}, {}, ())
            judgement = batches.judge(actor, asked, known, self._clock)
            outcomes, changes = judgement.outcomes, judgement.changes
            if is_atomic:
                for place, outcome in enumerate(outcomes):
                    if outcome.refusal is not None:
                        raise OperationRefused(place, outcome.refusal)
            if not changes:
                return Batch(outcomes, (await self._store.version(actor)).revision)
            if idempotency is not None:
                idempotency = idempotency._replace(note=batches.note(asked, outcomes))
            try:
                applied = await self._apply(actor, changes, idempotency)
            except TaskChanged:
                continue
            except OperationRefused as refused:  # by a store on another machine, which alone knows the id
                asked[judgement.places[refused.place]] = refused.refusal
                continue
            return Batch(batches.complete(judgement, applied), applied.revision)
        raise Unavailable("Too many changes to these tasks at once; try again in a moment.")

    def _prepare(self, asked: Asked) -> Asked:
        """With an id for a task that has none; a refusal in its place if its time zone is unknown."""
        if isinstance(asked, Create) and asked.id is None:
            asked = Create(asked.values, self._new_id())
        values = getattr(asked, "values", getattr(asked, "changes", None))
        try:
            if values is not None:
                self._check_time_zone(values)
        except InvalidField as refusal:
            return refusal
        return asked

    async def trash(self, actor: UserId, *, before: int | None = None, limit: int) -> Trash:
        return await self._store.trash(actor, now=self._clock(), before=before, limit=limit)

    async def trash_pages(self, actor: UserId, *, before: int | None = None) -> AsyncGenerator[Trash, None]:
        """The whole trash, at least one page."""
        more = True
        while more:
            page = await self.trash(actor, before=before, limit=PAGE_LENGTH)
            yield page
            more = page.more
            before = page.tasks[-1].task.revision if page.tasks else None

    async def restore(self, actor: UserId, task_id: UUID) -> Task:
        """Out of the trash. Raises TaskNotFound, NotYours."""
        now = self._clock()
        removed = await self._store.get_removed(actor, task_id, now=now)
        try:
            return (await self._apply(actor, [Change(removed, removed.restore(now=now))])).tasks[0]
        except TaskChanged:  # somebody else restored or purged it
            raise TaskNotFound from None

    async def purge(self, actor: UserId, task_id: UUID | None = None) -> None:
        """Forgets what one removed task was, or all of them. Raises TaskNotFound, NotYours."""
        if task_id is not None:
            await self._store.get_removed(actor, task_id, now=self._clock())
        await self._store.purge(actor, task_id)

    async def _apply(self, actor: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        applied = await self._store.apply(actor, changes, key)
        for listener in self.listeners:
            listener(actor)
        return applied

    def _check_time_zone(self, values: Edit) -> None:
        due = values.named.get("due")
        if due is not None and due.time_zone is not None and not self._is_time_zone(due.time_zone):
            raise InvalidField(
                "due.time_zone must be a name in the IANA tz database, such as Europe/Berlin.", "due", "time_zone"
            )

    async def _read_and_apply(
        self,
        actor: UserId,
        task_id: UUID,
        expected: Collection[int] | None,
        replacement: Callable[[Task], Task | RemovedTask],
    ) -> Applied:
        """Reads the task and replaces it. Retries if another writer was faster, unless the caller named revisions."""
        for _ in range(_ATTEMPTS):
            before = await self._store.get(actor, task_id)
            if expected is not None and before.revision not in expected:
                raise TaskChanged
            after = replacement(before)
            if after is before:
                return Applied([before], before.revision)
            try:
                return await self._apply(actor, [Change(before, after)])
            except TaskChanged:
                if expected is not None:
                    raise
        raise Unavailable("Too many changes to this task at once; try again in a moment.")


class SyncPoint(NamedTuple):
    """How far somebody has followed the changes of a list."""

    version: ListVersion
    start: int  # the revision at which they began, while they have not reached it: they know of no removal before it

    @property
    def known(self) -> ListVersion:
        """A version that the list had when they got here."""
        return self.version._replace(revision=max(self.version.revision, self.start))


class ChangesPage(NamedTuple):
    tasks: Sequence[Task]
    removed: Sequence[UUID]
    next: SyncPoint
    more: bool


class Sync:
    """Keeps copies of a list up to date."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    async def changes(
        self, actor: UserId, since: SyncPoint | None, *, limit: int, at_least: ListVersion | None = None
    ) -> ChangesPage:
        """What has changed since then, or all there is. Of ``at_least`` see TaskStore. Raises ChangesForgotten."""
        if since is None:
            found = await self._feed.changes(actor, since=0, removed_since=NEVER, limit=limit, at_least=at_least)
            start = found.version.revision
        else:
            known = since.known
            found = await self._feed.changes(
                actor,
                since=since.version.revision,
                removed_since=known.revision,
                limit=limit,
                at_least=at_least and find_latest([at_least, known]),
            )
            start = since.start
            if not found.version.has_reached(known) or known.revision < found.forgotten:
                raise ChangesForgotten
        reached = ListVersion(found.version.epoch, found.until)
        return ChangesPage(
            found.tasks, found.removed, SyncPoint(reached, start if start > found.until else 0), found.more
        )
