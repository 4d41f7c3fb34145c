"""What is removed, purged or erased leaves nothing readable, seen by looking into the tables."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.stores.test_migrations import connected
from tests.support.builders import NOON, somebody
from todo.adapters.sql.admin import DatabaseAdmin
from todo.adapters.sql.database import Database
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.sql.tables import metadata
from todo.adapters.time_zones import is_time_zone
from todo.domain.refusals import ChangesForgotten, TaskNotFound
from todo.domain.task import Edit, UserId
from todo.domain.use_cases import Sync, Tasks

DAY = timedelta(days=1)


class Person:
    """With a clock of their own."""

    def __init__(self, database: Database, lifetime: timedelta = 2 * DAY) -> None:
        self.database = database
        self.store = SqlTaskStore(database, lifetime)
        self.id = somebody()
        self.now = NOON
        self.tasks = Tasks(self.store, lambda: self.now, uuid4, is_time_zone)
        self.sync = Sync(self.store)

    async def add_first(self) -> None:
        """The task whose id becomes the person's epoch, and stays in the tables."""
        await self.tasks.add(self.id, Edit(title="x"))

    def read_tables(self) -> str:
        """Every row of every table that is this person's, as text."""
        with connected(self.database) as connection:
            rows: list[Any] = []
            for table in metadata.tables.values():
                name = "id" if table.name == "users" else "user_id"
                rows += connection.execute(table.select().where(table.c[name] == self.id)).all()
            # And past the types, as it is stored.
            raw = connection.execute(text("SELECT content FROM removed_tasks WHERE user_id = :id"), {"id": self.id})
            return repr(rows) + repr(raw.all())


@pytest.fixture
def person(database: Database) -> Person:
    return Person(database)


async def test_what_is_purged_is_gone_and_only_that_it_was_there_is_remembered(person: Person) -> None:
    secret, other = [
        (await person.tasks.add(person.id, Edit(title=title, notes=f"{title} notes"))).tasks[0]
        for title in ("Secret", "Other")
    ]
    for task in (secret, other):
        await person.tasks.remove(person.id, task.id)
    assert "Secret" in person.read_tables()
    await person.tasks.purge(person.id, secret.id)
    tables = person.read_tables()
    assert ("Secret" in tables, "secret" in tables, "Other" in tables) == (False, False, True)
    await person.tasks.purge(person.id)
    tables = person.read_tables()
    assert "Other" not in tables
    assert all(task.id.hex in tables.replace("-", "") for task in (secret, other))


async def test_a_restored_task_is_stored_once(person: Person) -> None:
    task = (await person.tasks.add(person.id, Edit(title="Secret"))).tasks[0]
    await person.tasks.remove(person.id, task.id)
    await person.tasks.restore(person.id, task.id)
    assert person.read_tables().count("'Secret'") == 1
    await person.tasks.change(person.id, task.id, Edit(title="Public"))
    assert "ecret" not in person.read_tables()


async def test_a_trash_of_0_days_keeps_no_content(database: Database) -> None:
    person = Person(database, timedelta(0))
    task = (await person.tasks.add(person.id, Edit(title="Secret", labels=["private"]))).tasks[0]
    await person.tasks.remove(person.id, task.id)
    tables = person.read_tables()
    assert ("ecret" in tables, "private" in tables, task.id.hex in tables.replace("-", "")) == (False, False, True)
    with pytest.raises(TaskNotFound):
        await person.tasks.restore(person.id, task.id)
    assert (await person.sync.changes(person.id, None, limit=10)).tasks == []


async def test_an_erased_person_leaves_nothing(person: Person) -> None:
    for title in ("Secret", "Another"):
        task = (await person.tasks.add(person.id, Edit(title=title), key=title)).tasks[0]
        if title == "Secret":
            await person.tasks.remove(person.id, task.id)
    assert await person.store.erase(person.id) == 1
    assert person.read_tables() == "[][]"


async def test_what_is_kept_for_long_enough_is_swept_by_the_next_removal(person: Person) -> None:
    await person.add_first()
    first, second, third = [
        (await person.tasks.add(person.id, Edit(title=title))).tasks[0] for title in ("First", "Second", "Third")
    ]
    began = (await person.sync.changes(person.id, None, limit=10)).next
    await person.tasks.remove(person.id, first.id)
    person.now += 2 * DAY
    await person.tasks.remove(person.id, second.id)
    assert "First" not in person.read_tables()
    assert (await person.sync.changes(person.id, began, limit=10)).removed == [first.id, second.id]
    person.now += 28 * DAY
    await person.tasks.remove(person.id, third.id)
    assert first.id.hex not in person.read_tables().replace("-", "")
    with pytest.raises(ChangesForgotten):
        await person.sync.changes(person.id, began, limit=10)


async def test_the_operator_can_sweep_for_people_who_remove_nothing(database: Database) -> None:
    people = [Person(database), Person(database)]
    removed = []
    for person in people:
        await person.add_first()
        task = (await person.tasks.add(person.id, Edit(title="Secret"))).tasks[0]
        await person.tasks.remove(person.id, task.id)
        removed.append(task)
    began = (await people[0].sync.changes(people[0].id, None, limit=10)).next
    admin = DatabaseAdmin(database, None, timeout=5)
    assert await admin.sweep_trash(NOON + 2 * DAY, 2 * DAY) >= 2
    assert not any("Secret" in person.read_tables() for person in people)
    assert all(task.id.hex in one.read_tables().replace("-", "") for task, one in zip(removed, people, strict=True))
    assert await admin.sweep_trash(NOON + 30 * DAY, 2 * DAY) >= 2
    for task, person in zip(removed, people, strict=True):
        assert task.id.hex not in person.read_tables().replace("-", "")
    await people[0].sync.changes(people[0].id, began, limit=10)  # it had seen the removal
    stranger: UserId = somebody()
    assert (await people[0].sync.changes(stranger, None, limit=10)).tasks == []
