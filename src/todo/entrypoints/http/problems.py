"""Every error that a client sees is rendered here, as a problem document (RFC 9457)."""

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from todo.domain.batch import OperationRefused
from todo.domain.refusals import InvalidField, InvalidToken, NotAuthenticated, OperatorNeeded, Refusal, Unavailable
from todo.http_contract.documents import ErrorItem, Problem, format_pointer, get_status

logger = logging.getLogger("todo.http")

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = 1  # seconds after which a client may repeat a request that was refused with 503

# RFC 9110's phrases, where those of older Pythons are older.
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}

_DETAILS = {
    404: "There is nothing at this path; /docs shows what there is.",
    405: "This path does not take this method; the Allow header names those it takes.",
    413: "The body is too large; send a smaller one.",
}

Headers = list[tuple[bytes, bytes]]


class InvalidRequest(Exception):
    """A request that breaks the contract's form: 400, or the status given."""

    def __init__(
        self, detail: str, *errors: ErrorItem, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        self.detail = detail
        self.errors = errors or msgspec.UNSET
        self.status = status
        self.headers = headers or {}


def get_phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def render(error: Exception) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer to a request that met this error."""
    headers: dict[str, str] = {}
    errors: tuple[ErrorItem, ...] | msgspec.UnsetType = msgspec.UNSET
    match error:
        case OperatorNeeded():
            status, detail = 500, "Internal server error"
        case OperationRefused():
            status, detail = get_status(error.refusal), str(error)
            path: tuple[str | int, ...] = ("operations", error.place)
            errors = (ErrorItem(detail=detail, pointer=format_pointer(path)),)
            if isinstance(error.refusal, InvalidField):
                errors += (ErrorItem(detail=detail, pointer=format_pointer((*path, *error.refusal.path))),)
        case Refusal():
            status, detail = get_status(error), str(error)
            if isinstance(error, InvalidField):
                errors = (ErrorItem(detail=detail, pointer=format_pointer(error.path)),)
            elif isinstance(error, InvalidToken):
                headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'  # RFC 6750, section 3
            elif isinstance(error, NotAuthenticated):
                headers["WWW-Authenticate"] = "Bearer"
            elif isinstance(error, Unavailable):
                headers["Retry-After"] = str(RETRY_AFTER)
        case InvalidRequest():
            status, detail, errors, headers = error.status, error.detail, error.errors, dict(error.headers)
            if status == 413:
                headers["Connection"] = "close"  # the rest of the body stays unread
        case HTTPException(status_code=404 | 405 | 413 as status):
            detail, headers = _DETAILS[status], dict(error.headers or {})
        case HTTPException(status_code=status) if status < 500:
            detail = f"{get_phrase(status)}: the request is not as /openapi.json describes it."
        case _:
            status, detail = 500, "Internal server error"
    body = msgspec.json.encode(Problem(title=get_phrase(status), status=status, detail=detail, errors=errors))
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    return status, raw, body


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    status, headers, body = render(error)
    # An outage is logged when it begins, not again for every request during it.
    is_ours = isinstance(error, InvalidRequest) or (isinstance(error, Unavailable) and error.__cause__ is None)
    if status >= 500 and not is_ours:
        log_cause(error, request.scope)
    return Response(body, status_code=status, headers={name.decode(): value.decode() for name, value in headers})


def log_cause(error: BaseException, scope: Mapping[str, Any]) -> None:
    """Logs where it happened and the types of the errors, down to the first cause. Not their messages, which may
    contain a title, a token or a connection string; except those that are written for the operator."""
    lines: list[str] = []
    causes: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while causes:
        cause = causes.pop(0)
        if cause is None or cause in seen:  # errors may be causes of each other
            continue
        seen.append(cause)
        is_ours = isinstance(cause, OperatorNeeded | Unavailable)
        message = cause if is_ours else getattr(cause, "sqlstate", None) or ""
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__} {message}")
        lines += [
            f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)
        ]
        if isinstance(cause, BaseExceptionGroup):
            causes.extend(cause.exceptions)
        causes.append(cause.__cause__ or cause.__context__)
    logger.error("request %s failed: %s", scope.get("state", {}).get("request_id"), "\n".join(lines))
