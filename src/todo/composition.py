"""The composition root: the one place that names adapters, and plugs them into the domain's ports.

Each adapter is imported where it is plugged in, so that an entrypoint loads only what it uses.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from todo.domain.ports import TaskStore, TokenVerifier
from todo.domain.task import UserId
from todo.domain.tasks import Tasks
from todo.settings import SECRET_LENGTH, InvalidSetting, Settings, data_directory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from todo.adapters.tokens.claims import Claims, Finding
    from todo.adapters.tokens.keys import Keys


@dataclass(frozen=True, slots=True)
class Service:
    """What the entrypoints drive."""

    tasks: Tasks
    tokens: TokenVerifier
    check_ready: Callable[[], Awaitable[None]]
    """Raises Unavailable while the service can't do its work."""
    close: Callable[[], Awaitable[None]]


def compose(settings: Settings) -> Service:
    """Connects to nothing yet. Raises InvalidSetting."""
    from todo.adapters.sql.database import check_ready
    from todo.adapters.sql.store import SqlTaskStore
    from todo.adapters.tokens.verifier import JwtVerifier

    engine = _engine(settings)
    keys = _keys(settings)

    async def close() -> None:
        await keys.close()
        await engine.dispose()

    return Service(
        tasks=tasks_in(SqlTaskStore(engine)),
        tokens=JwtVerifier(keys, _claims(settings)),
        check_ready=partial(check_ready, engine),
        close=close,
    )


def tasks_in(store: TaskStore) -> Tasks:
    """The use cases on a store, with the world's clock and ids."""
    from uuid_utils.compat import uuid7

    return Tasks(store, clock=lambda: datetime.now(UTC), new_id=uuid7)


def upgrade_database(settings: Settings) -> None:
    """Makes the database's schema, or brings it up to date. Raises InvalidSetting, Unavailable."""
    from todo.adapters.sql.migrations import upgrade

    asyncio.run(upgrade(_engine(settings)))


def issue_token(settings: Settings, user: UserId, lifetime: timedelta) -> str:
    """A token that this service takes. Raises InvalidSetting if another issues them."""
    from todo.adapters.tokens.shared_secret import sign

    if settings.key_set_url is not None:
        raise InvalidSetting("BETTER_AUTH_URL or JWT_JWKS_URL is set: the tokens are that issuer's, and none of ours")
    issuer, audience = next(iter(settings.jwt_issuer), None), next(iter(settings.jwt_audience), None)
    return sign(_secret(settings), user, lifetime, issuer=issuer, audience=audience)


def examine_tokens(settings: Settings, token: str | None) -> "list[Finding]":
    """What tokens are judged with, and what that says of this one. Raises InvalidSetting."""
    from todo.adapters.tokens.verifier import JwtVerifier

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


def _engine(settings: Settings) -> "AsyncEngine":
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    from todo.adapters.sql.database import postgresql_engine, sqlite_engine

    if settings.database_file is not None:
        if settings.database_url is None:
            _make_data_directory()
        _check_file(settings.database_file)
        return sqlite_engine(settings.database_file)
    assert settings.database_url is not None
    try:
        ports = str(conninfo_to_dict(settings.database_url).get("port") or "5432").split(",")
    except ProgrammingError:
        ports = ["unreadable"]
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in ports):
        raise InvalidSetting("DATABASE_URL can't be read as a PostgreSQL connection string")
    return postgresql_engine(settings.database_url, settings.database_pool_size)


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


def _claims(settings: Settings) -> "Claims":
    from todo.adapters.tokens.claims import Claims

    return Claims(issuers=settings.issuers, audiences=settings.audiences)


def _secret(settings: Settings) -> str:
    """The configured secret, or else this machine's own: made on first use, kept beside the default database."""
    if settings.better_auth_secret is not None:
        return settings.better_auth_secret
    file = _make_data_directory() / "secret"
    try:
        if not file.exists():
            _write_once(file, secrets.token_urlsafe(SECRET_LENGTH))
        if file.stat().st_mode & 0o077 and os.name == "posix":
            raise InvalidSetting(f"the kept secret {file} can be read by others; run chmod 600 on it, or remove it")
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"the kept secret {file} can't be read or written: {type(error).__name__}") from None
    if len(secret.encode()) < SECRET_LENGTH:
        raise InvalidSetting(f"the kept secret {file} is damaged; remove it, and a new one is made")
    return secret


def _write_once(file: Path, text: str) -> None:
    """Readable by its owner alone, whole from the start; another process that was faster wins."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _make_data_directory() -> Path:
    try:
        data_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSetting(
            f"DATABASE_URL is not set, and {data_directory()} can't be made: {type(error).__name__}"
        ) from None
    return data_directory()
