"""The changes that the store makes, as chains of statements.

Locks are taken in one order, a task's row before its owner's, so that no two changes wait for each other in a
circle. The owner's revision moves only once it is certain that something changes, and its row stays locked
until that is visible: commit order is revision order.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BindParameter,
    Column,
    FromClause,
    Integer,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    update,
)

from todo.adapters.sql.chain import Chain
from todo.adapters.sql.statements import Statement
from todo.adapters.sql.tables import idempotency_keys as keys
from todo.adapters.sql.tables import tasks, users

if TYPE_CHECKING:  # each is loaded by who works on that database
    from sqlalchemy.dialects import postgresql, sqlite

Insert = Callable[[Table], "postgresql.Insert | sqlite.Insert"]
"""See ``Database.insert``."""
Sources = Mapping[str, FromClause]


def parameter(name: str) -> str:
    """What a chain calls it: apart from the columns, whose names SQLAlchemy keeps for itself."""
    return f"given_{name}"


def _given(column: Column[Any], name: str | None = None) -> BindParameter[Any]:
    return bindparam(parameter(name or column.name), type_=column.type)


_task_id = _given(tasks.c.id, "task_id")
_ONE = literal_column("1", Integer)
"""In the statement's text. As a parameter it would be sent each time."""


def adding(insert: Insert) -> Chain:
    """Wants the columns of ``tasks``, its id as ``task_id``. Returns the ``revision``."""

    def owner(_: Sources) -> Statement:
        first = insert(users).values(id=_given(tasks.c.user_id), revision=_ONE, created_at=_given(users.c.created_at))
        return _or_count(first)

    return {"owner": owner, "task": _insert_task}


def adding_once(insert: Insert) -> Chain:
    """Wants, besides, the columns of ``idempotency_keys``, and ``expired``: keys that are no younger are forgotten.

    Returns ``task_id`` and ``title_digest`` of what the key led to, and a ``revision`` if that was added just now.
    """

    def swept(_: Sources) -> Statement:
        """Forgotten keys of this person, but the one at hand, and but those that another statement is at."""
        forgotten = (
            select(keys.c.key)
            .where(keys.c.user_id == _given(keys.c.user_id))
            .where(keys.c.key != _given(keys.c.key), keys.c.created_at <= _given(keys.c.created_at, "expired"))
            .with_for_update(skip_locked=True)
        )
        return delete(keys).where(keys.c.user_id == _given(keys.c.user_id), keys.c.key.in_(forgotten))

    def claim(_: Sources) -> Statement:
        mine = insert(keys).values({column: _given(column) for column in keys.c})
        is_forgotten = keys.c.created_at <= _given(keys.c.created_at, "expired")
        # Updated even when it stays as it is: only then does RETURNING see a row that another statement has just
        # inserted, and wait for that one to end.
        kept_or_mine = {
            column.name: case((is_forgotten, mine.excluded[column.name]), else_=column)
            for column in (keys.c.title_digest, keys.c.task_id, keys.c.created_at)
        }
        return mine.on_conflict_do_update(index_elements=list(keys.primary_key), set_=kept_or_mine).returning(
            keys.c.task_id, keys.c.title_digest
        )

    def owner(sources: Sources) -> Statement:
        claimed = sources["claim"]
        first = (
            select(_given(tasks.c.user_id), _ONE, _given(users.c.created_at))
            .select_from(claimed)
            .where(claimed.c.task_id == _task_id)
        )
        return _or_count(insert(users).from_select([users.c.id, users.c.revision, users.c.created_at], first))

    def outcome(sources: Sources) -> Statement:
        claimed, task = sources["claim"], sources["task"]
        return select(claimed.c.task_id, claimed.c.title_digest, task.c.revision).select_from(
            claimed.outerjoin(task, true())
        )

    return {"swept": swept, "claim": claim, "owner": owner, "task": _insert_task, "outcome": outcome}


def saving() -> Chain:
    """Wants the columns of ``tasks`` as they are to be, but ``revision`` as it was read.

    Returns the new ``revision``; no row if the task is not at the one that was read.
    """

    def task(sources: Sources) -> Statement:
        owner = sources["owner"]
        columns = (tasks.c.title, tasks.c.title_folded, tasks.c.completed, tasks.c.updated_at)
        return (
            update(tasks)
            .values({column: _given(column) for column in columns})
            .values(revision=select(owner.c.revision).scalar_subquery())
            .where(tasks.c.id == _task_id, exists(select(owner.c.revision)))
            .returning(tasks.c.revision)
        )

    return {"locked": _lock_task, "owner": _count, "task": task}


def removing() -> Chain:
    """Wants ``task_id`` and the ``revision`` that was read; returns that, or no row, as ``saving``."""

    def task(sources: Sources) -> Statement:
        counted = exists(select(sources["owner"].c.revision))
        return delete(tasks).where(tasks.c.id == _task_id, counted).returning(tasks.c.revision)

    return {"locked": _lock_task, "owner": _count, "task": task}


def erasing() -> Chain:
    """Wants ``user_id``; returns how many ``tasks`` there were, or no row. The tables' keys take the rest with them."""

    def counted(_: Sources) -> Statement:
        return select(func.count().label("tasks")).select_from(tasks).where(tasks.c.user_id == _given(tasks.c.user_id))

    def erased(sources: Sources) -> Statement:
        number = select(sources["counted"].c.tasks).scalar_subquery().label("tasks")
        return delete(users).where(users.c.id == _given(tasks.c.user_id)).returning(number)

    return {"counted": counted, "erased": erased}


def _or_count(first: "postgresql.Insert | sqlite.Insert") -> Statement:
    """A person's first change inserts their row; every other one counts its revision up."""
    return first.on_conflict_do_update(
        index_elements=[users.c.id], set_={"revision": users.c.revision + _ONE}
    ).returning(users.c.revision)


def _insert_task(sources: Sources) -> Statement:
    columns = [column for column in tasks.c if column.name not in ("id", "revision")]
    row = select(_task_id, sources["owner"].c.revision, *(_given(column) for column in columns))
    return tasks.insert().from_select([tasks.c.id, tasks.c.revision, *columns], row).returning(tasks.c.revision)


def _lock_task(_: Sources) -> Statement:
    return (
        select(tasks.c.user_id)
        .where(tasks.c.id == _task_id, tasks.c.revision == _given(tasks.c.revision))
        .with_for_update()
    )


def _count(sources: Sources) -> Statement:
    owner_of_locked = select(sources["locked"].c.user_id).scalar_subquery()
    return (
        update(users)
        .values(revision=users.c.revision + _ONE)
        .where(users.c.id == owner_of_locked)
        .returning(users.c.revision)
    )
