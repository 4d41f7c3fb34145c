"""A change as a chain of statements, each of which may use the rows of those before it.

PostgreSQL gets the chain as one statement, every link but the last a common table expression: one round
trip, atomic without BEGIN and COMMIT. SQLite knows no changes inside WITH; it gets the links one by one in a
transaction, and round trips cost it nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Delete, FromClause, Insert, Row, Select, Update, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

Statement = Select[Any] | Insert | Update | Delete
Link = Callable[[Mapping[str, FromClause]], Statement]
"""Makes a statement that returns at most one row, given those of the links before it as things to select from."""
Chain = Mapping[str, Link]
Change = Callable[[Mapping[str, Any]], Awaitable[Row[Any] | None]]
"""Executes a chain with parameters; the row is the last link's."""


def one_statement(engine: AsyncEngine, chain: Chain) -> Change:
    """Wants an engine in AUTOCOMMIT."""
    *earlier, (_, last) = chain.items()
    sources: dict[str, CTE] = {}
    for name, link in earlier:
        sources[name] = link(sources).cte(name)
    statement = last(sources).add_cte(*sources.values())

    async def execute(parameters: Mapping[str, Any]) -> Row[Any] | None:
        async with engine.connect() as connection:
            return (await connection.execute(statement, parameters)).first()

    return execute


def one_transaction(engine: AsyncEngine, chain: Chain, lock: asyncio.Lock) -> Change:
    """Wants an engine in AUTOCOMMIT. The lock is for the writers of this process, which would else wait for one
    another in SQLite's busy handler: asleep, and out of turn."""
    sources: dict[str, FromClause] = {}
    links: list[tuple[Statement, list[str]]] = []
    for name, link in chain.items():
        statement = link(sources)
        row = {f"{name}_{column.key}": column for column in _columns(statement)}
        sources[name] = _kept_row(row).subquery(name)
        links.append((statement, list(row)))

    async def transaction(parameters: Mapping[str, Any]) -> Row[Any] | None:
        known = dict(parameters)
        result: Row[Any] | None = None
        async with lock, engine.connect() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                for statement, kept in links:
                    cursor = await connection.execute(statement, known)
                    result = cursor.first() if cursor.returns_rows else None
                    known |= zip(kept, result or [None] * len(kept), strict=True)
                await connection.exec_driver_sql("COMMIT")
            except BaseException:
                await connection.rollback()
                raise
        return result

    running: set[asyncio.Task[Row[Any] | None]] = set()

    def ended(task: asyncio.Task[Row[Any] | None]) -> None:
        running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone, and then nobody else takes it

    async def execute(parameters: Mapping[str, Any]) -> Row[Any] | None:
        # To its end, even when whoever asked goes away: a connection that is dropped in the middle of a transaction
        # keeps the whole file locked until it is collected.
        task = asyncio.create_task(transaction(parameters))
        running.add(task)
        task.add_done_callback(ended)
        return await asyncio.shield(task)

    return execute


def _columns(statement: Statement) -> Sequence[ColumnElement[Any]]:
    return list(statement.selected_columns if isinstance(statement, Select) else statement.exported_columns)


def _kept_row(row: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """A link's row out of the parameters that keep it; no row if the link had none."""
    parameters = {name: bindparam(name, type_=column.type) for name, column in row.items()}
    return select(*(parameters[name].label(column.key) for name, column in row.items())).where(
        *(parameter.is_not(None) for parameter in parameters.values())
    )
