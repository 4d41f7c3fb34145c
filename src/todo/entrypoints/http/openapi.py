"""The OpenAPI 3.1 document: static/openapi.yaml, with the version, and the schemas of tasks and of the bodies that
create or change one, derived from the domain's fields."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from todo.domain.fields import Flag, Rule, Text
from todo.domain.task import FIELDS, USER_ID_LENGTH, Field, Task
from todo.http_contract.documents import WIRE_NAMES

Json = dict[str, Any]

_SOURCE = Path(__file__).parent / "static" / "openapi.yaml"

_SPACE = r"\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"

# Fields that clients cannot set.
_READ_ONLY: dict[str, Json] = {
    "id": {"type": "string", "format": "uuid", "description": "A version 7 UUID; newer tasks have greater IDs."},
    "owner": {
        "type": "string",
        "minLength": 1,
        "maxLength": USER_ID_LENGTH,
        "description": "The owner: the `sub` claim of their token.",
    },
    "created_at": {"type": "string", "format": "date-time", "description": "In UTC."},
    "updated_at": {"type": "string", "format": "date-time", "description": "In UTC; never decreases."},
    "revision": {"type": "integer", "minimum": 1, "description": "The number in the task's ETag, for use in If-Match."},
}


def make_document(server: str) -> Json:
    """``server``: where the service is, as a URL or a path."""
    document: Json = msgspec.yaml.decode(_SOURCE.read_bytes())
    document["info"]["version"] = version("todo")
    document["servers"] = [{"url": server}]
    document["components"]["schemas"] |= make_schemas()
    return document


def make_schemas() -> dict[str, Json]:
    """The schemas Task, NewTask, Rename and TaskChange, by name."""
    at_creation = [field for field in FIELDS if field.rule.at_creation]
    title = [field for field in FIELDS if field.name == "title"]
    ignored = "Other fields are ignored."
    return {
        "Task": _make_task(),
        "NewTask": _make_body(ignored, at_creation) | {"required": [f.name for f in at_creation if f.rule.is_required]},
        "Rename": _make_body(ignored, title) | {"required": ["title"]},
        "TaskChange": _make_body(f"At least one of these fields. {ignored}", FIELDS)
        | {"anyOf": [{"required": [field.name]} for field in FIELDS]},
    }


def _make_task() -> Json:
    schemas = _READ_ONLY | {field.name: _make_value(field.rule, is_sent=False) for field in FIELDS}
    properties = {WIRE_NAMES.get(name, name): schemas[name] for name in Task._fields}
    return {"type": "object", "required": list(properties), "properties": properties}


def _make_body(description: str, fields: Iterable[Field]) -> Json:
    properties = {field.name: _make_value(field.rule, is_sent=True) for field in fields}
    return {"type": "object", "description": description, "properties": properties}


def _make_value(rule: Rule, *, is_sent: bool) -> Json:
    """The schema of a field's value, in a request (``is_sent``) or in a response."""
    match rule:
        case Text(max_length=length, is_required=True):
            edge, inner = f"[^{_SPACE}{_CONTROL}]", f"[^{_CONTROL}]"
            pattern = f"^[{_SPACE}]*{edge}({inner}{{0,{length - 2}}}{edge})?[{_SPACE}]*$"
            return {
                "type": "string",
                "minLength": 1,
                **({"pattern": pattern} if is_sent else {"maxLength": length}),
                "description": f"1 to {length} characters (Unicode code points), not counting leading and trailing "
                "white space, which is removed. Tab, line feed and carriage return are the only control characters "
                "allowed.",
            }
        case Text(max_length=length):
            return {
                "type": ["string", "null"],
                "maxLength": length,
                **({"pattern": f"^[^{_CONTROL}]*$"} if is_sent else {}),
                "description": f"Up to {length} characters, stored as sent; blank text becomes null.",
            }
        case Flag():
            return {"type": "boolean"}
        case _:
            raise TypeError(f"no schema for {rule}")
