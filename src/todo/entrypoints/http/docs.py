"""The contract for people and programs: /openapi.json, and Swagger UI at /docs, with no connection to the internet."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File

from todo.entrypoints.http import openapi

_OWN = Path(__file__).parent / "static"

# Nothing from elsewhere; Swagger UI sets styles and inlines its icons.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


@cache
def _find_assets() -> dict[str, tuple[Path, str]]:
    """Files and media types, by name."""
    spec = find_spec("swagger_ui")  # found, not imported: it brings a web framework's worth of code
    assert spec is not None
    assert spec.origin is not None
    theirs = Path(spec.origin).parent / "static"
    return {
        "start.js": (_OWN, "text/javascript"),
        "swagger-ui-bundle.js": (theirs, "text/javascript"),
        "swagger-ui.css": (theirs, "text/css"),
    }


@cache
def _encode_document(root_path: str) -> bytes:
    return msgspec.json.encode(openapi.make_document(root_path or "/"))


@get("/openapi.json", sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    return Response(_encode_document(request.scope.get("root_path", "")), media_type="application/json")


@get("/docs", sync_to_thread=False)
def page(request: Request[Any, Any, Any]) -> Response[str]:
    # Relative, so that it works below any path where a proxy has put the service. Litestar drops a slash at the end.
    has_slash = (request.scope.get("raw_path") or b"").endswith(b"/")
    html = (_OWN / "docs.html").read_text().replace("{root}", ".." if has_slash else ".")
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})


@get("/docs/{name:str}", sync_to_thread=False)
def asset(name: FromPath[str]) -> File:
    if name not in _find_assets():
        raise NotFoundException
    folder, media_type = _find_assets()[name]
    return File(folder / name, filename=name, media_type=media_type, content_disposition_type="inline")


HANDLERS = (openapi_json, page, asset)
