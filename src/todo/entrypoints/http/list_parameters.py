"""Parses the query of a list: what is wanted of it, in what order, and which page."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from todo.domain.fields import FORBIDDEN, Labels, is_date
from todo.domain.ports import PAGE_LENGTH, IdPrefix, Order, Selection
from todo.domain.refusals import InvalidField
from todo.domain.task import FIELDS, Position, UserId
from todo.entrypoints.http.problems import InvalidRequest
from todo.entrypoints.http.requests import ApiRequest, invalid_parameter
from todo.http_contract.documents import ErrorItem
from todo.http_contract.list_query import format_cursor, parse_cursor

TEXT_LENGTH = 500  # the most characters of a search

_RULES: Final = {field.name: field.rule for field in FIELDS}
_LABELS = _RULES["labels"]
assert isinstance(_LABELS, Labels)


class ListQuery(NamedTuple):
    """Which part of a list is asked for. Without ``limit`` all of it."""

    wanted: Selection
    limit: int | None
    after: Position | None
    parameters: Mapping[str, list[str]]  # as they were sent, those that count

    def next_page(self, owner: UserId, after: Position) -> str:
        """The query that leads to the page after this position."""
        return urlencode({**self.parameters, "cursor": format_cursor(owner, self.wanted, after)}, doseq=True)


class _Parameter(NamedTuple):
    parse: Callable[[str], Any]  # raises ValueError or InvalidField
    detail: str  # what is said of an invalid value
    most: int = 1  # how often it may be given


def _parse_word(words: Mapping[str, Any], text: str) -> Any:
    if text not in words:
        raise ValueError("not one of the words")
    return words[text]


def _parse_limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(PAGE_LENGTH)) else 0
    if str(limit) != text or not 1 <= limit <= PAGE_LENGTH:
        raise ValueError("no such limit")
    return limit


def _parse_text(text: str) -> str:
    if len(text) > TEXT_LENGTH or FORBIDDEN.search(text):
        raise ValueError("no such text")
    return text


def _parse_date(text: str) -> str:
    if not is_date(text):
        raise ValueError("no date")
    return text


_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    "completed": _Parameter(
        partial(_parse_word, {"true": True, "false": False}), "completed must be given once, as true or false."
    ),
    "limit": _Parameter(_parse_limit, f"limit must be given once, as a whole number from 1 to {PAGE_LENGTH}."),
    "q": _Parameter(
        _parse_text,
        f"q must be given once, with at most {TEXT_LENGTH} characters, and no control characters but tabs and line"
        " breaks.",
    ),
    "id_prefix": _Parameter(IdPrefix, "id_prefix must be given once, as the beginning of an id in lower case."),
    "priority": _Parameter(
        partial(_RULES["priority"].parse, "priority"), "priority must be given once, as low, medium or high."
    ),
    "label": _Parameter(
        lambda text: _LABELS.parse("label", [text])[0],
        f"label must be 1 to {_LABELS.max_length} characters, and can be given {_LABELS.max_number} times.",
        most=_LABELS.max_number,
    ),
    "due_from": _Parameter(_parse_date, "due_from must be given once, as a date such as 2026-12-24."),
    "due_until": _Parameter(_parse_date, "due_until must be given once, as a date such as 2026-12-24."),
    "sort": _Parameter(
        partial(_parse_word, {"due": Order.BY_DUE}), "sort must be given once, as due; without it, newest come first."
    ),
    "cursor": _Parameter(str, "cursor must be given once."),
}


def read_list_query(request: ApiRequest) -> ListQuery:
    """Collects everything that is wrong into one InvalidRequest. Unknown parameters are ignored."""
    raw = request.scope["query_string"]
    if not raw:
        return ListQuery(Selection(), None, None, {})
    given: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(raw.decode(), keep_blank_values=True, errors="strict"):
            if name in _PARAMETERS:
                given.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise invalid_parameter("query", "The query is not valid UTF-8.") from None
    errors: list[ErrorItem] = []
    values: dict[str, list[Any]] = {}
    for name, texts in given.items():
        parse, detail, most = _PARAMETERS[name]
        try:
            values[name] = [parse(text) for text in texts[: most + 1]]
        except (ValueError, InvalidField):
            errors.append(ErrorItem(detail=detail, parameter=name))
        else:
            if len(texts) > most:
                errors.append(ErrorItem(detail=detail, parameter=name))
    known = {name: found[0] for name, found in values.items()}
    wanted = Selection(
        completed=known.get("completed"),
        text=known.get("q"),
        ids=known.get("id_prefix"),
        priority=known.get("priority"),
        labels=values.get("label", ()),
        due_from=known.get("due_from"),
        due_until=known.get("due_until"),
        order=known.get("sort", Order.NEWEST_FIRST),
    )
    after = None
    if "cursor" in known:
        after = parse_cursor(request.user, wanted, known["cursor"])
        if after is None:
            detail = "The cursor is not one from a Link header of your own list, with these filters and this order."
            errors.append(ErrorItem(detail=detail, parameter="cursor"))
    if errors:
        raise InvalidRequest(errors[0].detail, *errors)
    return ListQuery(wanted, known.get("limit"), after, given)
