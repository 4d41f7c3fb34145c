"""SQL as SQLAlchemy writes it: once for both databases, compiled once for each, run by the database's own driver.

SQLAlchemy's engine would take four times as long to run a statement as a driver does (docs/decisions/13).
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
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
        self._in_their_places = _picker(compiled.positiontup or ())
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._to_driver = [
            (name, processor)
            for name, bind in compiled.binds.items()
            if (processor := _dialects_own(bind.type, dialect).bind_processor(dialect)) is not None
        ]
        self._to_python: list[Processor] = [
            _dialects_own(column.type, dialect).result_processor(dialect, None) for column in columns_of(statement)
        ]
        self._is_plain = not any(self._to_python)

    def parameters(self, given: Mapping[str, Any]) -> Row:
        """In the order of their places; what is given beyond them is left out."""
        values = {**self._constants, **given}
        for name, processor in self._to_driver:
            values[name] = processor(values[name])
        return self._in_their_places(values)

    def rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The driver's rows, with the values that Python has for them."""
        if self._is_plain or not rows:
            return rows
        # Column by column: half the time of row by row.
        columns = zip(self._to_python, zip(*rows, strict=True), strict=True)
        return list(zip(*(map(process, column) if process else column for process, column in columns), strict=True))


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Row]:
    """Of several names, what is written in C."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def _dialects_own(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
