"""Writers, and replicas that only read the changes, driven by Hypothesis, on two servers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.stores.async_machine import AsyncMachine
from tests.stores.contract import ChangeFeedStore
from tests.support.builders import NOON
from todo.adapters.time_zones import is_time_zone
from todo.domain.ports import Selection, UserEraser
from todo.domain.refusals import ChangesForgotten
from todo.domain.task import Edit, Task, UserId
from todo.domain.use_cases import Sync, SyncPoint, Tasks

LIFETIME = timedelta(days=2)  # of the trash
SERVERS = st.integers(0, 1)
ANY = st.integers(0, 10**6)


class SyncStore(ChangeFeedStore, UserEraser, Protocol):
    """What both servers need."""


class Replica:
    def __init__(self) -> None:
        self.tasks: dict[UUID, Task] = {}
        self.since: SyncPoint | None = None


class SyncMachine(AsyncMachine):
    @initialize()
    def open(self) -> None:
        self.stores: Sequence[SyncStore] = self.open_in_loop()  # on the same tasks
        self.owner = UserId(f"{uuid4()}")
        self.now = NOON
        self.writers = [Tasks(store, lambda: self.now, uuid4, is_time_zone) for store in self.stores]
        self.readers = [Sync(store) for store in self.stores]
        self.replicas = [Replica()]

    def read_list(self) -> Sequence[Task]:
        tasks: Sequence[Task] = self.do(self.stores[0].list(self.owner, Selection())).tasks
        return tasks

    def read_trash(self) -> Sequence[Any]:
        return self.do(self.writers[0].trash(self.owner, limit=1000)).tasks

    @rule(days=st.sampled_from([0.001, 0.001, 1, 29, 31]))
    def wait(self, days: float) -> None:
        self.now += timedelta(days=days)

    @rule(server=SERVERS, number=st.integers(1, 3))
    def add(self, server: int, number: int) -> None:
        for _ in range(number):
            self.do(self.writers[server].add(self.owner, Edit(title=f"{uuid4()}")))

    @precondition(lambda self: self.read_list())
    @rule(server=SERVERS, which=ANY)
    def change(self, server: int, which: int) -> None:
        tasks = self.read_list()
        self.do(self.writers[server].change(self.owner, tasks[which % len(tasks)].id, Edit(title=f"{uuid4()}")))

    @precondition(lambda self: self.read_list())
    @rule(server=SERVERS, which=st.lists(ANY, min_size=1, max_size=3))
    def remove(self, server: int, which: list[int]) -> None:
        for number in which:
            if tasks := self.read_list():
                self.do(self.writers[server].remove(self.owner, tasks[number % len(tasks)].id))

    @precondition(lambda self: self.read_trash())
    @rule(server=SERVERS, which=ANY)
    def restore(self, server: int, which: int) -> None:
        removed = self.read_trash()
        self.do(self.writers[server].restore(self.owner, removed[which % len(removed)].task.id))

    @precondition(lambda self: self.read_trash())
    @rule(server=SERVERS, which=ANY, chance=st.integers(0, 3))
    def purge(self, server: int, which: int, chance: int) -> None:
        removed = self.read_trash()
        chosen = None if chance == 3 else removed[which % len(removed)].task.id
        self.do(self.writers[server].purge(self.owner, chosen))

    @rule(server=SERVERS, chance=st.integers(0, 5))
    def erase(self, server: int, chance: int) -> None:
        if chance == 5:
            self.do(self.stores[server].erase(self.owner))

    @rule()
    def begin_a_replica(self) -> None:
        if len(self.replicas) < 4:
            self.replicas.append(Replica())

    @rule(server=SERVERS, which=ANY, limit=st.integers(1, 4))
    def follow_a_page(self, server: int, which: int, limit: int) -> None:
        self._follow(self.replicas[which % len(self.replicas)], server, limit)

    @rule(which=ANY, limit=st.integers(1, 4))
    def catch_up(self, which: int, limit: int) -> None:
        replica = self.replicas[which % len(self.replicas)]
        server = 0
        while self._follow(replica, server, limit):
            server = 1 - server
        assert sorted(replica.tasks.values()) == sorted(self.read_list())

    def _follow(self, replica: Replica, server: int, limit: int) -> bool:
        """Whether there is more."""
        try:
            page = self.do(self.readers[server].changes(self.owner, replica.since, limit=limit))
        except ChangesForgotten:
            replica.tasks, replica.since = {}, None
            return True
        assert len(page.tasks) + len(page.removed) <= limit
        replica.tasks |= {task.id: task for task in page.tasks}
        for task_id in page.removed:
            replica.tasks.pop(task_id, None)
        replica.since = page.next
        return page.more
