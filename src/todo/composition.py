"""The composition root: the one place that names adapters, and plugs them into the domain's ports.

Each adapter is imported where it is plugged in, so that an entrypoint loads only what it uses.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from todo.domain.ports import TaskStore, TokenVerifier
from todo.domain.refusals import InvalidToken, Unavailable
from todo.domain.task import UserId, user_id_of
from todo.domain.tasks import Tasks
from todo.kept import has_kept_secret, kept_secret, make_data_directory
from todo.settings import InvalidSetting, Settings

if TYPE_CHECKING:
    from todo.adapters.sql.database import Database
    from todo.adapters.tokens.claims import Claims, Finding
    from todo.adapters.tokens.keys import Keys


PATIENCE = 20
"""Seconds that a command waits for a database, which may have to wake first."""


class Readings(NamedTuple):
    """Figures of the moment, by name."""

    gauges: Mapping[str, float]
    counters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Service:
    """What the entrypoints drive."""

    tasks: Tasks
    tokens: TokenVerifier
    check_ready: Callable[[], Awaitable[object]]
    """Raises Unavailable while the database can't be used."""
    close: Callable[[], Awaitable[None]]
    readings: Callable[[], Readings]


def compose(settings: Settings) -> Service:
    """Connects to nothing yet. Raises InvalidSetting."""
    from todo.adapters.sql.database import check_ready
    from todo.adapters.sql.store import SqlTaskStore
    from todo.adapters.tokens.verifier import JwtVerifier

    database = _database(settings)
    keys = _keys(settings)

    async def close() -> None:
        await keys.close()
        await database.close()

    tokens = JwtVerifier(keys, _claims(settings))

    def readings() -> Readings:
        return Readings(gauges=database.gauges(), counters=tokens.counts())

    return Service(
        tasks=tasks_in(SqlTaskStore(database)),
        tokens=tokens,
        check_ready=partial(check_ready, database),
        close=close,
        readings=readings,
    )


def tasks_in(store: TaskStore) -> Tasks:
    """The use cases on a store, with the world's clock and ids."""
    from uuid_utils.compat import uuid7

    return Tasks(store, clock=lambda: datetime.now(UTC), new_id=uuid7)


@asynccontextmanager
async def local_tasks(settings: Settings) -> AsyncIterator[Tasks]:
    """The use cases on the database, whose schema is brought up to date before.

    Raises InvalidSetting, Unavailable.
    """
    from todo.adapters.sql.database import SchemaIsOld, check_ready
    from todo.adapters.sql.store import SqlTaskStore

    database = _database(settings, PATIENCE)
    try:
        try:
            await check_ready(database, within=PATIENCE)
        except SchemaIsOld:
            from todo.adapters.sql.migrations import upgrade

            await asyncio.to_thread(upgrade, database)
        yield tasks_in(SqlTaskStore(database))
    finally:
        await database.close()


@asynccontextmanager
async def remote_tasks(server: str, token: str) -> AsyncIterator[Tasks]:
    """The use cases on a server, for whom the token speaks."""
    from todo.adapters.remote import RemoteTaskStore

    store = RemoteTaskStore(server, lambda _: token)
    try:
        yield tasks_in(store)
    finally:
        await store.close()


def speaker_of(token: str) -> UserId:
    """Whom a token names, which is for its server to believe. Raises InvalidToken if it is none."""
    from todo.adapters.tokens.compact import taken_apart

    try:
        return user_id_of(str(taken_apart(token).claims["sub"]))
    except (KeyError, ValueError):
        raise InvalidToken("The token names nobody; log in with another.") from None


def upgrade_database(settings: Settings) -> bool:
    """Makes the database's schema, or brings it up to date. False if it is newer than this program, which works all
    the same. Raises InvalidSetting, Unavailable."""
    from todo.adapters.sql.database import SchemaIsOld, check_ready

    database = _database(settings, PATIENCE)

    async def is_known() -> bool:
        try:
            return await check_ready(database, within=PATIENCE)
        finally:
            await database.close()

    try:
        return asyncio.run(is_known())
    except SchemaIsOld:
        # Only then: the migrations load ten times as much as a request needs.
        from todo.adapters.sql.migrations import upgrade

        upgrade(database)
        return True


def erase(settings: Settings, person: UserId) -> int | None:
    """As Eraser.erase. Raises InvalidSetting, Unavailable."""
    from todo.adapters.sql.store import SqlTaskStore

    database = _database(settings, PATIENCE)

    async def erased() -> int | None:
        try:
            return await SqlTaskStore(database).erase(person)
        finally:
            await database.close()

    return asyncio.run(erased())


def back_up(settings: Settings, copy: Path) -> None:
    """Raises Unavailable."""
    from todo.adapters.sql.backup import back_up

    back_up(_file_of(settings, "pg_dump"), copy)


def restore(settings: Settings, copy: Path) -> None:
    """And brings the schema up to date, if the copy's was older. Raises Unavailable."""
    from todo.adapters.sql.backup import restore

    restore(_file_of(settings, "pg_restore"), copy)
    upgrade_database(settings)


def _file_of(settings: Settings, program: str) -> Path:
    if settings.database_file is None:
        raise Unavailable(f"The tasks are in PostgreSQL, which has its own way: {program}.")
    _database(settings)  # looks whether a file can be there
    return settings.database_file


def issue_token(settings: Settings, user: UserId, lifetime: timedelta) -> str:
    """A token that this service takes. Raises InvalidSetting if another issues them."""
    from todo.adapters.tokens.shared_secret import sign

    if settings.key_set_url is not None:
        raise InvalidSetting("BETTER_AUTH_URL or JWT_JWKS_URL is set: the tokens are that issuer's, and none of ours")
    issuer, audience = next(iter(settings.jwt_issuer), None), next(iter(settings.jwt_audience), None)
    return sign(_secret(settings), user, lifetime, issuer=issuer, audience=audience)


def examine_tokens(settings: Settings, token: str | None) -> "list[Finding]":
    """What tokens are judged with, and what that says of this one. Raises InvalidSetting."""
    from todo.adapters.tokens.claims import Finding
    from todo.adapters.tokens.verifier import JwtVerifier

    if settings.uses_kept_secret and not has_kept_secret():
        return [Finding(False, "No secret is there to judge with; todo serve and todo token make one.")]

    async def examined() -> "list[Finding]":
        keys = _keys(settings)
        try:
            findings = await keys.examine()
            if token is not None:
                findings += await JwtVerifier(keys, _claims(settings)).examine(token)
            return findings
        finally:
            await keys.close()

    return asyncio.run(examined())


def _database(settings: Settings, patience: float | None = None) -> "Database":
    if settings.database_file is not None:
        from todo.adapters.sql.sqlite import SqliteDatabase

        if settings.database_url is None:
            make_data_directory()
        _check_file(settings.database_file)
        return SqliteDatabase(settings.database_file)
    from todo.adapters.sql.postgresql import PostgresqlDatabase

    assert settings.database_url is not None
    try:
        return PostgresqlDatabase(
            settings.database_url,
            settings.database_pool_size,
            rest=settings.database_pool_rest,
            patience=patience or settings.database_timeout,
            prepare=settings.database_prepared_statements,
        )
    except ValueError:
        raise InvalidSetting("DATABASE_URL can't be read as a PostgreSQL connection string") from None


def _check_file(file: Path) -> None:
    try:
        if not file.absolute().parent.is_dir():
            raise InvalidSetting(f"DATABASE_URL: there is no folder {file.parent}")
        if file.is_dir():
            raise InvalidSetting(f"DATABASE_URL: {file} is a folder")
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"DATABASE_URL: {file} can't be used: {type(error).__name__}") from None


def _keys(settings: Settings) -> "Keys":
    if settings.key_set_url is not None:
        from todo.adapters.tokens.key_set import KeySet

        return KeySet(settings.key_set_url)
    from todo.adapters.tokens.shared_secret import SharedSecret

    return SharedSecret(_secret(settings))


def _secret(settings: Settings) -> str:
    return settings.better_auth_secret if settings.better_auth_secret is not None else kept_secret()


def _claims(settings: Settings) -> "Claims":
    from todo.adapters.tokens.claims import Claims

    return Claims(issuers=settings.issuers, audiences=settings.audiences)
