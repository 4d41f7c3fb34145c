"""The schema's history ends where the tables are, on both databases."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.builders import NOON, a_task, later, somebody
from tests.support.databases import PostgresServer, postgres_database, sqlite_url
from todo.adapters.sql import migrations
from todo.adapters.sql.database import check_ready, sqlite_engine
from todo.adapters.sql.migrations import upgrade
from todo.adapters.sql.postgresql import postgresql_engine
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE, metadata
from todo.domain.ports import Filter
from todo.domain.refusals import Unavailable
from todo.domain.task import Position


def engine_of(url: str) -> AsyncEngine:
    if url.startswith("sqlite"):
        return sqlite_engine(Path(url.removeprefix("sqlite:///")))
    return postgresql_engine(url, pool_size=5)


def shape_of(connection: Connection) -> dict[str, Any]:
    """Everything the database itself knows of its tables, but the one that Alembic keeps."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "indexes": inspector.get_indexes(table),
            "unique": inspector.get_unique_constraints(table),
            "checks": inspector.get_check_constraints(table),
        }
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


@pytest.fixture
def other_database(empty_database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Another empty one of the same kind."""
    if empty_database.startswith("sqlite"):
        yield sqlite_url(tmp_path / "other.db")
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres")
        with postgres_database(postgres) as url:
            yield url


async def test_migrations_make_what_the_tables_say(empty_database: str, other_database: str) -> None:
    await upgrade(engine_of(empty_database))
    by_migrations, by_tables = engine_of(empty_database), engine_of(other_database)
    async with by_migrations.connect() as one, by_tables.connect() as other:
        await other.run_sync(metadata.create_all)
        expected = await other.run_sync(shape_of)
        assert set(expected) == {"users", "tasks", "idempotency_keys"}
        assert await one.run_sync(shape_of) == expected
    await by_migrations.dispose()
    await by_tables.dispose()


def test_the_schema_version_is_the_newest_migration_and_names_sort() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    names = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert names[0] == SCHEMA_VERSION
    assert names == sorted(names, reverse=True)


async def test_a_database_is_not_ready_until_its_schema_is_up_to_date(empty_database: str) -> None:
    engine = engine_of(empty_database)
    with pytest.raises(Unavailable):
        await check_ready(engine)
    await upgrade(engine_of(empty_database))
    await check_ready(engine)
    async with engine.connect() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    with pytest.raises(Unavailable, match="todo db upgrade"):
        await check_ready(engine)
    async with engine.connect() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    await check_ready(engine)
    await engine.dispose()


async def test_an_upgrade_of_what_is_up_to_date_changes_nothing(empty_database: str) -> None:
    for _ in range(2):
        await upgrade(engine_of(empty_database))
    engine = engine_of(empty_database)
    await check_ready(engine)
    await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tasks SELECT :id, 'nobody', 'x', 'x', false, :now, :now, 1",
        "INSERT INTO tasks SELECT :id, 'ann', '', '', false, :now, :now, 1",
        "INSERT INTO tasks SELECT :id, 'ann', :long, 'x', false, :now, :now, 1",
        "INSERT INTO tasks SELECT :id, 'ann', NULL, 'x', false, :now, :now, 1",
    ],
)
async def test_the_database_itself_refuses_what_breaks_the_rules(empty_database: str, statement: str) -> None:
    await upgrade(engine_of(empty_database))
    engine = engine_of(empty_database)
    values = {"id": "0" * 32, "now": NOON, "long": "𝔸" * 501}
    async with engine.connect() as connection:
        now = NOON if "postgres" in empty_database else NOON.isoformat(" ")
        await connection.execute(text("INSERT INTO users VALUES ('ann', 0, :now)"), {"now": now})
        typed = statement
        if "postgres" in empty_database:
            typed = typed.replace(":id", "CAST(:id AS uuid)").replace(":now", "CAST(:now AS timestamptz)")
            typed = typed.replace(":long", "CAST(:long AS text)")
        used = {name: value for name, value in {**values, "now": now}.items() if f":{name}" in statement}
        with pytest.raises(DBAPIError):
            await connection.execute(text(typed), used)
    await engine.dispose()


async def test_a_persons_row_takes_their_tasks_and_keys_with_it(engine: AsyncEngine) -> None:
    owner = somebody()
    await SqlTaskStore(engine).add(a_task(owner), "key")
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": owner})
        for table in ("tasks", "idempotency_keys"):
            left = await connection.execute(text(f"SELECT count(*) FROM {table} WHERE user_id = :id"), {"id": owner})
            assert left.scalar() == 0


async def test_forgotten_keys_of_a_person_are_removed_by_their_next_one(engine: AsyncEngine) -> None:
    owner = somebody()
    store = SqlTaskStore(engine)
    for n in range(3):
        await store.add(a_task(owner, at=later(n)), f"old {n}")
    await store.add(a_task(owner, at=later(24 * 60 * 60 + 1)), "new")
    async with engine.connect() as connection:
        keys = await connection.execute(
            text("SELECT key FROM idempotency_keys WHERE user_id = :id ORDER BY key"), {"id": owner}
        )
        assert list(keys.scalars()) == ["new", "old 2"]


@pytest.mark.parametrize("wanted", [Filter(), Filter(completed=True), Filter(text="milk")])
async def test_a_lists_order_is_walked_on_its_index(engine: AsyncEngine, wanted: Filter) -> None:
    """So that a page costs the same however deep it lies."""
    sent: list[tuple[str, Any]] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, _m: object) -> None:
        sent.append((statement, parameters))

    await SqlTaskStore(engine).list(somebody(), wanted, after=Position(NOON, uuid4()), limit=10)
    statement, parameters = sent[-1]
    is_postgresql = engine.dialect.name == "postgresql"
    async with engine.connect() as connection:
        if is_postgresql:  # else it would not care for an index on a table that is nearly empty
            await connection.execute(text("SET enable_seqscan = off"))
            await connection.execute(text("SET enable_bitmapscan = off"))
        explained = f"{'EXPLAIN' if is_postgresql else 'EXPLAIN QUERY PLAN'} {statement}"
        rows = (await connection.exec_driver_sql(explained, parameters)).all()
        if is_postgresql:
            await connection.execute(text("RESET ALL"))
    plan = " ".join(str(row) for row in rows)
    assert "tasks_in_list_order" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
