"""Files for browsers: compressed once, and a 304 for a browser that has them (RFC 9110, section 15.4.5)."""

import gzip
from collections.abc import AsyncIterator
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Request, Response
from litestar.response import Stream

from todo.entrypoints.http.compression import MIN_LENGTH, accepts_gzip
from todo.entrypoints.http.responses import entity_headers
from todo.http_contract.entity_tags import is_in_if_none_match

MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}

_PART = 64 * 1024  # bytes

OWN = Path(__file__).parent / "static"


class _Prepared(NamedTuple):
    etag: str
    compressed: bytes


def respond_with_file(request: Request[Any, Any, Any], file: Path) -> Response[Any]:
    return respond_with_page(request, _read(file), MEDIA_TYPES[file.suffix])


def respond_with_page(
    request: Request[Any, Any, Any], body: bytes, media_type: str = "text/html", policy: str | None = None
) -> Response[Any]:
    """``policy``: its Content-Security-Policy, without what holds for every page."""
    prepared = _prepare(body)
    is_compressed = len(body) >= MIN_LENGTH and accepts_gzip(request.headers.get("accept-encoding"))
    headers = {"cache-control": "no-cache", "vary": "Accept-Encoding"}
    if policy is not None:
        headers |= {
            "content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "cross-origin-opener-policy": "same-origin",
            "referrer-policy": "no-referrer",
        }
    entity = entity_headers(prepared.etag, is_compressed=is_compressed)
    headers |= {name.decode(): value.decode() for name, value in entity}
    if is_in_if_none_match(request.headers.get("if-none-match"), prepared.etag):
        headers.pop("content-encoding", None)
        return Response(b"", status_code=304, headers=headers, media_type=media_type)
    if is_compressed:
        body = prepared.compressed
    headers["content-length"] = str(len(body))
    return Stream(_split(body), headers=headers, media_type=media_type)


async def _split(body: bytes) -> AsyncIterator[bytes]:
    """A client that does not read gets no more than a part into the server's buffer."""
    for start in range(0, len(body), _PART):
        yield body[start : start + _PART]


@cache
def _read(file: Path) -> bytes:
    return file.read_bytes()


@lru_cache(64)
def _prepare(body: bytes) -> _Prepared:
    digest = blake2b(body, digest_size=12, person=b"todo file").hexdigest()
    return _Prepared(f'"{digest}"', gzip.compress(body, mtime=0))
