"""The use cases. Every entrypoint calls these, and the person who asks comes first in each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from todo.domain.ports import PAGE_LENGTH, Added, Filter, Page, TaskStore
from todo.domain.refusals import TaskChanged, Unavailable
from todo.domain.task import Position, Task, UserId, title_of

T = TypeVar("T")

Clock = Callable[[], datetime]
"""Now, aware and in UTC."""

# A round is lost only to another writer's success, so with n writers of one change each, n - 1 are the most.
_ROUNDS = 200


class Tasks:
    """What a person can do with tasks.

    ``expected`` is the collection of revisions at which the caller still wants the act done (an If-Match);
    None wants it done whatever has happened meanwhile.
    """

    def __init__(self, store: TaskStore, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id

    async def add(self, asker: UserId, title: str, *, key: str | None = None) -> Added:
        """Raises InvalidTitle; with a key, what ``TaskStore.add`` says of it."""
        task = Task.new(asker, title, task_id=self._new_id(), now=self._clock())
        return await self._store.add(task, key)

    async def read(self, asker: UserId, task_id: UUID) -> Task:
        """Raises TaskNotFound, NotYours."""
        return await self._store.get(asker, task_id)

    async def revision(self, asker: UserId) -> int:
        """Changes exactly when one of the asker's tasks does."""
        return await self._store.revision(asker)

    async def page(self, asker: UserId, wanted: Filter, *, after: Position | None, limit: int) -> Page:
        return await self._store.list(asker, wanted, after=after, limit=limit)

    async def chunks(
        self, asker: UserId, wanted: Filter, *, after: Position | None = None
    ) -> AsyncIterator[Sequence[Task]]:
        """The whole list, a stretch at a time. A task that stands still while others come and go is seen once."""
        more = True
        while more:
            page = await self._store.list(asker, wanted, after=after, limit=PAGE_LENGTH)
            more = page.more
            if page.tasks:
                yield page.tasks
                after = page.tasks[-1].position

    async def change(
        self,
        asker: UserId,
        task_id: UUID,
        *,
        title: str | None = None,
        completed: bool | None = None,
        expected: Collection[int] | None = None,
    ) -> Task:
        """Renames, completes or reopens in one act. Raises InvalidTitle, TaskNotFound, NotYours, TaskChanged."""
        if title is not None:
            title = title_of(title)  # a title that can't be is refused before anything is read

        async def judge_and_save(task: Task) -> Task:
            now, changed = self._clock(), task
            if title is not None:
                changed = changed.rename(asker, title, now=now)
            if completed is not None:
                changed = changed.complete(asker, now=now) if completed else changed.reopen(asker, now=now)
            return task if changed is task else await self._store.save(changed)

        return await self._with_task(asker, task_id, expected, judge_and_save)

    async def remove(self, asker: UserId, task_id: UUID, *, expected: Collection[int] | None = None) -> None:
        """Raises TaskNotFound, NotYours, TaskChanged."""
        await self._with_task(asker, task_id, expected, self._store.remove)

    async def _with_task(
        self, asker: UserId, task_id: UUID, expected: Collection[int] | None, act: Callable[[Task], Awaitable[T]]
    ) -> T:
        """Reads the task and acts on it, anew as long as another writer was faster and the caller minds not."""
        for _ in range(_ROUNDS):
            task = await self._store.get(asker, task_id)
            if expected is not None and task.revision not in expected:
                raise TaskChanged
            try:
                return await act(task)
            except TaskChanged:
                if expected is not None:
                    raise
        raise Unavailable("Too many changes meet at this task; try again in a moment.")
