"""The tables. The migrations make them; a test compares the two."""

from datetime import UTC, datetime

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

from todo.domain.task import TITLE_LENGTH, USER_ID_LENGTH

SCHEMA_VERSION = "0002"
"""The newest migration's name. Names sort in the order in which migrations run."""

VERSION_TABLE = "schema_version"

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


class _WithoutZone(TypeDecorator[datetime]):
    """Aware and in UTC, though SQLite keeps no zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy gives it
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy gives it
        return None if value is None else value.replace(tzinfo=UTC)


UtcDateTime = DateTime(timezone=True).with_variant(_WithoutZone, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", String(USER_ID_LENGTH), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    # The title casefolded by Python: neither database folds case as Unicode says, nor as the other does.
    Column("title_folded", Text, nullable=False),
    Column("completed", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint(f"length(title) BETWEEN 1 AND {TITLE_LENGTH}", name="title_length"),
    Index("tasks_in_list_order", "user_id", "created_at", "id"),
    Index("tasks_of_a_state_in_list_order", "user_id", "completed", "created_at", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    # Deferred: the key is claimed before its owner's row is there.
    Column(
        "user_id",
        ForeignKey(users.c.id, ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        primary_key=True,
    ),
    Column("key", String(255), primary_key=True),
    Column("title_digest", LargeBinary(32), nullable=False),
    # No foreign key: the key outlives the task, lest a repeat make a second one.
    Column("task_id", Uuid, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
