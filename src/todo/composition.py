"""The composition root: the one place that names adapters, and plugs them into the ports.

Each adapter is imported where it is plugged in, so that an entrypoint loads only what it uses.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from todo.domain.ports import ChangeFeed, TaskStore
from todo.domain.task import UserId
from todo.domain.use_cases import Sync, Tasks
from todo.settings import InvalidSetting, ServerSettings
from todo.user_state import load_or_make_secret, make_data_directory

if TYPE_CHECKING:
    from todo.adapters.sql.admin import DatabaseAdmin as DatabaseAdmin
    from todo.adapters.sql.database import Database
    from todo.adapters.tokens.keys import Keys
    from todo.adapters.tokens.verifier import JwtVerifier

STANDBY_TIMEOUT = 0.5  # seconds for a statement on the standby, after which the primary is asked
COMMAND_TIMEOUT = 20  # seconds that a command waits for PostgreSQL, which may have to wake first


class Stats(NamedTuple):
    """Current metrics, by name."""

    gauges: Mapping[str, float]
    counters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Service:
    """What a server needs to handle requests."""

    tasks: Tasks
    sync: Sync
    feed: ChangeFeed
    tokens: "JwtVerifier"
    check_ready: Callable[[], Awaitable[object]]
    """Raises Unavailable or OperatorNeeded while the database can't be used."""
    close: Callable[[], Awaitable[None]]
    read_stats: Callable[[], Stats]


def compose(settings: ServerSettings) -> Service:
    """Connects to nothing yet. Raises InvalidSetting."""
    from todo.adapters.sql.database import check_ready
    from todo.adapters.sql.replicated import ReplicatedTaskStore
    from todo.adapters.sql.store import SqlTaskStore

    database = _make_database(settings)
    tokens = make_token_verifier(settings)
    standby = _make_standby(settings)

    async def close() -> None:
        await tokens.close()
        await database.close()
        if standby is not None:
            await standby.close()

    store = (
        SqlTaskStore(database, settings.trash_lifetime)
        if standby is None
        else ReplicatedTaskStore(database, standby, settings.trash_lifetime)
    )
    return Service(
        tasks=make_tasks(store),
        sync=Sync(store),
        feed=store,
        tokens=tokens,
        check_ready=partial(check_ready, database),
        close=close,
        read_stats=lambda: Stats(gauges=store.gauges(), counters={**store.counts(), **tokens.counts()}),
    )


def make_tasks(store: TaskStore) -> Tasks:
    """The use cases on a store, with a real clock and real ids."""
    from uuid_utils.compat import uuid7

    from todo.adapters.time_zones import is_time_zone

    return Tasks(store, clock=lambda: avoid_whole_second(datetime.now(UTC)), new_id=uuid7, is_time_zone=is_time_zone)


def avoid_whole_second(time: datetime) -> datetime:
    """The contract has six digits of a second always, and msgspec leaves six zeros out: one microsecond later it does
    not. To format times ourselves would cost a tenth of a list."""
    return time if time.microsecond else time.replace(microsecond=1)


@asynccontextmanager
async def open_local_tasks(settings: ServerSettings, *, may_create: bool) -> AsyncIterator[Tasks]:
    """The use cases on the database, whose schema is brought up to date first. A database that has none gets one only
    if ``may_create``; else it counts as empty.

    Raises InvalidSetting, Unavailable, OperatorNeeded.
    """
    from todo.adapters.memory import MemoryTaskStore
    from todo.adapters.sql.database import SchemaMissing
    from todo.adapters.sql.store import SqlTaskStore

    async with open_database(settings) as database:
        store: TaskStore = SqlTaskStore(database.database, settings.trash_lifetime)
        try:
            await database.upgrade(may_create=may_create)
        except SchemaMissing:
            store = MemoryTaskStore()
        yield make_tasks(store)


@asynccontextmanager
async def open_remote_tasks(
    server: str,
    token: str,
    timeout: float | None = None,  # noqa: ASYNC109 - of each call
) -> AsyncIterator[Tasks]:
    """The use cases on a server, for the person whom the token names. With a ``timeout``, in seconds, each call is one
    attempt."""
    from todo.adapters.remote.store import RemoteTaskStore

    def get_token(_: UserId) -> str:
        return token

    if timeout is None:
        store = RemoteTaskStore(server, get_token)
    else:
        store = RemoteTaskStore(server, get_token, timeout=timeout, attempts=1)
    try:
        yield make_tasks(store)
    finally:
        await store.close()


@asynccontextmanager
async def open_database(settings: ServerSettings) -> "AsyncIterator[DatabaseAdmin]":
    """For commands. Raises InvalidSetting."""
    from todo.adapters.sql.admin import DatabaseAdmin

    database = _make_database(settings, COMMAND_TIMEOUT)
    try:
        yield DatabaseAdmin(database, settings.database_file, COMMAND_TIMEOUT, settings.database_partitions)
    finally:
        await database.close()


def is_time_zone(name: str) -> bool:
    """Whether the tz database has a zone of this name."""
    from todo.adapters import time_zones

    return time_zones.is_time_zone(name)


def make_token_verifier(settings: ServerSettings) -> "JwtVerifier":
    """Raises InvalidSetting."""
    from todo.adapters.tokens.claims import ClaimRules
    from todo.adapters.tokens.verifier import JwtVerifier

    rules = ClaimRules(issuers=settings.issuers, audiences=settings.audiences)
    return JwtVerifier(_make_keys(settings), rules)


def read_token_subject(token: str) -> UserId:
    """Whom a token names, which its server has to verify. Raises InvalidToken if it is none."""
    from todo.adapters.tokens.jws import decode_subject

    return decode_subject(token)


def sign_token(settings: ServerSettings, user: UserId, lifetime: timedelta) -> str:
    """A token that this service accepts. Raises InvalidSetting if another issues them."""
    from todo.adapters.tokens.shared_secret import sign_token

    if settings.key_set_url is not None:
        raise InvalidSetting("BETTER_AUTH_URL or JWT_JWKS_URL is set: only that issuer can make tokens")
    issuer, audience = next(iter(settings.jwt_issuer), None), next(iter(settings.jwt_audience), None)
    return sign_token(_get_secret(settings), user, lifetime, issuer=issuer, audience=audience)


def _make_keys(settings: ServerSettings) -> "Keys":
    if settings.key_set_url is not None:
        from todo.adapters.tokens.key_set import RemoteKeySet

        return RemoteKeySet(settings.key_set_url)
    from todo.adapters.tokens.shared_secret import SharedSecret

    return SharedSecret(_get_secret(settings))


def _get_secret(settings: ServerSettings) -> str:
    return settings.better_auth_secret if settings.better_auth_secret is not None else load_or_make_secret()


def _make_database(settings: ServerSettings, timeout: float | None = None) -> "Database":
    if settings.database_file is not None:
        from todo.adapters.sql.sqlite.database import SqliteDatabase

        if settings.database_url is None:
            make_data_directory()
        try:
            return SqliteDatabase(settings.database_file)
        except ValueError as error:
            raise InvalidSetting(f"DATABASE_URL: {error}") from None
    assert settings.database_url is not None
    return _make_postgresql(settings, "DATABASE_URL", settings.database_url, timeout or settings.database_timeout)


def _make_standby(settings: ServerSettings) -> "Database | None":
    if settings.database_read_url is None:
        return None
    timeout = min(settings.database_timeout, STANDBY_TIMEOUT)
    return _make_postgresql(settings, "DATABASE_READ_URL", settings.database_read_url, timeout, is_standby=True)


def _make_postgresql(
    settings: ServerSettings, name: str, url: str, timeout: float, *, is_standby: bool = False
) -> "Database":
    from todo.adapters.sql.postgresql.database import PostgresqlDatabase

    try:
        return PostgresqlDatabase(
            url,
            settings.database_pool_size,
            idle_timeout=settings.database_pool_idle_timeout,
            timeout=timeout,
            prepare=settings.database_prepared_statements,
            is_standby=is_standby,
        )
    except ValueError as error:
        raise InvalidSetting(f"{name} {error}") from None
