"""The OpenAPI 3.1 document: static/openapi.yaml, with the version, and the schemas of tasks and of the bodies that
create or change one, derived from the domain's fields."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from todo.domain.fields import Choice, DueDate, Flag, Labels, Rule, Text
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
    "completed_at": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When `completed` became true, in UTC; null while the task is open.",
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
    """The schemas Task, RemovedTask, NewTask, Rename and TaskChange, by name."""
    at_creation = [field for field in FIELDS if field.rule.at_creation]
    title = [field for field in FIELDS if field.name == "title"]
    ignored = "Other fields are ignored."
    return {
        "Task": _make_task(),
        "RemovedTask": _make_removed_task(),
        "NewTask": _make_body(ignored, at_creation) | {"required": [f.name for f in at_creation if f.rule.is_required]},
        "Rename": _make_body(ignored, title) | {"required": ["title"]},
        "TaskChange": _make_body(f"At least one of these fields. {ignored}", FIELDS)
        | {"anyOf": [{"required": [field.name]} for field in FIELDS]},
    }


def _make_task() -> Json:
    schemas = _READ_ONLY | {field.name: _make_value(field.rule, is_sent=False) for field in FIELDS}
    properties = {WIRE_NAMES.get(name, name): schemas[name] for name in Task._fields}
    return {"type": "object", "required": list(properties), "properties": properties}


def _make_removed_task() -> Json:
    task, removed_at = _make_task(), {"type": "string", "format": "date-time", "description": "In UTC."}
    properties = {**task["properties"], "removed_at": removed_at}
    return {"type": "object", "required": list(properties), "properties": properties}


def _make_body(description: str, fields: Iterable[Field]) -> Json:
    properties = {field.name: _make_value(field.rule, is_sent=True) for field in fields}
    return {"type": "object", "description": description, "properties": properties}


def _make_value(rule: Rule, *, is_sent: bool) -> Json:
    """The schema of a field's value, in a request (``is_sent``) or in a response."""
    match rule:
        case Text(max_length=length, is_required=True):
            pattern = _make_trimmed_pattern(length, inner=f"[^{_CONTROL}]")
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
        case Choice(words=words):
            return {"type": ["string", "null"], "enum": [*words, None]}
        case DueDate():
            return _make_due(is_sent=is_sent)
        case Labels(max_number=number, max_length=length):
            sent = {"pattern": _make_trimmed_pattern(length, inner=f"[^{_CONTROL}\\t\\n\\r]")}
            return {
                "type": ["array", "null"] if is_sent else "array",
                "items": {"type": "string", **(sent if is_sent else {"maxLength": length})},
                "maxItems": number,
                "uniqueItems": True,
                "description": f"Up to {number}, of 1 to {length} characters each, not counting leading and trailing "
                "white space, which is removed. No two may be equal when upper and lower case count as the same.",
            }
        case _:
            raise TypeError(f"no schema for {rule}")


def _make_trimmed_pattern(length: int, *, inner: str) -> str:
    """Of text with 1 to ``length`` characters once it is trimmed. ``inner``: one that is not the first or the last."""
    edge = f"[^{_SPACE}{_CONTROL}]"
    return f"^[{_SPACE}]*{edge}({inner}{{0,{length - 2}}}{edge})?[{_SPACE}]*$"


def _make_due(*, is_sent: bool) -> Json:
    # Clients may send null for what is absent.
    text = ["string", "null"] if is_sent else "string"
    return {
        "type": ["object", "null"],
        "required": ["date"],
        "properties": {
            "date": {"type": "string", "format": "date"},
            "time": {"type": text, "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
            "time_zone": {"type": text, "description": "A name in the IANA tz database; only beside a time."},
        },
        "dependentRequired": {"time_zone": ["time"]},
        "description": "What is on the calendar and the wall clock; nothing converts it. A date alone is the whole "
        "day, a time without a zone is that time wherever the person is.",
        "examples": [{"date": "2026-12-24", "time": "17:30", "time_zone": "Europe/Berlin"}],
    }
