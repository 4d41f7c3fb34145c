import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import Opened, run_machine
from todo.adapters.sql.postgresql import postgresql_engine
from todo.adapters.sql.store import SqlTaskStore
from todo.domain.ports import TaskStore


class TestPostgresqlTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self, postgresql: AsyncEngine) -> TaskStore:
        return SqlTaskStore(postgresql)


def test_it_does_what_a_plain_model_does(migrated_postgres: str) -> None:
    def open_store() -> Opened:
        engine = postgresql_engine(migrated_postgres, pool_size=1)
        return SqlTaskStore(engine), engine.dispose

    run_machine(open_store, examples=15)
