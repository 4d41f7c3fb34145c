"""Cross-origin requests from browsers (the Fetch standard, CORS protocol).

Litestar's own CORS overwrites Vary, takes patterns for origins, and rejects a preflight in plain text.
"""

import re
from collections.abc import Collection

from todo.entrypoints.http.problems import Headers

_METHODS = b"GET, HEAD, POST, PATCH, PUT, DELETE"
_EXPOSED_HEADERS = b"ETag, Link, Location, Retry-After, Idempotency-Replayed, X-Request-Id, WWW-Authenticate"
_MAX_AGE = b"3600"  # seconds a browser remembers a preflight
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]*")


class Cors:
    """Allows ``origins``; ``*`` allows all. That is safe, because browsers never add the token by themselves."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def preflight_headers(self, request: Headers) -> Headers | None:
        """The headers that answer a preflight; None if this is no preflight, or its origin is not allowed."""
        if self._allow_origin(request) is None or _first(request, b"access-control-request-method") is None:
            return None
        # All that the page asks for: libraries for tracing and error reporting add headers of their own.
        wanted = _first(request, b"access-control-request-headers") or b""
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", wanted if _HEADER_NAMES.fullmatch(wanted) else b""),
            (b"access-control-max-age", _MAX_AGE),
            (b"vary", b"Access-Control-Request-Headers"),
        ]

    def response_headers(self, request: Headers) -> Headers:
        """For every response."""
        if not self._origins:
            return []
        origin = self._allow_origin(request)
        vary = (b"vary", b"Origin")
        if origin is None:
            return [vary]
        return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED_HEADERS), vary]

    def _allow_origin(self, request: Headers) -> bytes | None:
        origin = _first(request, b"origin")
        if origin is None:
            return None
        return b"*" if b"*" in self._origins else origin if origin in self._origins else None


def _first(headers: Headers, name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)
