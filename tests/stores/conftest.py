from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from todo.adapters.sql.database import Database
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.sqlite.database import SqliteDatabase


@pytest.fixture
async def sqlite(migrated_sqlite: str) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(Path(migrated_sqlite.removeprefix("sqlite:///")))
    yield database
    await database.close()


@pytest.fixture
async def postgresql(migrated_postgres: str) -> AsyncIterator[PostgresqlDatabase]:
    database = PostgresqlDatabase(migrated_postgres, pool_size=10)
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    chosen: Database = request.getfixturevalue(request.param)
    return chosen
