"""Loads the OpenAPI 3.1 document: static/openapi.yaml, with the version and the schemas of tasks filled in."""

from importlib.metadata import version
from pathlib import Path

import msgspec

from todo.entrypoints.http.schemas import Json, make_schemas

_SOURCE = Path(__file__).parent / "static" / "openapi.yaml"


def make_document() -> Json:
    document: Json = msgspec.yaml.decode(_SOURCE.read_bytes())
    document["info"]["version"] = version("todo")
    document["components"]["schemas"] |= make_schemas()
    return document
