"""Writes changes of one person's tasks, as one statement whatever their number: one round trip, atomic by itself.

A single change has its values as parameters, which PostgreSQL plans best. Several come as JSON, an object for each
task, whose members are the columns of the table.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec.json import encode
from sqlalchemy.dialects.postgresql.base import PGDialect

from todo.adapters.sql.database import KeyRow, Kind, RowChange
from todo.adapters.sql.postgresql.connection import PreparedStatement
from todo.adapters.sql.tables import CHANGING, removed_tasks, tasks

_TYPES: Final[Mapping[str, type]] = {
    column.name: column.type.python_type for table in (removed_tasks, tasks) for column in table.c
} | {
    "key": str,
    "request_digest": bytes,
    "expired": datetime,
    "content_expired": datetime,
    "removal_expired": datetime,
    "number": int,
    "added": str,
    "saved": str,
    "removed": str,
    "restored": str,
    "note": str,
    "used_at": datetime,
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
    for name in ("request_digest", "task_id", "created_at", "note")
)
_SWEPT_KEYS = """
swept_keys AS (
  DELETE FROM idempotency_keys WHERE user_id = :user_id AND key IN (
    SELECT key FROM idempotency_keys
    WHERE user_id = :user_id AND key <> :key AND created_at <= :expired FOR UPDATE SKIP LOCKED
  )
)"""
_ADD_ONCE = _Named(
    f"""
WITH {_SWEPT_KEYS},
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

# What has to be forgotten by the time of a removal. The first is part of the statement that counts the owner.
_FORGOTTEN = """greatest(users.forgotten, (
    SELECT max(revision) FROM removed_tasks WHERE user_id = :user_id AND removed_at <= :removal_expired
  ))"""
_FORGET = """
swept AS (
  DELETE FROM removed_tasks USING owner WHERE user_id = :user_id AND removed_at <= :removal_expired
),
emptied AS (
  UPDATE removed_tasks SET content = NULL FROM owner WHERE user_id = :user_id AND content IS NOT NULL
  AND removed_at <= :content_expired AND removed_at > :removal_expired
)"""
_BURY = """ON CONFLICT (user_id, id) DO UPDATE
  SET revision = excluded.revision, removed_at = excluded.removed_at, content = excluded.content"""

# FOR UPDATE waits for another change of the task and then sees what that made of it. So a task is locked before its
# owner is counted: a statement that waited for the owner would go on with the task as it saw it before.
_LOCKED = """
WITH locked AS (
  SELECT user_id FROM tasks WHERE user_id = :user_id AND id = :id AND revision = :revision FOR UPDATE
)"""
_LOCKED_REMOVAL = """
WITH locked AS (
  SELECT user_id FROM removed_tasks
  WHERE user_id = :user_id AND id = :id AND revision = :revision AND content IS NOT NULL FOR UPDATE
)"""
_OWNER = """owner AS (
  UPDATE users SET revision = revision + 1{more} WHERE id = :user_id AND EXISTS (SELECT FROM locked) RETURNING revision
)"""
_COUNTED = _OWNER.format(more="")
_SINGLE: Final[Mapping[Kind, _Named]] = {
    "add": _ADD,
    "save": _Named(
        f"{_LOCKED}, {_COUNTED} UPDATE tasks SET {', '.join(f'{name} = :{name}' for name in CHANGING)},"
        " revision = owner.revision FROM owner WHERE user_id = :user_id AND tasks.id = :id RETURNING tasks.revision"
    ),
    "remove": _Named(
        f"{_LOCKED}, {_OWNER.format(more=f', forgotten = {_FORGOTTEN}')}, {_FORGET},"
        " removed AS (DELETE FROM tasks USING owner WHERE user_id = :user_id AND tasks.id = :id)"
        " INSERT INTO removed_tasks (user_id, id, revision, removed_at, content)"
        f" SELECT :user_id, :id, owner.revision, :removed_at, :content FROM owner {_BURY} RETURNING revision"
    ),
    "restore": _Named(
        f"{_LOCKED_REMOVAL}, {_COUNTED},"
        " unearthed AS (DELETE FROM removed_tasks USING owner WHERE user_id = :user_id AND removed_tasks.id = :id)"
        f" {_ADDED}"
    ),
}

_dialect = PGDialect()  # type: ignore[no-untyped-call] # of SQLAlchemy
_COLUMNS = ", ".join(
    f"{column.name} {column.type.compile(_dialect)}"
    for column in (*tasks.c, removed_tasks.c.removed_at, removed_tasks.c.content)
)
_ROWS = f'jsonb_to_recordset(CAST({{parameter}} AS jsonb)) AS given("position" bigint, {_COLUMNS})'
_NEW_REVISION = 'owner.revision - :number + "position"'
_ADDED_TASKS = f"INSERT INTO tasks ({_NAMES}) SELECT {_NAMES.replace('revision', _NEW_REVISION)} FROM"

# As above, with tasks and removals locked in the order of their ids; LATERAL makes that a look-up by key for each.
_ARE_CURRENT = """FROM locked, locked_removals WHERE locked.number = (SELECT count(*) FROM known)
  AND locked_removals.number = (SELECT count(*) FROM restored)"""
_SEVERAL = f"""
WITH added AS (SELECT * FROM {_ROWS.format(parameter=":added")}),
saved AS (SELECT * FROM {_ROWS.format(parameter=":saved")}),
removed AS (SELECT * FROM {_ROWS.format(parameter=":removed")}),
restored AS (SELECT * FROM {_ROWS.format(parameter=":restored")}),
known AS (SELECT id, revision FROM saved UNION ALL SELECT id, revision FROM removed),
locked AS (
  SELECT count(*) AS number FROM (SELECT * FROM known ORDER BY id) AS sorted, LATERAL (
    SELECT 1 FROM tasks WHERE user_id = :user_id AND id = sorted.id AND revision = sorted.revision FOR UPDATE
  ) AS current
),
locked_removals AS (
  SELECT count(*) AS number FROM locked, LATERAL (
    SELECT * FROM restored WHERE locked.number >= 0 ORDER BY id
  ) AS sorted, LATERAL (
    SELECT 1 FROM removed_tasks
    WHERE user_id = :user_id AND id = sorted.id AND revision = sorted.revision AND content IS NOT NULL FOR UPDATE
  ) AS current
),
{{claimed}}owner AS (
  INSERT INTO users (id, epoch, revision)
  SELECT :user_id, coalesce((SELECT id FROM added ORDER BY "position" LIMIT 1), (SELECT id FROM known LIMIT 1),
    (SELECT id FROM restored LIMIT 1)), :number
  {{condition}}
  ON CONFLICT (id) DO UPDATE SET revision = users.revision + :number, forgotten = {_FORGOTTEN} RETURNING revision
),
{_FORGET},
add_tasks AS ({_ADDED_TASKS} added, owner),
restore_tasks AS ({_ADDED_TASKS} restored, owner),
unearth AS (
  DELETE FROM removed_tasks USING restored, owner WHERE removed_tasks.user_id = :user_id
  AND removed_tasks.id = restored.id
),
save_tasks AS (
  UPDATE tasks SET revision = {_NEW_REVISION}, {", ".join(f"{name} = saved.{name}" for name in CHANGING)}
  FROM saved, owner WHERE tasks.user_id = :user_id AND tasks.id = saved.id
),
remove_tasks AS (
  DELETE FROM tasks USING removed, owner WHERE tasks.user_id = :user_id AND tasks.id = removed.id
),
bury AS (
  INSERT INTO removed_tasks (user_id, id, revision, removed_at, content)
  SELECT :user_id, id, {_NEW_REVISION}, removed_at, content FROM removed, owner {_BURY}
)
SELECT revision FROM owner
"""
_CLAIMED = f"""{_SWEPT_KEYS},
claimed AS (
  INSERT INTO idempotency_keys AS old (user_id, key, request_digest, task_id, created_at, note)
  SELECT :user_id, :key, :request_digest, :id, :used_at, :note {_ARE_CURRENT}
  ON CONFLICT (user_id, key) DO UPDATE SET request_digest = excluded.request_digest, task_id = excluded.task_id,
    created_at = excluded.created_at, note = excluded.note
  WHERE old.created_at <= :expired RETURNING key
),
"""
_SEVERAL_ONCE = _Named(_SEVERAL.format(claimed=_CLAIMED, condition="FROM claimed"))
_SEVERAL_ALWAYS = _Named(_SEVERAL.format(claimed="", condition=_ARE_CURRENT))

PURGE = PreparedStatement("UPDATE removed_tasks SET content = NULL WHERE user_id = $1 AND id = $2", str, UUID)
PURGE_ALL = PreparedStatement(
    """
WITH locked AS (SELECT id FROM removed_tasks WHERE user_id = $1 AND content IS NOT NULL ORDER BY id FOR UPDATE)
UPDATE removed_tasks SET content = NULL FROM locked WHERE user_id = $1 AND removed_tasks.id = locked.id
""",
    str,
)

ERASE = PreparedStatement(
    """
WITH counted AS (SELECT count(*) AS number FROM tasks WHERE user_id = $1)
DELETE FROM users WHERE id = $1 RETURNING (SELECT number FROM counted)
""",
    str,
)


_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)


def combine_changes(
    owner: str, changes: Sequence[RowChange], key: KeyRow | None
) -> tuple[PreparedStatement, Sequence[Any]]:
    """The statement, whose row is that of ``Database.change``, and its parameters."""
    if len(changes) == 1 and (key is None or key.note is None):
        kind, row = changes[0]
        return _SINGLE[kind].fill(row) if key is None else _ADD_ONCE.fill({**row, **key._asdict()})
    rows: dict[Kind, list[Mapping[str, Any]]] = {"add": [], "save": [], "remove": [], "restore": []}
    expired = {"content_expired": _BEFORE_ALL, "removal_expired": _BEFORE_ALL}
    for position, (kind, row) in enumerate(changes, 1):
        rows[kind].append({"position": position, **row})
        expired = {name: row.get(name, time) for name, time in expired.items()}
    documents = {
        "added": rows["add"],
        "saved": rows["save"],
        "removed": rows["remove"],
        "restored": rows["restore"],
    }
    values = {name: encode(document).decode() for name, document in documents.items()}
    given = {"user_id": owner, "number": len(changes), **expired, **values}
    if key is None:
        return _SEVERAL_ALWAYS.fill(given)
    return _SEVERAL_ONCE.fill({**given, **key._asdict(), "id": changes[0].row["id"]})
