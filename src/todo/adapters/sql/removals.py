"""Removed tasks: what is kept of them, and the statements that read it."""

from functools import partial
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Integer, Select, bindparam, cast, null, select, union_all
from sqlalchemy.sql.elements import Label

from todo.adapters.sql.compiled import is_one_of
from todo.adapters.sql.tables import TASK_COLUMNS, removed_tasks, tasks, users
from todo.domain.task import FIELDS, Task, get_task_types

_DEFAULTS = {
    field.name: msgspec.field(default_factory=partial(field.rule.default, field.name))
    for field in FIELDS
    if not field.rule.is_required
}

# What was removed before a field existed is read as a task that does not have it.
_Content = msgspec.defstruct(
    "_Content",
    [(name, kind, _DEFAULTS[name]) if name in _DEFAULTS else (name, kind) for name, kind in get_task_types().items()],
    kw_only=True,
)
_decoder = msgspec.json.Decoder(_Content)


def encode_content(task: Task) -> str:
    return msgspec.json.encode(_Content(**task._asdict())).decode()


def decode_content(content: str, revision: int) -> Task:
    return Task(**msgspec.structs.asdict(_decoder.decode(content)))._replace(revision=revision)


_KEPT: tuple[ColumnElement[bool], ...] = (
    removed_tasks.c.content.is_not(None),
    removed_tasks.c.removed_at > bindparam("kept_since", type_=removed_tasks.c.removed_at.type),
)
_OWNERS = removed_tasks.c.user_id == bindparam("owner")
_LIMIT = bindparam("limit", type_=Integer)

REMOVED_COLUMNS = (removed_tasks.c.content, removed_tasks.c.revision, removed_tasks.c.removed_at)

FIND_REMOVED = select(removed_tasks.c.id, *REMOVED_COLUMNS).where(_OWNERS, is_one_of(removed_tasks.c.id))
FIND_OTHERS = union_all(
    select(tasks.c.id).where(is_one_of(tasks.c.id), tasks.c.user_id != bindparam("owner")),
    select(removed_tasks.c.id).where(
        is_one_of(removed_tasks.c.id), removed_tasks.c.user_id != bindparam("owner"), *_KEPT
    ),
).subquery()
GET_REMOVED = select(*REMOVED_COLUMNS).where(_OWNERS, removed_tasks.c.id == bindparam("id"), *_KEPT)
GET_REMOVER = select(removed_tasks.c.user_id).where(removed_tasks.c.id == bindparam("id"), *_KEPT)
TRASH = (
    select(*REMOVED_COLUMNS)
    .where(_OWNERS, removed_tasks.c.revision < bindparam("before", type_=BigInteger), *_KEPT)
    .order_by(removed_tasks.c.revision.desc())
    .limit(_LIMIT)
)

VERSION_AND_FORGOTTEN = select(users.c.epoch.label("id"), users.c.revision, users.c.forgotten).where(
    users.c.id == bindparam("owner")
)


def _missing(column: ColumnElement[Any]) -> Label[Any]:
    return cast(null(), column.type).label(column.key)


def _select_changes() -> Select[Any]:
    """Tasks and removals as rows of one kind: of a removal, all but the id and the revision is null."""
    forgotten = _missing(users.c.forgotten)
    parts = [
        select(*TASK_COLUMNS, tasks.c.revision.label("position"), forgotten)
        .where(tasks.c.user_id == bindparam("owner"), tasks.c.revision > bindparam("since", type_=BigInteger))
        .order_by(tasks.c.revision)
        .limit(_LIMIT),
        select(
            *(
                removed_tasks.c[column.key] if column.key in ("id", "revision") else _missing(column)
                for column in TASK_COLUMNS
            ),
            removed_tasks.c.revision.label("position"),
            forgotten,
        )
        .where(_OWNERS, removed_tasks.c.revision > bindparam("removed_since", type_=BigInteger))
        .order_by(removed_tasks.c.revision)
        .limit(_LIMIT),
    ]
    both = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(both).order_by(both.c.position).limit(_LIMIT)


CHANGES = _select_changes()
