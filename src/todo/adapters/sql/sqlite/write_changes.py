"""Writes changes of one person's tasks, step by step: the transaction is the caller's, and round trips cost nothing."""

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from msgspec.json import encode

from todo.adapters.sql.compiled import Row
from todo.adapters.sql.database import KeyRow, Kind, RowChange
from todo.adapters.sql.tables import CHANGING, removed_tasks, tasks


def _format_time(time: datetime) -> str:
    """Of an aware time in UTC, as SQLAlchemy's type stores it."""
    return time.isoformat(" ", "microseconds")[:26]


_TYPES = {column.name: column.type.python_type for table in (removed_tasks, tasks) for column in table.c} | {
    "expired": datetime,
    "content_expired": datetime,
    "removal_expired": datetime,
    "used_at": datetime,
}
_CONVERTERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    UUID: attrgetter("hex"),
    datetime: _format_time,
    list: lambda value: encode(value).decode(),
}


class _Named:
    """A statement with named parameters, which are written ``:name``."""

    def __init__(self, text: str) -> None:
        names = re.findall(r":(\w+)", text)
        self._text = re.sub(r":\w+", "?", text)
        self._parameters = [(name, _CONVERTERS.get(_TYPES.get(name, object))) for name in names]

    def run(self, connection: sqlite3.Connection, row: Mapping[str, Any]) -> Sequence[Row]:
        values = [
            convert(value) if convert is not None and (value := row[name]) is not None else row[name]
            for name, convert in self._parameters
        ]
        # To its end: a statement that returns rows is only half executed before.
        return connection.execute(self._text, values).fetchall()


_NAMES = [column.name for column in tasks.c]
# A person's first change inserts their row; every other one counts its revision up.
_ADD_OR_COUNT = _Named(
    "INSERT INTO users (id, epoch, revision) VALUES (:user_id, :id, 1)"
    " ON CONFLICT (id) DO UPDATE SET revision = revision + 1 RETURNING revision"
)
_COUNT_IF_CURRENT = _Named(
    "UPDATE users SET revision = revision + 1 WHERE id = :user_id AND EXISTS"
    " (SELECT 1 FROM tasks WHERE user_id = :user_id AND id = :id AND revision = :revision) RETURNING revision"
)
_COUNT_IF_RESTORABLE = _Named(
    "UPDATE users SET revision = revision + 1 WHERE id = :user_id AND EXISTS"
    " (SELECT 1 FROM removed_tasks WHERE user_id = :user_id AND id = :id AND revision = :revision"
    " AND content IS NOT NULL) RETURNING revision"
)
_COUNT: Final[Mapping[Kind, _Named]] = {
    "add": _ADD_OR_COUNT,
    "save": _COUNT_IF_CURRENT,
    "remove": _COUNT_IF_CURRENT,
    "restore": _COUNT_IF_RESTORABLE,
}
_ADD = _Named(f"INSERT INTO tasks ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)})")
_MAKE: Final[Mapping[Kind, Sequence[_Named]]] = {
    "add": [_ADD],
    "save": [
        _Named(
            f"UPDATE tasks SET revision = :revision, {', '.join(f'{name} = :{name}' for name in CHANGING)}"
            " WHERE user_id = :user_id AND id = :id"
        )
    ],
    "remove": [
        _Named(
            "UPDATE users SET forgotten = max(forgotten, coalesce((SELECT max(revision) FROM removed_tasks"
            " WHERE user_id = :user_id AND removed_at <= :removal_expired), 0)) WHERE id = :user_id"
        ),
        _Named("DELETE FROM removed_tasks WHERE user_id = :user_id AND removed_at <= :removal_expired"),
        _Named(
            "UPDATE removed_tasks SET content = NULL WHERE user_id = :user_id AND content IS NOT NULL"
            " AND removed_at <= :content_expired"
        ),
        _Named("DELETE FROM tasks WHERE user_id = :user_id AND id = :id"),
        _Named(
            "INSERT OR REPLACE INTO removed_tasks (user_id, id, revision, removed_at, content)"
            " VALUES (:user_id, :id, :revision, :removed_at, :content)"
        ),
    ],
    "restore": [_Named("DELETE FROM removed_tasks WHERE user_id = :user_id AND id = :id"), _ADD],
}
_SWEEP_KEYS = _Named("DELETE FROM idempotency_keys WHERE user_id = :user_id AND created_at <= :expired")
_FIND_KEY = _Named("SELECT task_id, request_digest FROM idempotency_keys WHERE user_id = :user_id AND key = :key")
_ADD_KEY = _Named(
    "INSERT INTO idempotency_keys (user_id, key, request_digest, task_id, created_at, note)"
    " VALUES (:user_id, :key, :request_digest, :id, :used_at, :note)"
)


class TaskMovedOn(Exception):
    """One of several tasks is not at the revision at which it was read, or their key was used; the transaction has to
    be rolled back."""


def make_changes(connection: sqlite3.Connection, changes: Sequence[RowChange], key: KeyRow | None) -> Row | None:
    """The row of ``Database.change``. Raises TaskMovedOn."""
    if key is not None:
        row = changes[0].row
        given = {**row, **key._asdict(), "used_at": key.used_at or row["created_at"]}
        _SWEEP_KEYS.run(connection, given)
        for task_id, request_digest in _FIND_KEY.run(connection, given):
            if key.note is not None:
                raise TaskMovedOn
            return UUID(task_id), request_digest, None
        _ADD_KEY.run(connection, given)
        if key.note is None:
            return row["id"], key.request_digest, _make_change(connection, changes[0])
    revisions = []
    for change in changes:
        revision = _make_change(connection, change)
        if revision is None:
            if len(changes) == 1 and key is None:
                return None
            raise TaskMovedOn
        revisions.append(revision)
    return (revisions[-1],)


def purge(connection: sqlite3.Connection, owner: str, task_id: UUID | None) -> None:
    """As ``Database.purge``."""
    chosen, parameters = ("", [owner]) if task_id is None else (" AND id = ?", [owner, task_id.hex])
    connection.execute(f"UPDATE removed_tasks SET content = NULL WHERE user_id = ?{chosen}", parameters)


def erase(connection: sqlite3.Connection, owner: str) -> Row | None:
    """The row of ``Database.erase``. The foreign keys remove tasks and keys."""
    number: Row = connection.execute("SELECT count(*) FROM tasks WHERE user_id = ?", (owner,)).fetchone()
    return number if connection.execute("DELETE FROM users WHERE id = ?", (owner,)).rowcount else None


def _make_change(connection: sqlite3.Connection, change: RowChange) -> int | None:
    """Returns the new revision; None, and nothing is changed, if the task has moved on."""
    kind, row = change
    counted = _COUNT[kind].run(connection, row)
    if not counted:
        return None
    revision: int = counted[0][0]
    for statement in _MAKE[kind]:
        statement.run(connection, {**row, "revision": revision})
    return revision
