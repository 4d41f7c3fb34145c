"""A change as a chain of statements, each of which may use the rows of those before it.

PostgreSQL gets the chain as one statement, every link but the last a common table expression: one round
trip, atomic without BEGIN and COMMIT. SQLite knows no changes inside WITH; it gets the links one by one in a
transaction, and round trips cost it nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, FromClause, Select, bindparam, select

from todo.adapters.sql.statements import Statement, columns_of

Link = Callable[[Mapping[str, FromClause]], Statement]
"""Makes a statement that returns at most one row, given those of the links before it as things to select from."""
Chain = Mapping[str, Link]


def as_one_statement(chain: Chain) -> Statement:
    *earlier, (_, last) = chain.items()
    sources: dict[str, CTE] = {}
    for name, link in earlier:
        sources[name] = link(sources).cte(name)
    return last(sources).add_cte(*sources.values())


def as_statements(chain: Chain) -> Sequence[tuple[Statement, Sequence[str]]]:
    """To be run in turn. With each come the names under which those behind it take the values of its row as parameters,
    or None for each if it has no row."""
    sources: dict[str, FromClause] = {}
    statements: list[tuple[Statement, Sequence[str]]] = []
    for name, link in chain.items():
        statement = link(sources)
        row = {f"{name}_{column.key}": column for column in columns_of(statement)}
        sources[name] = _kept_row(row).subquery(name)
        statements.append((statement, list(row)))
    return statements


def _kept_row(row: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
    """A link's row out of the parameters that keep it; no row if the link had none."""
    parameters = {name: bindparam(name, type_=column.type) for name, column in row.items()}
    return select(*(parameters[name].label(column.key) for name, column in row.items())).where(
        *(parameter.is_not(None) for parameter in parameters.values())
    )
