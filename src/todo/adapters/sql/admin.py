"""Administers the database: upgrade, back up, restore, erase a person."""

import asyncio
from pathlib import Path

from sqlalchemy import func, update
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.database import Database, SchemaMissing, SchemaOutdated, check_ready
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.sql.tables import RESTORE_HEADROOM, users
from todo.domain.refusals import OperatorNeeded
from todo.domain.task import UserId


class DatabaseAdmin:
    """Everything may raise Unavailable and OperatorNeeded; then the database is as it was."""

    def __init__(self, database: Database, file: Path | None, timeout: float) -> None:
        """``file``: None for PostgreSQL. ``timeout``: seconds for the database to answer."""
        self.database = database
        self._file = file
        self._timeout = timeout

    async def upgrade(self, *, may_create: bool = True) -> bool:
        """Makes the schema, or brings it up to date. False if it is newer than this program, which works all the
        same. Raises SchemaMissing if there is none, and there may be none."""
        if not may_create and self._file is not None and not self._file.exists():
            raise SchemaMissing  # to open the file would make it
        try:
            return await check_ready(self.database, self._timeout)
        except SchemaOutdated as error:
            if isinstance(error, SchemaMissing) and not may_create:
                raise
            # Only then: the migrations load ten times as much as a request needs.
            from todo.adapters.sql.migrations import upgrade

            await asyncio.to_thread(upgrade, self.database)
            return True

    async def erase_user(self, user: UserId) -> int | None:
        """As UserEraser.erase."""
        return await SqlTaskStore(self.database).erase(user)

    async def back_up(self, copy: Path) -> None:
        from todo.adapters.sql.sqlite.backup import back_up

        await asyncio.to_thread(back_up, self._get_file("pg_dump"), copy)

    async def restore(self, copy: Path) -> None:
        """Brings the schema up to date, too, if the copy's is older."""
        from todo.adapters.sql.sqlite.backup import restore

        await asyncio.to_thread(restore, self._get_file("pg_restore"), copy)
        await self.upgrade()

    async def begin_new_epochs(self) -> None:
        """After PostgreSQL was restored by its own programs: outdates the entity tags and revisions that
        clients hold. ``restore`` does so by itself."""

        def run() -> None:
            engine = self.database.engine()
            values = {"epoch": func.gen_random_uuid(), "revision": users.c.revision + RESTORE_HEADROOM}
            try:
                with engine.connect() as connection:
                    connection.execute(update(users).values(values))
            except DBAPIError as error:
                raise self.database.explain(error) or error from error
            finally:
                engine.dispose()

        if self._file is not None:
            raise OperatorNeeded("A SQLite database is restored by `todo db restore`, which does this by itself.")
        await asyncio.to_thread(run)

    def _get_file(self, program: str) -> Path:
        if self._file is None:
            raise OperatorNeeded(f"The tasks are in PostgreSQL, which has its own program for that: {program}.")
        return self._file
