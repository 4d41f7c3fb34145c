from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from todo.adapters.sql.database import sqlite_engine
from todo.adapters.sql.postgresql import postgresql_engine


@pytest.fixture
async def sqlite(migrated_sqlite: str) -> AsyncIterator[AsyncEngine]:
    engine = sqlite_engine(Path(migrated_sqlite.removeprefix("sqlite:///")))
    yield engine
    await engine.dispose()


@pytest.fixture
async def postgresql(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    engine = postgresql_engine(migrated_postgres, pool_size=10)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> AsyncEngine:
    chosen: AsyncEngine = request.getfixturevalue(request.param)
    return chosen
