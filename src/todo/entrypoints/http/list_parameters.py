"""Parses the query of a list: what is wanted of it, in what order, and which page."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from todo.domain.fields import FORBIDDEN, Labels, is_date
from todo.domain.ports import IdPrefix, Order, Page, Selection
from todo.domain.task import FIELDS, UserId
from todo.entrypoints.http.problems import InvalidRequest
from todo.entrypoints.http.query import LIMIT, Parameter, read_query
from todo.entrypoints.http.requests import ApiRequest
from todo.http_contract.documents import ErrorItem
from todo.http_contract.list_query import Cursor, format_cursor, parse_cursor

TEXT_LENGTH = 500  # the most characters of a search

_RULES: Final = {field.name: field.rule for field in FIELDS}
_LABELS = _RULES["labels"]
assert isinstance(_LABELS, Labels)


class ListQuery(NamedTuple):
    """Which part of a list is asked for. Without ``limit`` all of it."""

    wanted: Selection
    limit: int | None
    cursor: Cursor | None
    parameters: Mapping[str, list[str]]  # as they were sent, those that count

    def next_page(self, owner: UserId, page: Page) -> str:
        """The query that leads to the page after this one."""
        cursor = Cursor(self.wanted.position(page.tasks[-1]), page.version)
        return urlencode({**self.parameters, "cursor": format_cursor(owner, self.wanted, cursor)}, doseq=True)


def _parse_word(words: Mapping[str, Any], text: str) -> Any:
    if text not in words:
        raise ValueError("not one of the words")
    return words[text]


def _parse_text(text: str) -> str:
    if len(text) > TEXT_LENGTH or FORBIDDEN.search(text):
        raise ValueError("no such text")
    return text


def _parse_date(text: str) -> str:
    if not is_date(text):
        raise ValueError("no date")
    return text


_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "completed": Parameter(
        partial(_parse_word, {"true": True, "false": False}), "completed must be given once, as true or false."
    ),
    "limit": LIMIT,
    "q": Parameter(
        _parse_text,
        f"q must be given once, with at most {TEXT_LENGTH} characters, and no control characters but tabs and line"
        " breaks.",
    ),
    "id_prefix": Parameter(IdPrefix, "id_prefix must be given once, as the beginning of an id in lower case."),
    "priority": Parameter(
        partial(_RULES["priority"].parse, "priority"), "priority must be given once, as low, medium or high."
    ),
    "label": Parameter(
        lambda text: _LABELS.parse("label", [text])[0],
        f"label must be 1 to {_LABELS.max_length} characters, and can be given {_LABELS.max_number} times.",
        most=_LABELS.max_number,
    ),
    "due_from": Parameter(_parse_date, "due_from must be given once, as a date such as 2026-12-24."),
    "due_until": Parameter(_parse_date, "due_until must be given once, as a date such as 2026-12-24."),
    "sort": Parameter(
        partial(_parse_word, {"due": Order.BY_DUE}), "sort must be given once, as due; without it, newest come first."
    ),
    "cursor": Parameter(str, "cursor must be given once."),
}


def read_list_query(request: ApiRequest) -> ListQuery:
    """Collects everything that is wrong into one InvalidRequest. Unknown parameters are ignored."""
    given = read_query(request, _PARAMETERS)
    known, errors = given.first, list(given.errors)
    wanted = Selection(
        completed=known.get("completed"),
        text=known.get("q"),
        ids=known.get("id_prefix"),
        priority=known.get("priority"),
        labels=given.values.get("label", ()),
        due_from=known.get("due_from"),
        due_until=known.get("due_until"),
        order=known.get("sort", Order.NEWEST_FIRST),
    )
    cursor = None
    if "cursor" in known:
        cursor = parse_cursor(request.user, wanted, known["cursor"])
        if cursor is None:
            detail = "The cursor is not one from a Link header of your own list, with these filters and this order."
            errors.append(ErrorItem(detail=detail, parameter="cursor"))
    if errors:
        raise InvalidRequest(errors[0].detail, *errors)
    return ListQuery(wanted, known.get("limit"), cursor, given.texts)
