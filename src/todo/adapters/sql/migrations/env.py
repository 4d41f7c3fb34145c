"""Run by Alembic for every command: connects, takes the lock, migrates."""

import time
from typing import cast

from advanced_alchemy.alembic.commands import AlembicCommandConfig
from alembic import context
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from todo.adapters.sql.sqlite.threads import BUSY_TIMEOUT
from todo.adapters.sql.tables import SCHEMA_VERSION, metadata
from todo.domain.refusals import OperatorNeeded

# Any number that nobody else uses in this database.
LOCK = 7_083_691_042

config = cast(AlembicCommandConfig, context.config)


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=config.version_table_name,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            encoding = connection.execute(text("SHOW server_encoding")).scalar()
            if encoding != "UTF8":
                raise OperatorNeeded(f"The database's encoding is {encoding}; create one with the encoding UTF8.")
            # Ends with the transaction, so it works through a transaction pooler, where a session lock would stay.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        else:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")  # batch mode drops and recreates tables
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if max(context.get_context().get_current_heads(), default="") <= SCHEMA_VERSION:
            context.run_migrations()


def use_write_ahead_log(connection: Connection) -> None:
    """Lets processes read while another writes. The file remembers it."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except OperationalError:
            # The one thing for which SQLite does not wait for other processes by itself.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


engine = cast(Engine, config.engine)
if engine.dialect.name == "sqlite":
    with engine.connect() as connection:
        use_write_ahead_log(connection)
# SQLite's driver stays in AUTOCOMMIT, where BEGIN IMMEDIATE is ours to send.
level = "READ COMMITTED" if engine.dialect.name == "postgresql" else "AUTOCOMMIT"
with engine.execution_options(isolation_level=level).connect() as connection:
    migrate(connection)
