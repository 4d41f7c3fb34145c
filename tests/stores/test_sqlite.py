from pathlib import Path

import pytest

from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import Opened, run_machine
from todo.adapters.sql.sqlite import SqliteDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import TaskStore


class TestSqliteTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self, sqlite: SqliteDatabase) -> TaskStore:
        return SqlTaskStore(sqlite)


def test_it_does_what_a_plain_model_does(migrated_sqlite: str) -> None:
    def open_store() -> Opened:
        database = SqliteDatabase(Path(migrated_sqlite.removeprefix("sqlite:///")))
        return SqlTaskStore(database), database.close

    run_machine(open_store, examples=15)
