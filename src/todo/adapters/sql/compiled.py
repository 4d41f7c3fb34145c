"""Compiles SQLAlchemy queries once for each database, to be run by its driver.

SQLAlchemy's engine would take four times as long to run a statement as the driver does (docs/decisions/13).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Select, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from todo.adapters.sql.tables import JsonText, TextList

Row = tuple[Any, ...]
Processor = Callable[[Any], Any] | None


class _Ids(FunctionElement[Any]):
    inherit_cache = True


def is_one_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a UUID is one of the parameter ``ids``, a list of them in hexadecimal: one statement for any number.

    A comparison, because SQLAlchemy would compare a function of its own with 1 for SQLite, which then uses no index.
    """
    return column.op("IN", is_comparison=True)(_Ids(bindparam("ids", type_=TextList)))


@compiles(_Ids, "postgresql")
def _compile_for_postgresql(element: _Ids, compiler: SQLCompiler, **_: Any) -> str:
    return f"(SELECT unnest(CAST({compiler.process(element.clauses)} AS uuid[])))"


@compiles(_Ids, "sqlite")
def _compile_for_sqlite(element: _Ids, compiler: SQLCompiler, **_: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses)}))"  # noqa: S608 - of SQLAlchemy's own parts


class Compiled:
    """A query in one database's SQL. The dialect's parameters have to be positional."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        types = [(name, compiled.binds[name].type) for name in compiled.positiontup or ()]
        self.parameter_types = [kind.python_type for _, kind in types]
        self._parameters: list[tuple[str, Processor]] = [
            (name, _in_dialect(kind, dialect).bind_processor(dialect)) for name, kind in types
        ]
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        kinds = [_in_dialect(column.type, dialect) for column in statement.selected_columns]
        self._json = [(place, kind) for place, kind in enumerate(kinds) if isinstance(kind, JsonText)]

    def arrange(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """The values of the parameters in their order; what is given beyond them is ignored."""
        if self._constants:
            given = {**self._constants, **given}
        return [process(given[name]) if process else given[name] for name, process in self._parameters]

    def convert(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The driver's rows with their values as Python has them. Columns are decoded whole, if they have anything."""
        decoded = {}
        for place, kind in self._json:
            values = [row[place] for row in rows]
            if values.count(None) < len(values):
                decoded[place] = kind.decode_all(values)
        if not decoded:
            return rows
        columns = [decoded.get(place, column) for place, column in enumerate(zip(*rows, strict=True))]
        return list(zip(*columns, strict=True))


def _in_dialect(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
