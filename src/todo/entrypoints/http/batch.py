"""The route of batches."""

from typing import Any

import msgspec
from litestar import Controller, post
from litestar.types import ASGIApp

from todo.domain.batch import Asked
from todo.domain.refusals import InvalidField
from todo.domain.use_cases import Tasks
from todo.entrypoints.http.problems import render
from todo.entrypoints.http.requests import ApiRequest, explain, invalid_body, read_idempotency_key, read_json
from todo.entrypoints.http.responses import JSON, TASK_HEADERS, BytesResponse
from todo.http_contract.batches import encode_batch, read_operation
from todo.http_contract.entity_tags import format_task_etag

BODY_LENGTH = 1024 * 1024  # the most bytes of a body


class BatchController(Controller):
    path = "/batch"
    tasks: Tasks

    @post(status_code=200)
    async def run(self, request: ApiRequest) -> ASGIApp:
        key = read_idempotency_key(request)
        asked, is_atomic = _read_batch(await read_json(request, BODY_LENGTH))
        batch = await self.tasks.batch(request.user, asked, is_atomic=is_atomic, key=key)
        headers = [(b"etag", format_task_etag(batch.revision).encode())]
        if batch.replayed:
            headers.append((b"idempotency-replayed", b"true"))
        body = encode_batch(batch, lambda refusal: render(refusal)[2])
        return BytesResponse(200, [JSON, *TASK_HEADERS, *headers], body)


def _read_batch(document: Any) -> tuple[list[Asked], bool]:
    if not isinstance(document, dict):
        raise invalid_body("The body must be a JSON object.")
    is_atomic, operations = document.get("atomic", True), document.get("operations")
    if not isinstance(is_atomic, bool):
        raise invalid_body("atomic must be true or false.", "atomic")
    if not isinstance(operations, list):
        raise invalid_body("operations must be an array.", "operations")
    return [_read_operation(operation) for operation in operations], is_atomic


def _read_operation(document: Any) -> Asked:
    try:
        return read_operation(document)
    except InvalidField as refusal:
        return refusal
    except msgspec.ValidationError as error:
        return InvalidField(*explain(str(error)))
