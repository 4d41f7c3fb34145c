"""The migrations lead to the declared tables, on both databases."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from tests.support.builders import NOON, a_task, add_task, later, somebody
from tests.support.databases import PostgresServer, debian_postgres, postgres_database, sqlite_url
from todo.adapters.sql import migrations
from todo.adapters.sql.compiled import Compiled
from todo.adapters.sql.database import Database, SchemaOutdated, check_ready
from todo.adapters.sql.migrations import upgrade
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.sqlite.database import SqliteDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.sql.tables import SCHEMA_VERSION, VERSION_TABLE, metadata
from todo.domain.ports import Order, Selection
from todo.domain.refusals import Unavailable
from todo.domain.task import NEVER_DUE, Position

COLUMNS = "user_id, id, title, search_text, labels, completed, created_at, updated_at, revision"


def database_at(url: str) -> Database:
    if url.startswith("sqlite"):
        return SqliteDatabase(Path(url.removeprefix("sqlite:///")))
    return PostgresqlDatabase(url, pool_size=5)


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    """Past the store, in autocommit."""
    engine = database.engine()
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        yield connection
    engine.dispose()


def shape_of(connection: Connection) -> dict[str, Any]:
    """Everything the database itself knows of its tables, but the one that Alembic keeps."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": inspector.get_foreign_keys(table),
            "indexes": [
                index | {"dialect_options": {name: str(option) for name, option in index["dialect_options"].items()}}
                for index in inspector.get_indexes(table)
            ],
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


def test_migrations_create_the_tables_as_declared(empty_database: str, other_database: str) -> None:
    upgrade(database_at(empty_database))
    with connected(database_at(empty_database)) as by_migrations, connected(database_at(other_database)) as by_tables:
        metadata.create_all(by_tables)
        expected = shape_of(by_tables)
        assert set(expected) == {"users", "tasks", "removed_tasks", "idempotency_keys"}
        assert shape_of(by_migrations) == expected


def test_the_schema_version_is_the_newest_migration_and_names_sort() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    names = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert names[0] == SCHEMA_VERSION
    assert names == sorted(names, reverse=True)


async def test_a_database_is_not_ready_until_its_schema_is_up_to_date(empty_database: str) -> None:
    database = database_at(empty_database)
    with pytest.raises(SchemaOutdated):
        await check_ready(database)
    upgrade(database)
    await check_ready(database)
    with connected(database) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
        with pytest.raises(Unavailable, match="todo db upgrade"):
            await check_ready(database)
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        await check_ready(database)
    await database.close()


async def test_an_upgrade_of_what_is_up_to_date_changes_nothing(empty_database: str) -> None:
    database = database_at(empty_database)
    upgrade(database)
    upgrade(database)
    await check_ready(database)
    await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'nobody', :id, 'x', 'x', '{}', false, :now, :now, 1",
        "SELECT 'ann', :id, '', '', '{}', false, :now, :now, 1",
        "SELECT 'ann', :id, :long, 'x', '{}', false, :now, :now, 1",
        "SELECT 'ann', :id, NULL, 'x', '{}', false, :now, :now, 1",
    ],
)
def test_the_database_itself_rejects_invalid_rows(empty_database: str, statement: str) -> None:
    database = database_at(empty_database)
    upgrade(database)
    values = {"id": "0" * 32, "now": NOON, "long": "𝔸" * 501}
    with connected(database) as connection:
        now = NOON if "postgres" in empty_database else NOON.isoformat(" ")
        connection.execute(text("INSERT INTO users (id, epoch, revision) VALUES ('ann', :id, 0)"), {"id": values["id"]})
        typed = f"INSERT INTO tasks ({COLUMNS}) {statement}"
        if "postgres" in empty_database:
            typed = typed.replace(":id", "CAST(:id AS uuid)").replace(":now", "CAST(:now AS timestamptz)")
            typed = typed.replace(":long", "CAST(:long AS text)")
        used = {name: value for name, value in {**values, "now": now}.items() if f":{name}" in statement}
        with pytest.raises(DBAPIError):
            connection.execute(text(typed), used)


async def test_deleting_a_person_deletes_their_tasks_and_keys(database: Database) -> None:
    owner = somebody()
    await add_task(SqlTaskStore(database), a_task(owner), "key")
    with connected(database) as connection:
        connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": owner})
        for table in ("tasks", "idempotency_keys"):
            left = connection.execute(text(f"SELECT count(*) FROM {table} WHERE user_id = :id"), {"id": owner})
            assert left.scalar() == 0


async def test_expired_keys_are_swept_by_the_next_one_of_the_same_person(database: Database) -> None:
    owner = somebody()
    store = SqlTaskStore(database)
    for n in range(3):
        await add_task(store, a_task(owner, at=later(n)), f"old {n}")
    await add_task(store, a_task(owner, at=later(24 * 60 * 60 + 1)), "new")
    with connected(database) as connection:
        keys = connection.execute(
            text("SELECT key FROM idempotency_keys WHERE user_id = :id ORDER BY key"), {"id": owner}
        )
        assert list(keys.scalars()) == ["new", "old 2"]


BY_DUE = Selection(order=Order.BY_DUE)
_OLDER = {"sqlite": r"\(created_at,id\)<", "postgresql": r"ROW\(created_at, id\) <"}
_DUE_LATER = {"sqlite": r"due_order>\?", "postgresql": r"due_order > "}


@pytest.mark.parametrize(
    ("wanted", "due", "index", "conditions"),
    [
        (Selection(), "", "tasks_in_list_order", [_OLDER]),
        (Selection(completed=True), "", "tasks_by_state_in_list_order", [_OLDER]),
        (Selection(completed=False), "", "tasks_by_state_in_list_order", [_OLDER]),
        (Selection(priority="high"), "", "tasks_by_priority", [_OLDER]),
        (Selection(labels=["home"]), "", "tasks_with_labels", [_OLDER]),
        (BY_DUE, "2026-02-01", "tasks_by_due", [_OLDER, _DUE_LATER]),
        (BY_DUE, NEVER_DUE, "tasks_in_list_order", [_OLDER]),
    ],
)
async def test_a_page_is_read_from_its_start_in_the_index(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Selection,
    due: str,
    index: str,
    conditions: list[dict[str, str]],
) -> None:
    """So every page of a list costs the same."""
    plan = await explain(database, monkeypatch, wanted, Position(NOON, uuid4(), due))
    for condition in conditions:
        name = "sqlite" if "SEARCH" in plan else "postgresql"
        search = {
            "sqlite": rf"SEARCH tasks USING INDEX {index} \(user_id=\?.* AND ",
            "postgresql": rf"Index Scan (?:Backward )?using {index} .*\n *Index Cond: .*",
        }[name]
        assert re.search(search + condition[name], plan), plan


async def test_tasks_that_are_due_in_a_period_are_found_by_the_index(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Selection(due_from="2026-01-01", due_until="2026-01-02", order=Order.BY_DUE)
    plan = await explain(database, monkeypatch, wanted, None)
    assert re.search(
        r"tasks_by_due .*(due_order>\? AND due_order<\?|\n *Index Cond: .*due_order >= .*due_order < )", plan
    ), plan


async def explain(
    database: Database, monkeypatch: pytest.MonkeyPatch, wanted: Selection, after: Position | None
) -> str:
    """How the database would read a page."""
    sent: list[tuple[str, Sequence[Any]]] = []
    arrange = Compiled.arrange

    def note(self: Compiled, given: Mapping[str, Any]) -> Sequence[Any]:
        parameters = arrange(self, given)
        sent.append((self.text, parameters))
        return parameters

    monkeypatch.setattr(Compiled, "arrange", note)
    owner, store = somebody(), SqlTaskStore(database)
    await add_task(store, a_task(owner))
    await store.list(owner, wanted, after=after, limit=10)
    statement, parameters = sent[-1]
    with connected(database) as connection:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name == "sqlite":
            return "\n".join(row[-1] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
        cursor = psycopg.RawCursor(driver)
        # Else it would not care which index it takes, nor whether.
        cursor.execute(
            f"INSERT INTO tasks ({COLUMNS}, due, due_order, priority, labels_folded)"
            " SELECT $1, gen_random_uuid(), 'x', 'x', '{}', (n % 100 = 0) = $2, at, at, 1,"
            " CASE WHEN n % 5 = 0 THEN '[]' END, CASE WHEN n % 5 = 0 THEN to_char(at, 'YYYY-MM-DD') ELSE '~' END,"
            " CASE WHEN n % 7 = 0 THEN 'high' END, CASE WHEN n % 9 = 0 THEN E'\\x1fhome\\x1f' END"
            " FROM generate_series(1, 2000) AS n, LATERAL (SELECT $3 - n * interval '1 h' AS at)",
            [owner, wanted.completed is not False, NOON],
        )
        cursor.execute("ANALYZE tasks").execute("SET enable_seqscan = off").execute("SET enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {statement}".encode(), parameters).fetchall())
        # The index of a partition has a name of its own.
        parents = cursor.execute("SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits")
        for name, parent in parents.fetchall():
            plan = plan.replace(f"using {name} ", f"using {parent} ")
        return plan


@pytest.fixture(scope="module")
def with_extensions() -> Iterator[PostgresServer]:
    with debian_postgres() as server:
        yield server


async def test_a_rare_word_is_found_by_the_trigram_index(with_extensions: PostgresServer) -> None:
    owner = somebody()
    with postgres_database(with_extensions) as url:
        database = database_at(url)
        upgrade(database)
        await add_task(SqlTaskStore(database), a_task(owner, "Straße"))
        with connected(database) as connection:
            many = "SELECT :owner, gen_random_uuid(), 'x', 'report ' || n, '{}', false, now(), now(), 1"
            connection.execute(
                text(f"INSERT INTO tasks ({COLUMNS}) {many} FROM generate_series(1, 20000) AS n"),
                {"owner": owner},
            )
            connection.execute(text("VACUUM ANALYZE tasks"))
            search = "SELECT id FROM tasks WHERE user_id = :owner AND search_text LIKE '%strasse%'"
            plan = str(connection.execute(text(f"EXPLAIN {search}"), {"owner": owner}).all())
            assert "Bitmap Index Scan on tasks_by_words" in plan
        found = (await SqlTaskStore(database).list(owner, Selection(text="STRASSE"))).tasks
        assert [task.title for task in found] == ["Straße"]
        await database.close()


async def test_a_role_without_the_right_to_create_extensions_gets_a_schema_without_that_index(
    with_extensions: PostgresServer,
) -> None:
    owner = somebody()
    with postgres_database(with_extensions) as url:
        with connected(database_at(url)) as connection:
            connection.execute(text("CREATE ROLE limited LOGIN"))
            connection.execute(text("GRANT CREATE ON SCHEMA public TO limited"))
        database = database_at(url.replace("//postgres:@", "//limited:@"))
        upgrade(database)
        await check_ready(database)
        await add_task(SqlTaskStore(database), a_task(owner, "Buy MILK"))
        assert len((await SqlTaskStore(database).list(owner, Selection(text="milk"))).tasks) == 1
        await database.close()
        with connected(database_at(url)) as connection:
            assert not connection.execute(text("SELECT 1 FROM pg_indexes WHERE indexname = 'tasks_by_words'")).all()
