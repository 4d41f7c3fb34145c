"""The tables. The migrations make them; a test compares the two."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.json import Decoder, encode
from sqlalchemy import (
    ARRAY,
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
    text,
)

from todo.domain.fields import Due
from todo.domain.ports import fold, fold_labels
from todo.domain.task import NEVER_DUE, USER_ID_LENGTH, Task

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


class JsonText(TypeDecorator[Any]):
    """Values of one type, each as a JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._decode = Decoder(list[kind | None]).decode

    @property
    def python_type(self) -> type[str]:
        return str

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        return value if value is None or isinstance(value, str) else encode(value).decode()

    def decode_all(self, values: Iterable[str | None]) -> Sequence[Any]:
        """At once, which takes a third of the time."""
        decoded: Sequence[Any] = self._decode(f"[{','.join(value or 'null' for value in values)}]")
        return decoded


TextList = ARRAY(Text).with_variant(JsonText(list[str]), "sqlite")

# Compared byte by byte, whatever the database's collation.
PlainText = Text().with_variant(Text(collation="C"), "postgresql")

UtcDateTime = DateTime(timezone=True).with_variant(_WithoutZone, "sqlite")

users = Table(
    "users",
    metadata,
    Column("id", String(USER_ID_LENGTH), primary_key=True),
    # Another one begins when a person is erased and comes back: the id of their first task since.
    Column("epoch", Uuid, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False, server_default="0"),  # the last removal that is no longer known
    sqlite_with_rowid=False,  # the row is found in one tree, not in two
)


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


tasks = Table(
    "tasks",
    metadata,
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("title", Text, nullable=False),
    Column("notes", Text),
    Column("due", JsonText(Due)),
    Column("priority", Text),
    Column("labels", TextList, nullable=False),
    Column("completed", Boolean, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # What follows is derived from the columns above, by the domain's rules: neither database folds text as Unicode
    # says, nor as the other does.
    Column("search_text", Text, nullable=False),
    Column("due_order", PlainText, nullable=False, server_default=NEVER_DUE),
    Column("labels_folded", Text),
    CheckConstraint("length(title) BETWEEN 1 AND 500", name="title_length"),
    # To tell another person's task from one that does not exist.
    Index("tasks_by_id", "id"),
    Index("tasks_in_list_order", "user_id", "created_at", "id"),
    Index("tasks_by_state_in_list_order", "user_id", "completed", "created_at", "id"),
    Index("tasks_by_revision", "user_id", "revision"),
    # Partial, so that tasks without the field cost nothing.
    Index(
        "tasks_by_due",
        *("user_id", "due_order", text("created_at DESC"), text("id DESC")),
        **_where("due IS NOT NULL"),
    ),
    Index("tasks_by_priority", "user_id", "priority", "created_at", "id", **_where("priority IS NOT NULL")),
    Index("tasks_with_labels", "user_id", "created_at", "id", **_where("labels_folded IS NOT NULL")),
)

TASK_COLUMNS = tuple(tasks.c["user_id" if name == "owner" else name] for name in Task._fields)
"""In the order of the Task's fields."""

_TASK_NAMES = [column.name for column in TASK_COLUMNS]

CHANGING = [column.name for column in tasks.c if column.name not in ("user_id", "id", "created_at", "revision")]
"""The columns in which a saved task may differ from the one before."""

# Between what is searched or compared one by one. No field can contain it, and no search ask for it.
SEPARATOR = "\x1f"


def make_row(task: Task) -> dict[str, Any]:
    """A task's values, by column."""
    row = dict(zip(_TASK_NAMES, task, strict=True))
    row["due"] = None if task.due is None else encode(task.due).decode()
    row["search_text"] = fold(task.title) if task.notes is None else SEPARATOR.join(map(fold, (task.title, task.notes)))
    row["due_order"] = task.due_order
    row["labels_folded"] = join_labels(fold_labels(task.labels)) if task.labels else None
    return row


def join_labels(folded: Iterable[str], between: str = "") -> str:
    """Each between two separators, so that one is never found inside another."""
    return between.join(f"{SEPARATOR}{label}{SEPARATOR}" for label in folded)


removed_tasks = Table(
    "removed_tasks",
    metadata,
    Column("user_id", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # of the removal
    Column("removed_at", UtcDateTime, nullable=False),
    Column("content", Text),  # the task as JSON, until the trash forgets it
    # To tell another person's removed task from one that does not exist.
    Index("removed_tasks_by_id", "id"),
    Index("removed_tasks_by_revision", "user_id", "revision"),
    Index("removed_tasks_by_time", "user_id", "removed_at"),
)

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
    Column("note", Text),  # of a batch: what became of its operations; its task_id means nothing
    sqlite_with_rowid=False,
)
