"""Cross-origin calls from browsers (the Fetch standard, CORS protocol).

Litestar's own overwrites Vary, takes patterns for origins, and refuses a preflight in plain text.
"""

from collections.abc import Collection

from todo.entrypoints.http.replies import Headers

_METHODS = b"GET, HEAD, POST, PATCH, PUT, DELETE"
_SENT = b"Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, X-Request-Id"
_READ = b"ETag, Link, Location, Retry-After, Idempotency-Replayed, X-Request-Id, WWW-Authenticate"
_MAX_AGE = b"3600"  # seconds a browser remembers a preflight


class Cors:
    """``origins`` may call, or anybody if it is ``*``: tokens are sent on purpose, not by the browser itself."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def preflight(self, request: Headers) -> Headers | None:
        """What a preflight is answered with; None if the request is none, or of somebody who may not call."""
        if self._allowed(request) is None or _first(request, b"access-control-request-method") is None:
            return None
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _SENT),
            (b"access-control-max-age", _MAX_AGE),
        ]

    def added(self, request: Headers) -> Headers:
        """What every answer says besides."""
        if not self._origins:
            return []
        origin = self._allowed(request)
        vary = (b"vary", b"Origin")
        if origin is None:
            return [vary]
        return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _READ), vary]

    def _allowed(self, request: Headers) -> bytes | None:
        origin = _first(request, b"origin")
        if origin is None:
            return None
        return b"*" if b"*" in self._origins else origin if origin in self._origins else None


def _first(headers: Headers, name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)
