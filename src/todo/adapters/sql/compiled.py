"""Compiles SQLAlchemy queries once for each database, to be run by its driver.

SQLAlchemy's engine would take four times as long to run a statement as the driver does (docs/decisions/13).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.types import TypeEngine

Row = tuple[Any, ...]
Processor = Callable[[Any], Any] | None


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
        self._converters = [
            (place, process)
            for place, column in enumerate(statement.selected_columns)
            if (process := _in_dialect(column.type, dialect).result_processor(dialect, None)) is not None
        ]

    def arrange(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """The values of the parameters in their order; what is given beyond them is ignored."""
        if self._constants:
            given = {**self._constants, **given}
        return [process(given[name]) if process else given[name] for name, process in self._parameters]

    def convert(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The driver's rows with their values as Python has them."""
        if not rows or not self._converters:
            return rows
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))  # a whole column takes less time than its values
        for place, process in self._converters:
            columns[place] = map(process, columns[place])
        return list(zip(*columns, strict=True))


def _in_dialect(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
