"""SQL as SQLAlchemy writes it: once for both databases, compiled once for each, run by the database's own driver.

SQLAlchemy's engine would take four times as long to run a statement as a driver does (docs/decisions/13).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Delete, Dialect, Insert, Select, Update
from sqlalchemy.types import TypeEngine

Statement = Select[Any] | Insert | Update | Delete
Row = tuple[Any, ...]
Processor = Callable[[Any], Any] | None


def columns_of(statement: Statement) -> Sequence[ColumnElement[Any]]:
    """What each of its rows has."""
    return list(statement.selected_columns if isinstance(statement, Select) else statement.exported_columns)


class Compiled:
    """A statement in the words of one database. Wants a dialect whose parameters go by position."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        kinds = [(name, compiled.binds[name].type) for name in compiled.positiontup or ()]
        self.kinds = [kind.python_type for _, kind in kinds]
        """Of its parameters, in the order of their places."""
        self._places: list[tuple[str, Processor]] = [
            (name, _dialects_own(kind, dialect).bind_processor(dialect)) for name, kind in kinds
        ]
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._to_python: list[Processor] = [
            _dialects_own(column.type, dialect).result_processor(dialect, None) for column in columns_of(statement)
        ]
        self._is_plain = not any(self._to_python)

    def parameters(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """In the order of their places; what is given beyond them is left out."""
        if self._constants:
            given = {**self._constants, **given}
        return [process(given[name]) if process else given[name] for name, process in self._places]

    def rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The driver's rows, with the values that Python has for them."""
        if self._is_plain:
            return rows
        return [
            tuple([process(value) if process else value for process, value in zip(self._to_python, row, strict=True)])
            for row in rows
        ]


def _dialects_own(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
