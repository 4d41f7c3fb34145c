"""Parses requests, as strictly as the contract says.

Litestar's own binding is lenient where the contract is not: it takes ``"true"`` for true and ``1.0`` for 1.
"""

import re
from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request
from litestar.datastructures import State

from todo.domain.ports import ANY_VERSION, ListVersion, find_latest
from todo.domain.task import Edit, UserId
from todo.entrypoints.http.problems import InvalidRequest
from todo.http_contract.batches import ID
from todo.http_contract.documents import KEY_LENGTH, ErrorItem, format_pointer, make_edit
from todo.http_contract.entity_tags import parse_if_match
from todo.http_contract.min_revision import parse_min_revision, parse_versions

BODY_LENGTH = 64 * 1024  # the most bytes of a body
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some clients send one; a parser may ignore it (RFC 8259, section 8.1)

ApiRequest = Request[UserId, Any, State]


async def read_edit(request: ApiRequest, body_type: type[msgspec.Struct]) -> Edit:
    """The edit that the body asks for. Raises InvalidField, InvalidRequest."""
    document = await read_json(request, BODY_LENGTH)
    try:
        return make_edit(msgspec.convert(document, body_type))
    except msgspec.ValidationError as error:
        raise invalid_body(*explain(str(error))) from None


async def read_json(request: ApiRequest, max_length: int) -> Any:
    """The whole document: decoding straight into a type would not check what it skips. Raises InvalidRequest; a body of
    more than ``max_length`` bytes is rejected before it has been read whole."""
    _check_media_type(request)
    body = (await _read_body(request, max_length)).removeprefix(_BYTE_ORDER_MARK)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_body("The body is not valid JSON in UTF-8.") from None


async def _read_body(request: ApiRequest, max_length: int) -> bytes:
    announced = read_header(request, b"content-length")
    if announced is not None:
        digits = announced.lstrip("0")  # HTTP allows more of them than int() does
        if digits.isdecimal() and (len(digits) > 9 or int(digits) > max_length):
            raise _too_large(max_length)
    body, more = b"", True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise invalid_body("The body did not come whole.")
        body += message.get("body", b"")
        if len(body) > max_length:
            raise _too_large(max_length)
        more = message.get("more_body", False)
    return body


def _too_large(max_length: int) -> InvalidRequest:
    return InvalidRequest(f"The body is larger than {max_length // 1024} KiB; send a smaller one.", status=413)


def _check_media_type(request: ApiRequest) -> None:
    coding = read_header(request, b"content-encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        detail = "Send the body without Content-Encoding; compressed ones are not read."
        raise InvalidRequest(detail, status=415, headers={"Accept-Encoding": "identity"})  # RFC 9110, section 15.5.16
    for value in _read_headers(request, b"content-type"):
        if value == "application/json" or value.partition(";")[0].strip().lower() == "application/json":
            continue
        raise InvalidRequest("Send the body as JSON, with Content-Type: application/json.", status=415)


def read_task_id(request: ApiRequest) -> UUID:
    text = request.path_params["task_id"]
    # msgspec takes missing hyphens too; the contract has one form.
    if not ID.fullmatch(text):
        raise invalid_parameter("id", "The id must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057.")
    return msgspec.convert(text, UUID)


def read_idempotency_key(request: ApiRequest) -> str | None:
    keys = _read_headers(request, b"idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not 1 <= len(keys[0]) <= KEY_LENGTH:
        raise invalid_parameter("Idempotency-Key", f"Send one Idempotency-Key, of 1 to {KEY_LENGTH} characters.")
    return keys[0]


def read_if_match(request: ApiRequest) -> Collection[int] | None:
    """The revisions that are accepted; None if every one is."""
    try:
        return parse_if_match(read_header(request, b"if-match"))
    except ValueError:
        raise invalid_parameter("If-Match", 'If-Match must be a list of entity tags, such as "7", or *.') from None


_NAMING = (b"if-none-match", b"min-revision")


def read_at_least(request: ApiRequest, *named: ListVersion) -> ListVersion | None:
    """The version that the answer to a read must have reached, for ``TaskStore``: the latest that is named in its
    If-None-Match, its Min-Revision, and otherwise."""
    if not named and not [name for name, _ in request.scope["headers"] if name in _NAMING]:
        return ANY_VERSION
    known, minimum = read_header(request, b"if-none-match"), read_header(request, b"min-revision")
    versions = list(named)
    if known is not None:
        versions += parse_versions(request.user, known)
    if minimum is not None:
        try:
            versions.append(parse_min_revision(request.user, minimum))
        except ValueError:
            detail = 'Min-Revision must be a revision, or the ETag of an answer to you, such as 7 or "7".'
            raise invalid_parameter("Min-Revision", detail) from None
    return find_latest(versions)


def read_header(request: ApiRequest, name: bytes) -> str | None:
    """All lines of a header that is a list, as one; None if there is none."""
    lines = _read_headers(request, name)
    return ", ".join(lines) if lines else None


def _read_headers(request: ApiRequest, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in request.scope["headers"] if key == name]


def invalid_body(detail: str, *path: str) -> InvalidRequest:
    """Something is wrong with the body: with all of it, or with what the path leads to."""
    return InvalidRequest(detail, ErrorItem(detail=detail, pointer=format_pointer(path)))


def invalid_parameter(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, ErrorItem(detail=detail, parameter=name))


_TYPES = {"str": "a string", "bool": "true or false", "object": "a JSON object", "array": "an array", "null": "null"}


def explain(error: str) -> tuple[str, ...]:
    """msgspec's error as a sentence, and the path to what is wrong."""
    path = re.search(r"at `\$\.?(.*?)`", error)
    parts = re.findall(r"[^.\[\]]+", path[1]) if path else []
    if missing := re.search("missing required field `(.+?)`", error):
        parts.append(missing[1])
        return f"{'.'.join(parts)} is missing.", *parts
    expected = re.search("Expected `(.+?)`", error)
    types = [_TYPES.get(name, name) for name in expected[1].split(" | ")] if expected else ["something else"]
    return f"{'.'.join(parts) or 'The body'} must be {' or '.join(types)}.", *parts
