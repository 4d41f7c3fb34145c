"""The schema's history, run by Alembic. Migrations only add, so that an older server keeps working meanwhile."""

from pathlib import Path

from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicSyncConfig, SQLAlchemySyncConfig
from sqlalchemy.exc import DBAPIError

from todo.adapters.sql.database import Database
from todo.adapters.sql.tables import VERSION_TABLE
from todo.domain.refusals import OperatorNeeded, Refusal


def upgrade(database: Database, partitions: int = 0) -> None:
    """Brings the schema up to date, in one transaction. A schema that is newer than this program is left alone.

    With ``partitions``, which only PostgreSQL has, tables that are made have that many hash partitions by user.

    A second process that starts at the same time waits for the lock and then finds nothing to do.
    Raises Unavailable, OperatorNeeded.
    """
    engine = database.engine().execution_options(partitions=partitions)
    alembic = AlembicSyncConfig(
        script_config="",  # else Alembic reads an alembic.ini of the folder it is started in
        script_location=str(Path(__file__).parent).replace("%", "%%"),
        version_table_name=VERSION_TABLE,
    )
    commands = AlembicCommands(SQLAlchemySyncConfig(engine_instance=engine, alembic_config=alembic))
    try:
        commands.upgrade()
    except Refusal:
        raise
    except Exception as error:
        meaning = database.explain(error)
        if meaning is None and isinstance(error, DBAPIError):
            meaning = OperatorNeeded("The database refused the upgrade, and is as it was before.")
        if meaning is None:
            raise
        raise meaning from error
    finally:
        engine.dispose()
