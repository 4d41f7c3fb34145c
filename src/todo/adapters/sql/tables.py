"""The tables. The migrations make them; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
)

from todo.domain.ports import fold
from todo.domain.task import USER_ID_LENGTH, Task

SCHEMA_VERSION = "0001"  # the newest migration's name. Names sort in the order in which migrations run

VERSION_TABLE = "schema_version"

# Added to all revisions when a backup is restored: more than anybody has used since it was made.
RESTORE_HEADROOM = 1_000_000

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


class _WithoutZone(TypeDecorator[datetime]):
    """Aware and in UTC in Python; SQLite stores no time zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else value.replace(tzinfo=UTC)


UtcDateTime = DateTime(timezone=True).with_variant(_WithoutZone, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", String(USER_ID_LENGTH), primary_key=True),
    # Another one begins when a person is erased and comes back: the id of their first task since.
    Column("epoch", Uuid, nullable=False),
    Column("revision", BigInteger, nullable=False),
    sqlite_with_rowid=False,  # the row is found in one tree, not in two
)

tasks = Table(
    "tasks",
    metadata,
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
    # The title folded by the domain: neither database does it as Unicode says, nor as the other does.
    Column("title_folded", Text, nullable=False),
    Column("notes", Text),
    Column("completed", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("length(title) BETWEEN 1 AND 500", name="title_length"),
    # To tell another person's task from one that does not exist.
    Index("tasks_by_id", "id"),
    Index("tasks_in_list_order", "user_id", "created_at", "id"),
    Index("tasks_by_state_in_list_order", "user_id", "completed", "created_at", "id"),
    Index("tasks_by_revision", "user_id", "revision"),
)

TASK_COLUMNS = tuple(tasks.c["user_id" if name == "owner" else name] for name in Task._fields)
"""In the order of the Task's fields."""

_ROW_NAMES = (*(column.name for column in TASK_COLUMNS), "title_folded")

CHANGING = [column.name for column in tasks.c if column.name not in ("user_id", "id", "created_at", "revision")]
"""The columns in which a saved task may differ from the one before."""


def make_row(task: Task) -> dict[str, Any]:
    """A task's values, by column."""
    return dict(zip(_ROW_NAMES, (*task, fold(task.title)), strict=True))


idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    # Deferred: the key is claimed before its owner's row exists.
    Column(
        "user_id",
        ForeignKey(users.c.id, ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        primary_key=True,
    ),
    Column("key", String(255), primary_key=True),
    Column("request_digest", LargeBinary(32), nullable=False),
    # No foreign key: the key outlives the task, or a repeat would make a second one.
    Column("task_id", Uuid, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)
