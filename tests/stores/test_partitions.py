"""Tables that are partitioned by user: the same promises, and each statement reads the partition of one person."""

import json
import re
from collections.abc import Iterator, Sequence
from copy import copy
from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from tests.stores import test_postgresql
from tests.support.builders import NOON, a_task, add_task, later, removal, somebody
from tests.support.databases import PostgresServer, migrated, postgres_database
from todo.adapters.sql.compiled import Row
from todo.adapters.sql.postgresql.connection import Connection, PreparedStatement
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import Change, IdempotencyKey, Order, Selection
from todo.domain.refusals import TaskNotFound
from todo.domain.task import Edit

PARTITIONS = 8
TABLES = "tasks|users|removed_tasks|idempotency_keys"


@pytest.fixture(scope="module")
def migrated_postgres(postgres: PostgresServer) -> Iterator[str]:
    """In place of the plain one: ``postgresql`` is a connection to this database here."""
    with postgres_database(postgres) as url:
        yield migrated(url, partitions=PARTITIONS)


class TestPartitionedTaskStore(test_postgresql.TestPostgresqlTaskStore):
    pass


def test_they_do_what_a_plain_model_does(migrated_postgres: str) -> None:
    test_postgresql.test_it_does_what_a_plain_model_does(migrated_postgres)


Sent = tuple[PreparedStatement, Sequence[Any]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    noted: list[Sent] = []
    run = Connection.run

    async def run_noted(
        self: Connection, statement: PreparedStatement, parameters: Sequence[Any], **options: Any
    ) -> list[Row]:
        noted.append((statement, parameters))
        return await run(self, statement, parameters, **options)

    monkeypatch.setattr(Connection, "run", run_noted)
    return noted


async def find_partitions(url: str, sent: Sequence[Sent]) -> list[set[str]]:
    """Of each statement, the numbers of the partitions that its plan names. A plan for a row that is inserted names
    none: its partition is computed from the row."""
    connection = await Connection.open(url)
    found = []
    for statement, parameters in list(sent):
        explain = copy(statement)
        explain.text = b"EXPLAIN (FORMAT JSON) " + statement.text
        rows = await connection.run(explain, parameters, prepare=False)
        relations = re.findall(r'"Relation Name": "([a-z0-9_]+)"', json.dumps(rows[0][0]))
        numbers = [re.fullmatch(f"(?:{TABLES})(?:_([0-9]+))?", relation) for relation in relations]
        found.append({number[1] for number in numbers if number is not None and number[1] is not None})
    connection.close()
    return found


async def test_each_statement_of_each_call_reads_one_partition(
    migrated_postgres: str, postgresql: PostgresqlDatabase, sent: list[Sent]
) -> None:
    owner, store = somebody(), SqlTaskStore(postgresql)
    first, second = a_task(owner), a_task(owner)
    key, batch_key = IdempotencyKey("key", bytes(32)), IdempotencyKey("batch", bytes(32), "[]")
    first = (await store.apply(owner, [Change(None, first)], key)).tasks[0]
    await store.apply(owner, [Change(None, a_task(owner))], key)
    second = (await add_task(store, second)).task
    await store.get(owner, first.id)
    await store.version(owner)
    await store.versions([owner])
    edited = first.edit(Edit(title="Edited"), now=later(1))
    first = (await store.apply(owner, [Change(first, edited)])).tasks[0]
    third = a_task(owner)
    several = [Change(None, third), Change(second, second.edit(Edit(completed=True), now=later(1)))]
    third, second = (await store.apply(owner, several, batch_key)).tasks
    await store.recall(owner, batch_key, now=NOON)
    await store.find(owner, [first.id, second.id, third.id], (), now=NOON)
    for order in Order:
        for wanted in (
            Selection(order=order),
            Selection(order=order, completed=True, text="e", priority="low", labels=["home"]),
            Selection(order=order, due_from=str(date(2026, 1, 1))),
        ):
            await store.list(owner, wanted, limit=2)
            await store.list(owner, wanted, after=wanted.position(first), limit=2)
    await store.apply(owner, [removal(first, at=later(2))])
    await store.apply(owner, [removal(second, at=later(2)), Change(None, a_task(owner))])
    now = later(2)
    await store.trash(owner, now=now)
    removed = await store.get_removed(owner, first.id, now=now)
    await store.changes(owner, since=0, removed_since=0)
    await store.apply(owner, [Change(removed, removed.restore(now=now))])
    await store.purge(owner, second.id)
    await store.purge(owner)
    await store.erase(owner)
    statements = [statement.text for statement, _ in sent]
    found = await find_partitions(migrated_postgres, sent)
    assert len(statements) > 30
    assert [text for text, numbers in zip(statements, found, strict=True) if len(numbers) > 1] == []
    assert len(set.union(*found)) == 1


async def test_only_what_tells_403_from_404_looks_into_all_partitions(
    migrated_postgres: str, postgresql: PostgresqlDatabase, sent: list[Sent]
) -> None:
    owner, store, missing = somebody(), SqlTaskStore(postgresql), uuid4()
    with pytest.raises(TaskNotFound):
        await store.get(owner, missing)
    with pytest.raises(TaskNotFound):
        await store.get_removed(owner, missing, now=NOON)
    await store.find(owner, [missing], (), now=NOON)
    found = [len(numbers) for numbers in await find_partitions(migrated_postgres, sent)]
    assert found == [1, PARTITIONS, 1, PARTITIONS, 1, 1, PARTITIONS]


async def test_a_prepared_statement_is_planned_once_for_all_people(migrated_postgres: str) -> None:
    connection = await Connection.open(migrated_postgres)
    assert await connection.run(PreparedStatement("SHOW plan_cache_mode"), [], prepare=False) == [
        ("force_generic_plan",)
    ]
    connection.close()
