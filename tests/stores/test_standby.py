"""A store that reads from a standby: the same promises, and nothing older than what is asked for."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.stores.async_machine import Opened, run_machine
from tests.stores.contract import EVERYTHING, LocalTaskStoreContract
from tests.stores.machine import StoreMachine
from tests.support.builders import a_task, add_task, somebody
from tests.support.databases import OwnPostgres, migrated, own_postgres, replicate
from todo.adapters.sql import replicated
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.replicated import ReplicatedTaskStore
from todo.domain.ports import ANY_VERSION, TOMBSTONE_LIFETIME, Changes, ListVersion, Page, Selection, TaskStore
from todo.domain.refusals import TaskNotFound
from todo.domain.task import Task, UserId

Pair = tuple[OwnPostgres, OwnPostgres]


class ReadingOldStates(ReplicatedTaskStore):
    """Every read is content with an old state, where the suite does not say."""

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        return await super().get(owner, task_id, at_least=at_least or ANY_VERSION)

    async def list(self, owner: UserId, wanted: Selection, **rest: Any) -> Page:
        return await super().list(owner, wanted, **{"at_least": ANY_VERSION, **rest})

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        return await super().version(owner, at_least=at_least or ANY_VERSION)

    async def changes(self, owner: UserId, **rest: Any) -> Changes:
        return await super().changes(owner, **{"at_least": ANY_VERSION, **rest})


def open_stores(
    primary: str, standby: str, trash_lifetime: timedelta = TOMBSTONE_LIFETIME, timeout: float = 5
) -> tuple[ReadingOldStates, Callable[[], Any]]:
    database = PostgresqlDatabase(primary, 10)
    beside = PostgresqlDatabase(standby, 10, timeout=timeout, is_standby=True)

    async def close() -> None:
        await database.close()
        await beside.close()

    return ReadingOldStates(database, beside, trash_lifetime), close


@asynccontextmanager
async def opened(pair: Pair, name: str, **options: Any) -> AsyncIterator[ReadingOldStates]:
    store, close = open_stores(pair[0].url_of(name), pair[1].url_of(name), **options)
    try:
        yield store
    finally:
        await close()


@pytest.fixture(scope="module")
def prompt_pair() -> Iterator[Pair]:
    """What the primary has acknowledged can be read on the standby."""
    with own_postgres() as primary, replicate(primary, "remote_apply") as standby:
        migrated(primary.url_of("postgres"))
        yield primary, standby


class TestReplicatedTaskStore(LocalTaskStoreContract):
    @pytest.fixture
    async def store(self, prompt_pair: Pair) -> AsyncIterator[TaskStore]:
        async with opened(prompt_pair, "postgres") as store:
            yield store

    @pytest.fixture
    async def short_trash(self, prompt_pair: Pair) -> AsyncIterator[TaskStore]:
        async with opened(prompt_pair, "postgres", trash_lifetime=timedelta(days=1)) as store:
            yield store


def test_it_does_what_a_plain_model_does(prompt_pair: Pair) -> None:
    def open_store() -> Opened:
        primary, standby = (server.url_of("postgres") for server in prompt_pair)
        return open_stores(primary, standby)

    run_machine(StoreMachine, open_store, examples=15)


@pytest.fixture(scope="module")
def lagging_pair() -> Iterator[Pair]:
    """The standby knows the schema, and nothing that happens in the next hour."""
    with own_postgres() as primary:
        migrated(primary.url_of("postgres"))
        with replicate(primary, delay="1h") as standby:
            yield primary, standby


Reading = Callable[[ReadingOldStates, UserId, Task, ListVersion | None], Any]
READS: dict[str, Reading] = {
    "get": lambda store, owner, task, at_least: store.get(owner, task.id, at_least=at_least),
    "list": lambda store, owner, _, at_least: store.list(owner, EVERYTHING, at_least=at_least or ANY_VERSION),
    "version": lambda store, owner, _, at_least: store.version(owner, at_least=at_least),
    "changes": lambda store, owner, _, at_least: store.changes(
        owner, since=0, removed_since=0, at_least=at_least or ANY_VERSION
    ),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_what_the_standby_has_got_is_read_there(prompt_pair: Pair, read: Reading) -> None:
    owner = somebody()
    async with opened(prompt_pair, "postgres") as store:
        task = (await add_task(store, a_task(owner))).task
        version = await store.version(owner)
        found = await read(store, owner, task, version)
        assert getattr(found, "version", found) in (task, version)
        assert store.counts() == {"db_standby_reads_total": 2, "db_standby_misses_total": 0}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_what_a_lagging_standby_has_not_got_is_read_on_the_primary(lagging_pair: Pair, read: Reading) -> None:
    owner = somebody()
    async with opened(lagging_pair, "postgres") as store:
        task = (await add_task(store, a_task(owner))).task
        primary = await store.version(owner, at_least=ListVersion(None, 1))
        for at_least in (primary, ListVersion(None, 1), ListVersion(primary.epoch, 0)):
            found = await read(store, owner, task, at_least)
            assert getattr(found, "version", found) in (task, primary)
        assert store.counts()["db_standby_reads_total"] == 0


async def test_what_names_no_version_is_read_on_the_standby_however_far_it_is_behind(lagging_pair: Pair) -> None:
    owner = somebody()
    async with opened(lagging_pair, "postgres") as store:
        task = (await add_task(store, a_task(owner))).task
        assert (await store.list(owner, EVERYTHING)).tasks == []
        assert await store.version(owner) == ANY_VERSION
        assert await store.versions([owner]) == {}
        assert store.counts() == {"db_standby_reads_total": 3, "db_standby_misses_total": 0}
        # What is not there yet is no error.
        assert await store.get(owner, task.id) == task


async def test_a_task_that_neither_has_is_not_found(prompt_pair: Pair) -> None:
    async with opened(prompt_pair, "postgres") as store:
        with pytest.raises(TaskNotFound):
            await store.get(somebody(), a_task().id)


async def test_a_standby_that_stops_is_left_alone_and_asked_again_later(
    lagging_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(replicated, "monotonic", lambda: now)
    owner, (_, standby) = somebody(), lagging_pair
    async with opened(lagging_pair, "postgres", timeout=0.2) as store:
        standby.stop("immediate")
        for _ in range(3):
            assert (await store.list(owner, EVERYTHING)).tasks == []
        assert store.counts() == {"db_standby_reads_total": 0, "db_standby_misses_total": 1}
        standby.start()
        await store.version(owner)
        assert store.counts()["db_standby_reads_total"] == 0
        now += replicated.RETRY_INTERVAL
        for _ in range(2):
            await store.version(owner)
        assert store.counts() == {"db_standby_reads_total": 2, "db_standby_misses_total": 1}


@pytest.fixture
def parting_pair() -> Iterator[Pair]:
    """The primary does not wait for its standby."""
    with own_postgres() as primary:
        migrated(primary.url_of("postgres"))
        with replicate(primary) as standby:
            with psycopg.connect(primary.url_of("postgres"), autocommit=True) as own:
                own.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
                own.execute("SELECT pg_reload_conf()")
            yield primary, standby


async def test_what_was_promoted_is_a_standby_no_more(parting_pair: Pair) -> None:
    """Its history is another one from then on."""
    owner, (_, standby) = somebody(), parting_pair
    async with opened(parting_pair, "postgres") as store:
        await store.version(owner)
        assert store.counts()["db_standby_reads_total"] == 1
        standby.run("pg_ctl", "-D", standby.data, "-w", "promote")
        for _ in range(2):
            task = (await add_task(store, a_task(owner))).task
            assert task in (await store.list(owner, EVERYTHING)).tasks
        assert store.counts()["db_standby_reads_total"] == 1
