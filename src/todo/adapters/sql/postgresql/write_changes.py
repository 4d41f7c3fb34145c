"""Writes changes of one person's tasks, as one statement whatever their number: one round trip, atomic by itself.

A single change has its values as parameters, which PostgreSQL plans best. Several come as JSON, an object for each
task, whose members are the columns of the table.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec.json import encode
from sqlalchemy.dialects.postgresql.base import PGDialect

from todo.adapters.sql.database import KeyRow, Kind, RowChange
from todo.adapters.sql.postgresql.connection import PreparedStatement
from todo.adapters.sql.tables import CHANGING, tasks

_TYPES: Final[Mapping[str, type]] = {column.name: column.type.python_type for column in tasks.c} | {
    "key": str,
    "request_digest": bytes,
    "expired": datetime,
    "number": int,
    "added": str,
    "saved": str,
    "removed": str,
}
_NAMES = ", ".join(column.name for column in tasks.c)


class _Named:
    """A statement with named parameters, which are written ``:name``."""

    def __init__(self, text: str) -> None:
        names = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", text)))
        numbered = re.sub(r"(?<!:):(\w+)", lambda match: f"${names.index(match[1]) + 1}", text)
        self._statement = PreparedStatement(numbered, *(_TYPES[name] for name in names))
        self._names = names

    def fill(self, values: Mapping[str, Any]) -> tuple[PreparedStatement, Sequence[Any]]:
        return self._statement, [values[name] for name in self._names]


# A person's first change inserts their row; every other one counts its revision up.
_COUNT = "ON CONFLICT (id) DO UPDATE SET revision = users.revision + 1 RETURNING revision"
_ADDED = f"INSERT INTO tasks ({_NAMES}) SELECT {', '.join(f':{column.name}' for column in tasks.c)} FROM owner"
_ADDED = _ADDED.replace(":revision", "owner.revision") + " RETURNING revision"

_ADD = _Named(f"WITH owner AS (INSERT INTO users (id, epoch, revision) VALUES (:user_id, :id, 1) {_COUNT}) {_ADDED}")

# A key's row is updated even when it stays as it is: only then does RETURNING see a row that another statement has
# just inserted, and wait for that one to end. Keys that another statement is sweeping are left to it.
_KEEP_UNLESS_EXPIRED = ", ".join(
    f"{name} = CASE WHEN old.created_at <= :expired THEN excluded.{name} ELSE old.{name} END"
    for name in ("request_digest", "task_id", "created_at")
)
_ADD_ONCE = _Named(
    f"""
WITH swept AS (
  DELETE FROM idempotency_keys WHERE user_id = :user_id AND key IN (
    SELECT key FROM idempotency_keys
    WHERE user_id = :user_id AND key <> :key AND created_at <= :expired FOR UPDATE SKIP LOCKED
  )
),
claimed AS (
  INSERT INTO idempotency_keys AS old (user_id, key, request_digest, task_id, created_at)
  VALUES (:user_id, :key, :request_digest, :id, :created_at)
  ON CONFLICT (user_id, key) DO UPDATE SET {_KEEP_UNLESS_EXPIRED}
  RETURNING task_id, request_digest
),
owner AS (
  INSERT INTO users (id, epoch, revision) SELECT :user_id, :id, 1 FROM claimed WHERE task_id = :id {_COUNT}
),
task AS ({_ADDED})
SELECT task_id, request_digest, revision FROM claimed LEFT JOIN task ON true
"""
)

# FOR UPDATE waits for another change of the task and then sees what that made of it. So a task is locked before its
# owner is counted: a statement that waited for the owner would go on with the task as it saw it before.
_COUNT_IF_CURRENT = """
WITH locked AS (
  SELECT user_id FROM tasks WHERE user_id = :user_id AND id = :id AND revision = :revision FOR UPDATE
),
owner AS (
  UPDATE users SET revision = revision + 1 WHERE id = (SELECT user_id FROM locked) RETURNING revision
)"""
_SINGLE: Final[Mapping[Kind, _Named]] = {
    "add": _ADD,
    "save": _Named(
        f"{_COUNT_IF_CURRENT} UPDATE tasks SET {', '.join(f'{name} = :{name}' for name in CHANGING)},"
        " revision = owner.revision FROM owner WHERE user_id = :user_id AND tasks.id = :id RETURNING tasks.revision"
    ),
    "remove": _Named(
        f"{_COUNT_IF_CURRENT} DELETE FROM tasks USING owner WHERE user_id = :user_id AND tasks.id = :id"
        " RETURNING owner.revision"
    ),
}

_dialect = PGDialect()  # type: ignore[no-untyped-call] # of SQLAlchemy
_COLUMNS = ", ".join(f"{column.name} {column.type.compile(_dialect)}" for column in tasks.c)
_ROWS = f'jsonb_to_recordset(CAST({{parameter}} AS jsonb)) AS given("position" bigint, {_COLUMNS})'
_NEW_REVISION = 'owner.revision - :number + "position"'

# As above, with the tasks locked in the order of their ids; LATERAL makes that a look-up by key for each.
_SEVERAL = _Named(
    f"""
WITH added AS (SELECT * FROM {_ROWS.format(parameter=":added")}),
saved AS (SELECT * FROM {_ROWS.format(parameter=":saved")}),
removed AS (SELECT * FROM {_ROWS.format(parameter=":removed")}),
known AS (SELECT id, revision FROM saved UNION ALL SELECT id, revision FROM removed),
locked AS (
  SELECT count(*) AS number FROM (SELECT * FROM known ORDER BY id) AS sorted, LATERAL (
    SELECT 1 FROM tasks WHERE user_id = :user_id AND id = sorted.id AND revision = sorted.revision FOR UPDATE
  ) AS current
),
owner AS (
  INSERT INTO users (id, epoch, revision)
  SELECT :user_id, coalesce((SELECT id FROM added ORDER BY "position" LIMIT 1), (SELECT id FROM known LIMIT 1)), :number
  FROM locked WHERE locked.number = (SELECT count(*) FROM known)
  ON CONFLICT (id) DO UPDATE SET revision = users.revision + :number RETURNING revision
),
add_tasks AS (
  INSERT INTO tasks ({_NAMES}) SELECT {_NAMES.replace("revision", _NEW_REVISION)} FROM added, owner
),
save_tasks AS (
  UPDATE tasks SET revision = {_NEW_REVISION}, {", ".join(f"{name} = saved.{name}" for name in CHANGING)}
  FROM saved, owner WHERE tasks.user_id = :user_id AND tasks.id = saved.id
),
remove_tasks AS (
  DELETE FROM tasks USING removed, owner WHERE tasks.user_id = :user_id AND tasks.id = removed.id
)
SELECT revision FROM owner
"""
)

ERASE = PreparedStatement(
    """
WITH counted AS (SELECT count(*) AS number FROM tasks WHERE user_id = $1)
DELETE FROM users WHERE id = $1 RETURNING (SELECT number FROM counted)
""",
    str,
)


def combine_changes(
    owner: str, changes: Sequence[RowChange], key: KeyRow | None
) -> tuple[PreparedStatement, Sequence[Any]]:
    """The statement, whose row is that of ``Database.change``, and its parameters."""
    if len(changes) == 1:
        kind, row = changes[0]
        return _SINGLE[kind].fill(row) if key is None else _ADD_ONCE.fill({**row, **key._asdict()})
    rows: dict[Kind, list[Mapping[str, Any]]] = {"add": [], "save": [], "remove": []}
    for position, (kind, row) in enumerate(changes, 1):
        rows[kind].append({"position": position, **row})
    documents = {"added": rows["add"], "saved": rows["save"], "removed": rows["remove"]}
    values = {name: encode(document).decode() for name, document in documents.items()}
    return _SEVERAL.fill({"user_id": owner, "number": len(changes), **values})
