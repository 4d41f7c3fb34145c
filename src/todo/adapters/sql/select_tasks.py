"""The statements that select a part of a person's list, one for each combination of conditions."""

import re
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, select, tuple_, union_all

from todo.adapters.sql.database import Ordering
from todo.adapters.sql.tables import TASK_COLUMNS, join_labels, tasks
from todo.domain.ports import Order, Selection, fold
from todo.domain.task import NEVER_DUE, Position

_NEWEST_FIRST = (("created_at", True), ("id", True))

ORDERS: Final[dict[Order, Ordering]] = {
    Order.NEWEST_FIRST: _NEWEST_FIRST,
    Order.BY_DUE: (("due_order", False), *_NEWEST_FIRST),
}

_IS_OLDER = tuple_(tasks.c.created_at, tasks.c.id) < tuple_(
    bindparam("after_time", type_=tasks.c.created_at.type), bindparam("after_id", type_=tasks.c.id.type)
)

_IS_DUE = tasks.c.due.is_not(None)

_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "completed": tasks.c.completed == bindparam("completed"),
    "text": tasks.c.search_text.like(bindparam("text"), escape="/"),
    "first_id": tasks.c.id >= bindparam("first_id"),
    "last_id": tasks.c.id <= bindparam("last_id"),
    "priority": tasks.c.priority == bindparam("priority"),
    # A database takes a partial index only if its condition is part of the question.
    "labels": and_(tasks.c.labels_folded.is_not(None), tasks.c.labels_folded.like(bindparam("labels"), escape="/")),
    "due_from": and_(_IS_DUE, tasks.c.due_order >= bindparam("due_from")),
    "due_until": tasks.c.due_order < bindparam("due_until"),
}
"""What each parameter asks for."""


def make_parameters(wanted: Selection, after: Position | None) -> dict[str, Any]:
    """Those of the statement that ``select_tasks`` makes for their names, beside ``owner`` and ``limit``."""
    given: dict[str, Any] = {}
    if wanted.completed is not None:
        given["completed"] = wanted.completed
    if wanted.text is not None:
        given["text"] = f"%{_escape(fold(wanted.text))}%"
    if wanted.ids is not None:
        given["first_id"], given["last_id"] = wanted.ids.first, wanted.ids.last
    if wanted.priority is not None:
        given["priority"] = wanted.priority
    if wanted.labels:
        given["labels"] = f"%{join_labels(map(_escape, wanted.labels), between='%')}%"
    if wanted.due_from is not None or wanted.due_until is not None:
        # The times of a day sort after it, and before what ends in this character.
        given["due_from"], given["due_until"] = wanted.due_from or "", f"{wanted.due_until or '9999-12-31'}{NEVER_DUE}"
    if after is not None:
        given["after_time"], given["after_id"] = after.created_at, after.id
        if wanted.order is Order.BY_DUE:
            given["after_undated" if after.due == NEVER_DUE else "after_due"] = after.due
    return given


def select_tasks(order: Order, names: Collection[str]) -> Select[Any]:
    """Selects at most ``limit`` of the tasks of ``owner`` that meet the conditions of these names, in this order.

    The columns are those of a task, and what it is sorted by.
    """
    columns = dict.fromkeys((*TASK_COLUMNS, *(tasks.c[name] for name, _ in ORDERS[order])))
    base = select(*columns).where(
        tasks.c.user_id == bindparam("owner"), *(_CONDITIONS[name] for name in names if name in _CONDITIONS)
    )
    if order is Order.NEWEST_FIRST:
        return _sort(base.where(_IS_OLDER) if "after_time" in names else base, order)
    # Each part is read from where it starts in one index: what is due, and behind it what is never due.
    dated, undated = base.where(_IS_DUE), base.where(tasks.c.due.is_(None))
    if "after_undated" in names:
        return _sort(undated.where(_IS_OLDER), Order.NEWEST_FIRST)
    following = [dated]
    if "after_due" in names:
        due = bindparam("after_due", type_=tasks.c.due_order.type)
        following = [dated.where(tasks.c.due_order == due, _IS_OLDER), dated.where(tasks.c.due_order > due)]
    parts = [*(_sort(part, order) for part in following), _sort(undated, Order.NEWEST_FIRST)]
    both = union_all(*(select(part.subquery()) for part in parts)).subquery()
    ordered = [both.c[name].desc() if descends else both.c[name] for name, descends in ORDERS[order]]
    return select(both).order_by(*ordered).limit(_LIMIT)


_LIMIT = bindparam("limit", type_=Integer)


def _sort(statement: Select[Any], order: Order) -> Select[Any]:
    ordered = [tasks.c[name].desc() if descends else tasks.c[name] for name, descends in ORDERS[order]]
    return statement.order_by(*ordered).limit(_LIMIT)


def _escape(text: str) -> str:
    """For LIKE, with a slash."""
    return re.sub("[/%_]", r"/\g<0>", text)
