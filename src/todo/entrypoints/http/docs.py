"""The contract for people and programs: /openapi.json, and Swagger UI at /docs out of files in a package."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File

from todo.entrypoints.http import openapi

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>todo: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script src="{root}/docs/start.js"></script>
</body>
</html>
"""

_START = """SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

# Nothing from elsewhere; Swagger UI sets styles and inlines its icons.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


@cache
def _assets() -> Path:
    spec = find_spec("swagger_ui")  # found, not imported: it brings a web framework's worth of code
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


@cache
def _document() -> bytes:
    return msgspec.json.encode(openapi.document())


@get("/openapi.json", sync_to_thread=False)
def openapi_json() -> Response[bytes]:
    return Response(_document(), media_type="application/json")


@get("/docs", sync_to_thread=False)
def page(request: Request[Any, Any, Any]) -> Response[str]:
    root = quote(request.scope.get("root_path", ""))
    return Response(_PAGE.format(root=root), media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})


@get("/docs/start.js", sync_to_thread=False)
def start() -> Response[str]:
    return Response(_START, media_type="text/javascript")


@get("/docs/{name:str}", sync_to_thread=False)
def asset(name: FromPath[str]) -> File:
    if name not in _ASSETS:
        raise NotFoundException
    return File(_assets() / name, filename=name, media_type=_ASSETS[name], content_disposition_type="inline")
