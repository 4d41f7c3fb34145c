from datetime import timedelta

import pytest

from tests.stores.async_machine import Opened, run_machine
from tests.stores.contract import LocalTaskStoreContract
from tests.stores.machine import StoreMachine
from todo.adapters.memory import MemoryTaskStore
from todo.domain.ports import TaskStore


class TestMemoryTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    def store(self) -> TaskStore:
        return MemoryTaskStore()

    @pytest.fixture
    def short_trash(self) -> TaskStore:
        return MemoryTaskStore(timedelta(days=1))


def test_it_does_what_a_plain_model_does() -> None:
    async def close() -> None:
        pass

    def open_store() -> Opened:
        return MemoryTaskStore(), close

    run_machine(StoreMachine, open_store, examples=25)
