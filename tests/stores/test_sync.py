"""A replica that only reads the changes equals the list, whatever happens."""

from pathlib import Path

from tests.stores.async_machine import Opened, run_machine
from tests.stores.sync_machine import LIFETIME, SyncMachine
from todo.adapters.memory import MemoryTaskStore
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.sqlite.database import SqliteDatabase
from todo.adapters.sql.store import SqlTaskStore


def test_in_memory() -> None:
    async def close() -> None:
        pass

    def open_stores() -> Opened:
        return [MemoryTaskStore(LIFETIME)] * 2, close

    run_machine(SyncMachine, open_stores, examples=400)


def test_on_sqlite(migrated_sqlite: str) -> None:
    def open_stores() -> Opened:
        file = Path(migrated_sqlite.removeprefix("sqlite:///"))
        first, second = SqliteDatabase(file), SqliteDatabase(file)

        async def close() -> None:
            await first.close()
            await second.close()

        return [SqlTaskStore(first, LIFETIME), SqlTaskStore(second, LIFETIME)], close

    run_machine(SyncMachine, open_stores, examples=40)


def test_on_postgresql(migrated_postgres: str) -> None:
    def open_stores() -> Opened:
        first, second = (PostgresqlDatabase(migrated_postgres, pool_size=2) for _ in range(2))

        async def close() -> None:
            await first.close()
            await second.close()

        return [SqlTaskStore(first, LIFETIME), SqlTaskStore(second, LIFETIME)], close

    run_machine(SyncMachine, open_stores, examples=40)
