from datetime import timedelta

import pytest

from tests.stores.async_machine import Opened, run_machine
from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import StoreMachine
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import TaskStore


class TestPostgresqlTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self, postgresql: PostgresqlDatabase) -> TaskStore:
        return SqlTaskStore(postgresql)

    @pytest.fixture
    def short_trash(self, postgresql: PostgresqlDatabase) -> TaskStore:
        return SqlTaskStore(postgresql, timedelta(days=1))


def test_it_does_what_a_plain_model_does(migrated_postgres: str) -> None:
    def open_store() -> Opened:
        database = PostgresqlDatabase(migrated_postgres, pool_size=1)
        return SqlTaskStore(database), database.close

    run_machine(StoreMachine, open_store, examples=15)
