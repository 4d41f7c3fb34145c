"""Administers the database: upgrade, back up, restore, erase a person."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Executable, case, column, delete, func, literal_column, select, table, update
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.database import Database, SchemaMissing, SchemaOutdated, check_ready
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.sql.tables import RESTORE_HEADROOM, removed_tasks, users
from todo.domain.ports import TOMBSTONE_LIFETIME
from todo.domain.refusals import OperatorNeeded
from todo.domain.task import UserId


class DatabaseAdmin:
    """Everything may raise Unavailable and OperatorNeeded; then the database is as it was."""

    def __init__(self, database: Database, file: Path | None, timeout: float, partitions: int = 0) -> None:
        """``file``: None for PostgreSQL. ``timeout``: seconds for the database to answer. ``partitions``: of each table
        that is made, if any."""
        self.database = database
        self._file = file
        self._timeout = timeout
        self._partitions = partitions

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

            await asyncio.to_thread(upgrade, self.database, self._partitions)
            return True

    async def find_partitions(self) -> int | None:
        """How many there are of each table, if that is another number than was asked for."""
        if not self._partitions:
            return None
        inherits = table("pg_inherits", column("inhparent"))
        of_tasks = inherits.c.inhparent == literal_column("to_regclass('tasks')")
        counted = select(func.count()).select_from(inherits).where(of_tasks)
        [(number,)] = await self.database.prepare_read(counted)({})
        return None if number == self._partitions else number

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
        if self._file is not None:
            raise OperatorNeeded("A SQLite database is restored by `todo db restore`, which does this by itself.")
        values = {"epoch": func.gen_random_uuid(), "revision": users.c.revision + RESTORE_HEADROOM}
        await asyncio.to_thread(self._execute, update(users).values(values))

    async def sweep_trash(self, now: datetime, trash_lifetime: timedelta) -> int:
        """Forgets what everybody's next removal would: for people who remove nothing any more. Returns of how many
        removals something was forgotten."""
        if self._file is not None and not self._file.exists():
            raise SchemaMissing  # to open the file would make it
        expired = removed_tasks.c.removed_at <= now - max(trash_lifetime, TOMBSTONE_LIFETIME)
        newest = select(func.max(removed_tasks.c.revision)).where(removed_tasks.c.user_id == users.c.id, expired)
        revision = newest.correlate(users).scalar_subquery()
        return await asyncio.to_thread(
            self._execute,
            update(users)
            .where(users.c.id.in_(select(removed_tasks.c.user_id).where(expired)))
            .values(forgotten=case((revision > users.c.forgotten, revision), else_=users.c.forgotten)),
            delete(removed_tasks).where(expired),
            update(removed_tasks)
            .where(removed_tasks.c.removed_at <= now - trash_lifetime, removed_tasks.c.content.is_not(None))
            .values(content=None),
        )

    def _execute(self, *statements: Executable) -> int:
        """In one transaction. Returns how many rows the last one or two have changed, together."""
        engine = self.database.engine()
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                changed = [connection.execute(statement).rowcount for statement in statements]
                connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            raise self.database.explain(error) or error from error
        finally:
            engine.dispose()
        return sum(changed[-2:])

    def _get_file(self, program: str) -> Path:
        if self._file is None:
            raise OperatorNeeded(f"The tasks are in PostgreSQL, which has its own program for that: {program}.")
        return self._file
