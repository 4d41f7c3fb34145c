"""The contract for people and programs: /openapi.json, and Swagger UI at /docs, with no connection to the internet."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from todo.entrypoints.http import openapi
from todo.entrypoints.http.files import OWN, respond_with_file, respond_with_page

# Nothing from elsewhere; Swagger UI sets styles and inlines its icons.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"


@cache
def _find_assets() -> dict[str, Path]:
    spec = find_spec("swagger_ui")  # found, not imported: it brings a web framework's worth of code
    assert spec is not None
    assert spec.origin is not None
    theirs = Path(spec.origin).parent / "static"
    files = (OWN / "start.js", theirs / "swagger-ui-bundle.js", theirs / "swagger-ui.css")
    return {file.name: file for file in files}


@cache
def _encode_document(root_path: str) -> bytes:
    return msgspec.json.encode(openapi.make_document(root_path or "/"))


@get("/openapi.json", sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    return Response(_encode_document(request.scope.get("root_path", "")), media_type="application/json")


@get("/docs", sync_to_thread=False)
def page(request: Request[Any, Any, Any]) -> Response[Any]:
    # Relative, so that it works below any path where a proxy has put the service. Litestar drops a slash at the end.
    has_slash = (request.scope.get("raw_path") or b"").endswith(b"/")
    body = (OWN / "docs.html").read_text().replace("{root}", ".." if has_slash else ".").encode()
    return respond_with_page(request, body, policy=_POLICY)


@get("/docs/{name:str}", sync_to_thread=False)
def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    if name not in _find_assets():
        raise NotFoundException
    return respond_with_file(request, _find_assets()[name])


HANDLERS = (openapi_json, page, asset)
