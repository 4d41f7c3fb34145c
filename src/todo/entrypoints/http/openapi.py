"""The contract as OpenAPI 3.1, written by hand: it says what clients may rely on, whatever the code is made of.

Tests hold the service to it: every operation of Schemathesis, every route and status.
"""

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from todo.domain.ports import PAGE_LENGTH
from todo.domain.task import TITLE_LENGTH
from todo.entrypoints.http import schemas
from todo.entrypoints.http.problems import MEDIA_TYPE, phrase
from todo.entrypoints.http.schemas import Json
from todo.wire import KEY_LENGTH

_BODY = (400, 413, 415)
_ONE = (400, 401, 403, 404, 500, 503)


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "todo",
            "version": version("todo"),
            "description": "Tasks, each person's own. Every answer that is an error is a problem document (RFC 9457).",
        },
        "security": [{"bearer": []}],
        "tags": [
            {"name": "tasks", "description": "Each person sees and changes their own."},
            {"name": "health", "description": "For whatever runs the service."},
        ],
        "paths": {
            "/api/tasks": {"get": _list(), "post": _create()},
            "/api/tasks/{id}": {
                "parameters": [_id()],
                "get": _read(),
                "patch": _change(),
                "put": _rename(),
                "delete": _remove(),
            },
            "/health/live": {"get": _health("live", "The process answers", problems=())},
            "/health/ready": {"get": _health("ready", "The database answers", problems=(500, 503))},
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The token of a signed-in person, as Better Auth's /api/auth/token gives it.",
                }
            },
            "schemas": {
                "Task": schemas.task(),
                "NewTask": schemas.new_task(),
                "TaskChange": schemas.task_change(),
                "Problem": schemas.problem(),
            },
            "headers": {
                "ETag": _header('The revision, such as `"7"`: for If-Match and If-None-Match.'),
                "RequestId": _header("Names this request in the service's log."),
            },
            "responses": {str(status): _problem_response(status) for status in _PROBLEMS},
        },
    }


_PROBLEMS = {
    400: "The body or a parameter is not as it must be; `errors` says which.",
    401: "No token came, or one that is not taken.",
    403: "The task belongs to another person.",
    404: "There is no such task.",
    412: "The task has changed since the revision in If-Match.",
    413: "The body is larger than 64 KiB.",
    415: "The body is sent as something other than JSON.",
    422: "The Idempotency-Key was used for another task.",
    500: "A fault of the service; its log has the cause under the request's id.",
    503: "Something the service stands on is away, for now.",
}


def _operation(name: str, summary: str, description: str, problems: tuple[int, ...], **rest: Any) -> Json:
    responses = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(set(problems))}
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": ["tasks"],
        **rest,
        "responses": rest.get("responses", {}) | responses,
    }


def _list() -> Json:
    parameters = [
        _parameter(
            "limit",
            "Asks for a page of at most so many tasks. Without it the whole list comes.",
            {"type": "integer", "minimum": 1, "maximum": PAGE_LENGTH},
        ),
        _parameter(
            "cursor",
            "Where the page begins: out of a Link header, never made up.",
            {"type": "string", "pattern": "^[A-Za-z0-9_-]{56}$"},
        ),
        _parameter("completed", "Keeps tasks that are done, or open.", {"type": "boolean"}),
        _parameter(
            "q",
            "Keeps titles that contain this text, whatever its case.",
            {"type": "string", "maxLength": TITLE_LENGTH, "pattern": r"^[^\u0000]*$"},
        ),
        _parameter(
            "id_prefix",
            "Keeps tasks whose id begins so.",
            {"type": "string", "maxLength": 36, "pattern": schemas.ID_PREFIX},
        ),
        _if_none_match(),
    ]
    headers = _task_headers() | {
        "Link": _header('`<…>; rel="next"` leads to the next page, as long as there is one (RFC 8288).')
    }
    return _operation(
        "listTasks",
        "List your tasks",
        "Newest first. Unchanged lists cost next to nothing: send the last ETag as If-None-Match.",
        (400, 401, 500, 503),
        parameters=parameters,
        responses={
            "200": _json_response("Your tasks.", {"type": "array", "items": _ref("Task")}, headers),
            "304": _not_modified(),
        },
    )


def _create() -> Json:
    parameters = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key within 24 hours makes one task, however often it is sent.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
        }
    ]
    headers = _task_headers() | {
        "Location": _header("Where the task is."),
        "Idempotency-Replayed": {
            "description": "`true` if the key was sent before: the task is the one made then, as it is now.",
            "schema": {"const": "true"},
        },
    }
    return _operation(
        "createTask",
        "Create a task",
        "An open task of yours.",
        (*_BODY, 401, 404, 422, 500, 503),
        parameters=parameters,
        requestBody=_body("NewTask", {"title": "Buy milk"}),
        responses={"201": _json_response("The new task.", _ref("Task"), headers)},
    )


def _read() -> Json:
    return _operation(
        "readTask",
        "Read a task",
        "One of your own.",
        _ONE,
        parameters=[_if_none_match()],
        responses={"200": _task_response(), "304": _not_modified()},
    )


def _change() -> Json:
    return _operation(
        "changeTask",
        "Complete, reopen or rename a task",
        "Send completed, title, or both; what is not sent stays.",
        (*_ONE, *_BODY, 412),
        parameters=[_if_match()],
        requestBody=_body("TaskChange", {"completed": True}),
        responses={"200": _task_response()},
    )


def _rename() -> Json:
    return _operation(
        "renameTask",
        "Rename a task",
        "Never touches completed.",
        (*_ONE, *_BODY, 412),
        parameters=[_if_match()],
        requestBody=_body("NewTask", {"title": "Buy oat milk"}),
        responses={"200": _task_response()},
    )


def _remove() -> Json:
    return _operation(
        "deleteTask",
        "Delete a task",
        "For good.",
        (*_ONE, 412),
        parameters=[_if_match()],
        responses={"204": {"description": "It is gone.", "headers": _common_headers()}},
    )


def _health(name: str, summary: str, *, problems: tuple[int, ...]) -> Json:
    status = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    return _operation(
        name,
        summary,
        "Wants no token.",
        problems,
        responses={"200": _json_response("It does.", status, _common_headers())},
    ) | {"tags": ["health"], "security": []}


def _problem_response(status: int) -> Json:
    headers = _common_headers()
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("`Bearer`, with `error` if a token came and was refused (RFC 6750).")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
    example = {"type": "about:blank", "title": phrase(status), "status": status, "detail": _PROBLEMS[status]}
    return {
        "description": _PROBLEMS[status],
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": _ref("Problem"), "example": example}},
    }


def _task_response() -> Json:
    return _json_response("The task.", _ref("Task"), _task_headers())


def _json_response(description: str, schema: Json, headers: Json) -> Json:
    return {"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}}


def _not_modified() -> Json:
    return {"description": "You have it already.", "headers": _task_headers()}


def _common_headers() -> Json:
    return {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}


def _task_headers() -> Json:
    return _common_headers() | {"ETag": {"$ref": "#/components/headers/ETag"}}


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}


def _if_match() -> Json:
    return _etag_parameter("If-Match", "Does it only if the task is still at this ETag, else 412.")


def _if_none_match() -> Json:
    return _etag_parameter("If-None-Match", "Answers 304 if this ETag is still the current one.")


def _etag_parameter(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
    }


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _body(schema: str, example: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema), "example": example}}}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _header(description: str) -> Json:
    return {"description": description, "schema": {"type": "string"}}
