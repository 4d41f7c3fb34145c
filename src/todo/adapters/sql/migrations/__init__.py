"""The schema's history, run by Alembic. Migrations only add, so that an older server keeps working meanwhile."""

import asyncio
from pathlib import Path

from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicAsyncConfig, SQLAlchemyAsyncConfig
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from todo.adapters.sql.database import translated_errors
from todo.adapters.sql.tables import VERSION_TABLE
from todo.domain.refusals import Unavailable


async def upgrade(engine: AsyncEngine) -> None:
    """Brings the schema up to date, in one transaction. Any number of processes may do so at once.

    Disposes of the engine. Raises Unavailable; a schema that is newer than this program is left as it is.
    """
    alembic = AlembicAsyncConfig(
        script_config="",  # else Alembic reads an alembic.ini of the folder it is started in
        script_location=str(Path(__file__).parent).replace("%", "%%"),
        version_table_name=VERSION_TABLE,
    )
    commands = AlembicCommands(SQLAlchemyAsyncConfig(engine_instance=engine, alembic_config=alembic))
    try:
        async with translated_errors():
            # In a thread, for env.py runs an event loop of its own.
            await asyncio.to_thread(commands.upgrade)
    except DBAPIError as error:
        raise Unavailable("The database refused the upgrade, and is as it was before.") from error
