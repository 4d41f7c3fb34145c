"""What is sent and what comes back, as the JSON Schemas of the OpenAPI document."""

from typing import Any

from todo.domain.task import TITLE_LENGTH, USER_ID_LENGTH

Json = dict[str, Any]

# A title as it may be sent: white space that is trimmed, and in between the rule. No control character but three.
_SPACE = r"\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"
_TITLE = f"^[{_SPACE}]*[^{_SPACE}{_CONTROL}]([^{_CONTROL}]{{0,{TITLE_LENGTH - 2}}}[^{_SPACE}{_CONTROL}])?[{_SPACE}]*$"
_TITLE_RULE = (
    f"1 to {TITLE_LENGTH} characters (Unicode code points) after surrounding white space is trimmed; "
    "no control character but tab, line feed and carriage return."
)

ID_PREFIX = "^([0-9a-f]{1,8}|[0-9a-f]{8}-([0-9a-f]{4}-){0,2}[0-9a-f]{0,4}|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{0,12})$"


def task() -> Json:
    return {
        "type": "object",
        "required": ["id", "title", "completed", "user_id", "created_at", "updated_at", "revision"],
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "A UUID of version 7: later ones sort later."},
            "title": {"type": "string", "minLength": 1, "maxLength": TITLE_LENGTH, "description": _TITLE_RULE},
            "completed": {"type": "boolean"},
            "user_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": USER_ID_LENGTH,
                "description": "Whose it is: the sub of their token.",
            },
            "created_at": {"type": "string", "format": "date-time", "description": "In UTC."},
            "updated_at": {"type": "string", "format": "date-time", "description": "In UTC; never moves back."},
            "revision": {
                "type": "integer",
                "minimum": 1,
                "description": "What its ETag says, for an If-Match after a list.",
            },
        },
    }


def _title() -> Json:
    return {"type": "string", "minLength": 1, "pattern": _TITLE, "description": _TITLE_RULE}


def new_task() -> Json:
    return {
        "type": "object",
        "description": "Other fields are ignored.",
        "required": ["title"],
        "properties": {"title": _title()},
    }


def task_change() -> Json:
    return {
        "type": "object",
        "description": "At least one of these; other fields are ignored.",
        "properties": {"title": _title(), "completed": {"type": "boolean"}},
        "anyOf": [{"required": ["title"]}, {"required": ["completed"]}],
    }


def problem() -> Json:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string", "description": "The status's own phrase."},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "One sentence for a person."},
            "errors": {
                "type": "array",
                "description": "What is wrong with which part of the body or which parameter.",
                "items": {
                    "type": "object",
                    "required": ["detail"],
                    "properties": {
                        "pointer": {"type": "string", "description": "A JSON Pointer (RFC 6901) into the body."},
                        "parameter": {"type": "string", "description": "The parameter's or header's name."},
                        "detail": {"type": "string"},
                    },
                },
            },
        },
    }
