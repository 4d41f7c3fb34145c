"""What a request says, read strictly by the contract.

Litestar's own binding is lenient where the contract is not: it takes ``"true"`` for true and ``1.0`` for 1.
"""

import re
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import Request
from litestar.datastructures import State
from msgspec import UNSET, Struct, UnsetType

from todo.domain.ports import PAGE_LENGTH, Filter, IdPrefix
from todo.domain.task import TITLE_LENGTH, Position, UserId
from todo.entrypoints.http.problems import TOO_LARGE, InvalidRequest
from todo.wire import KEY_LENGTH, Fault, list_query, position_of

BODY_LENGTH = 64 * 1024
"""The most bytes of a body."""

ApiRequest = Request[UserId, Any, State]


class NewTask(Struct, frozen=True):
    """The body of POST and PUT."""

    title: str


class TaskChange(Struct, frozen=True):
    """The body of PATCH."""

    title: str | UnsetType = UNSET
    completed: bool | UnsetType = UNSET


Body = TypeVar("Body", NewTask, TaskChange)


_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


async def body_of(request: ApiRequest, shape: type[Body]) -> Body:
    """Raises InvalidRequest; of a body that is too long, before it is read whole."""
    _check_media_type(request)
    body = await _whole_body(request)
    try:
        # The whole document first: decoding straight into the shape would not check what it skips.
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_body("The body is not valid JSON in UTF-8.") from None
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise bad_body(*_what_and_where(str(error))) from None


async def _whole_body(request: ApiRequest) -> bytes:
    announced = header_of(request, b"content-length")
    if announced is not None:
        digits = announced.lstrip("0")  # HTTP allows more of them than int() does
        if digits.isdecimal() and (len(digits) > 9 or int(digits) > BODY_LENGTH):
            raise InvalidRequest(TOO_LARGE, status=413)
    body, more = b"", True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise bad_body("The body did not come whole.")
        body += message.get("body", b"")
        if len(body) > BODY_LENGTH:
            raise InvalidRequest(TOO_LARGE, status=413)
        more = message.get("more_body", False)
    return body


def task_id_of(request: ApiRequest) -> UUID:
    text = request.path_params["task_id"]
    # UUID() takes braces, a urn: prefix and missing hyphens too; the contract knows one form.
    if not _ID.fullmatch(text):
        raise _bad_parameter("id", "The id must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057.")
    return UUID(int=int(text.replace("-", ""), 16))


def idempotency_key_of(request: ApiRequest) -> str | None:
    keys = _lines_of(request, b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not 1 <= len(keys[0]) <= KEY_LENGTH:
        raise _bad_parameter("Idempotency-Key", f"Send one Idempotency-Key, of 1 to {KEY_LENGTH} characters.")
    return keys[0]


def header_of(request: ApiRequest, name: bytes) -> str | None:
    """All lines of a header that is a list, as one; None if there is none."""
    lines = _lines_of(request, name)
    return ", ".join(lines) if lines else None


def _lines_of(request: ApiRequest, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]


class ListQuery(NamedTuple):
    """Which part of a list is asked for. Without ``limit`` all of it."""

    wanted: Filter
    limit: int | None
    after: Position | None

    def next_page(self, owner: UserId, after: Position) -> str:
        """The query that leads to the page behind the position."""
        return urlencode(list_query(owner, self.wanted, self.limit, after))


_ID_PREFIX = "id_prefix must be given once, as the beginning of an id in lower case."


def list_query_of(request: ApiRequest) -> ListQuery:
    """Collects everything that is wrong into one InvalidRequest. Parameters it does not know are ignored."""
    given: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True, errors="strict"):
            given.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise _bad_parameter("query", "The query is not valid UTF-8.") from None
    faults: list[Fault] = []

    def one(name: str, pattern: str, detail: str) -> str | None:
        values = given.get(name, [])
        if values and (len(values) > 1 or not re.fullmatch(pattern, values[0], re.DOTALL)):
            faults.append(Fault(detail=detail, parameter=name))
            return None
        return values[0] if values else None

    completed = one("completed", "true|false", "completed must be given once, as true or false.")
    limit = one(
        "limit",
        f"[1-9][0-9]{{0,2}}|{PAGE_LENGTH}",
        f"limit must be given once, as a whole number from 1 to {PAGE_LENGTH}.",
    )
    text = one(
        "q", f"[^\x00]{{0,{TITLE_LENGTH}}}", f"q must be given once, with at most {TITLE_LENGTH} characters and no NUL."
    )
    prefix = one("id_prefix", "[0-9a-f-]{1,36}", _ID_PREFIX)
    ids = None
    if prefix is not None:
        try:
            ids = IdPrefix(prefix)
        except ValueError:
            faults.append(Fault(detail=_ID_PREFIX, parameter="id_prefix"))
    place = one("cursor", ".*", "cursor must be given once.")
    after = None if place is None else position_of(request.user, place)
    if place is not None and after is None:
        faults.append(Fault(detail="The cursor is not one from a Link header of your own list.", parameter="cursor"))
    if faults:
        raise InvalidRequest(faults[0].detail, *faults)
    return ListQuery(
        Filter(completed=None if completed is None else completed == "true", text=text, ids=ids),
        limit=None if limit is None else int(limit),
        after=after,
    )


def _check_media_type(request: ApiRequest) -> None:
    for value in _lines_of(request, b"content-type"):
        if value == "application/json" or value.partition(";")[0].strip().lower() == "application/json":
            continue
        raise InvalidRequest("Send the body as JSON, with Content-Type: application/json.", status=415)


def bad_body(detail: str, pointer: str = "") -> InvalidRequest:
    """Something is wrong with the body: with all of it, or with what the JSON Pointer names."""
    return InvalidRequest(detail, Fault(detail=detail, pointer=pointer))


def _bad_parameter(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, Fault(detail=detail, parameter=name))


_WANTED = {"str": "a string", "bool": "true or false", "object": "a JSON object"}


def _what_and_where(error: str) -> tuple[str, str]:
    """msgspec's error as a sentence and a JSON Pointer."""
    if missing := re.search("missing required field `(.+?)`", error):
        return f"{missing[1]} is missing.", f"/{missing[1]}"
    wanted = re.search("Expected `(.+?)`", error)
    place = re.search(r"at `\$\.(.+?)`", error)
    what = _WANTED.get(wanted[1], wanted[1]) if wanted else "something else"
    return (f"{place[1]} must be {what}.", f"/{place[1]}") if place else (f"The body must be {what}.", "")
