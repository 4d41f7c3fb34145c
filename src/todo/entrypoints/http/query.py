"""Parses the parameters of a query, each with a rule of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from todo.domain.ports import PAGE_LENGTH
from todo.domain.refusals import InvalidField
from todo.entrypoints.http.requests import ApiRequest, invalid_parameter
from todo.http_contract.documents import ErrorItem


class Parameter(NamedTuple):
    parse: Callable[[str], Any]  # raises ValueError or InvalidField
    detail: str  # what is said of an invalid value
    most: int = 1  # how often it may be given


class Query(NamedTuple):
    texts: Mapping[str, list[str]]  # as they were sent, those that are known
    values: Mapping[str, list[Any]]
    errors: Sequence[ErrorItem]

    @property
    def first(self) -> Mapping[str, Any]:
        return {name: found[0] for name, found in self.values.items()}


def read_query(request: ApiRequest, parameters: Mapping[str, Parameter]) -> Query:
    """Unknown parameters are ignored. Raises InvalidRequest if the query is no text."""
    raw = request.scope["query_string"]
    if not raw:
        return Query({}, {}, [])
    texts: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(raw.decode(), keep_blank_values=True, errors="strict"):
            if name in parameters:
                texts.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise invalid_parameter("query", "The query is not valid UTF-8.") from None
    errors: list[ErrorItem] = []
    values: dict[str, list[Any]] = {}
    for name, given in texts.items():
        parse, detail, most = parameters[name]
        try:
            values[name] = [parse(text) for text in given[: most + 1]]
        except (ValueError, InvalidField):
            errors.append(ErrorItem(detail=detail, parameter=name))
        else:
            if len(given) > most:
                errors.append(ErrorItem(detail=detail, parameter=name))
    return Query(texts, values, errors)


def _parse_limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(PAGE_LENGTH)) else 0
    if str(limit) != text or not 1 <= limit <= PAGE_LENGTH:
        raise ValueError("no such limit")
    return limit


LIMIT: Final = Parameter(_parse_limit, f"limit must be given once, as a whole number from 1 to {PAGE_LENGTH}.")
