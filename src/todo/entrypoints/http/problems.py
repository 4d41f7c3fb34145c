"""Every error that a client sees is made here: a problem document (RFC 9457)."""

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from todo.domain.refusals import InvalidTitle, InvalidToken, NotAuthenticated, Refusal, Unavailable
from todo.wire import Fault, Problem, status_of

logger = logging.getLogger("todo.http")

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = 1
"""Seconds after which a client whose request met something away may ask again."""

# RFC 9110's phrases, where those of older Pythons are older.
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}

TOO_LARGE = "The body is larger than 64 KiB; send a smaller one."

_DETAILS = {
    404: "There is nothing at this path; /docs shows what there is.",
    405: "This path does not take this method; the Allow header names those it takes.",
    413: TOO_LARGE,
}


class InvalidRequest(Exception):
    """A request that breaks the contract's form: 400, or the status given."""

    def __init__(self, detail: str, *errors: Fault, status: int = 400) -> None:
        self.detail = detail
        self.errors = errors or msgspec.UNSET
        self.status = status


def phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def problem_of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """The document and the headers for whatever a request met."""
    headers: dict[str, str] = {}
    errors: tuple[Fault, ...] | msgspec.UnsetType = msgspec.UNSET
    match error:
        case Refusal():
            status, detail = status_of(error), str(error)
            if isinstance(error, InvalidTitle):
                errors = (Fault(detail=detail, pointer="/title"),)
            elif isinstance(error, InvalidToken):
                headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'  # RFC 6750, section 3
            elif isinstance(error, NotAuthenticated):
                headers["WWW-Authenticate"] = "Bearer"
            elif isinstance(error, Unavailable):
                headers["Retry-After"] = str(RETRY_AFTER)
        case InvalidRequest():
            status, detail, errors = error.status, error.detail, error.errors
            if status == 413:
                headers["Connection"] = "close"  # the rest of the body stays unread
        case HTTPException(status_code=404 | 405 | 413 as status):
            detail, headers = _DETAILS[status], dict(error.headers or {})
        case HTTPException(status_code=status) if status < 500:
            detail = f"{phrase(status)}: the request is not as /openapi.json describes it."
        case _:
            status, detail = 500, "Internal server error"
    return Problem(title=phrase(status), status=status, detail=detail, errors=errors), headers


def render(error: Exception) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers."""
    problem, headers = problem_of(error)
    return problem.status, msgspec.json.encode(problem), headers


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    status, body, headers = render(error)
    # What is away without a cause was told when it went away, and not with every request since.
    if status >= 500 and (error.__cause__ is not None or not isinstance(error, Unavailable)):
        log_cause(error, request.scope)
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def log_cause(error: BaseException, scope: Mapping[str, Any]) -> None:
    """Where it happened and what kind of error it was, down to its first cause. Not what the errors say: that may
    be a title, a token or a connection string."""
    lines: list[str] = []
    causes: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while causes:
        cause = causes.pop(0)
        if cause is None or cause in seen:  # errors may be causes of each other
            continue
        seen.append(cause)
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__} {getattr(cause, 'sqlstate', None) or ''}")
        lines += [
            f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)
        ]
        if isinstance(cause, BaseExceptionGroup):
            causes.extend(cause.exceptions)
        causes.append(cause.__cause__ or cause.__context__)
    logger.error("request %s failed: %s", scope.get("state", {}).get("request_id"), "\n".join(lines))
