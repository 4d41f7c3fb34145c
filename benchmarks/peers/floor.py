"""The least that Python can do to the same end: a bare ASGI callable, SQL written out, our own connections, no more.

No framework, no layers, no rules beyond ownership. What the service costs more than this is what it does more.
From the environment: DATABASE_URL, BETTER_AUTH_SECRET, PORT.
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import jwt
import msgspec
import uvicorn

from todo.adapters.sql.postgresql.connection import PreparedStatement
from todo.adapters.sql.postgresql.pool import Pool

COLUMNS = "id, user_id, title, completed, created_at, updated_at, version"
GET = PreparedStatement(f"SELECT {COLUMNS} FROM tasks WHERE id = $1", UUID)
LIST = PreparedStatement(
    f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2", str, int
)
ADD = PreparedStatement(
    f"INSERT INTO tasks ({COLUMNS}) VALUES ($1, $2, $3, false, $4, $4, 1) RETURNING {COLUMNS}",
    *(UUID, str, str, datetime),
)
SAVE = PreparedStatement(
    "UPDATE tasks SET title = $1, completed = $2, updated_at = $3, version = version + 1"
    f" WHERE id = $4 AND version = $5 RETURNING {COLUMNS}",
    *(str, bool, datetime, UUID, int),
)


class Task(msgspec.Struct, gc=False):
    id: UUID
    user_id: str
    title: str
    completed: bool
    created_at: datetime
    updated_at: datetime
    version: int


class Body(msgspec.Struct):
    title: str | None = None
    completed: bool | None = None


pool = Pool(os.environ["DATABASE_URL"], 10, idle_timeout=300)
callers: dict[bytes, str] = {}
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Body).decode


def caller(headers: list[tuple[bytes, bytes]]) -> str:
    token = next(value for name, value in headers if name == b"authorization")
    if token not in callers:
        callers[token] = jwt.decode(token[7:], os.environ["BETTER_AUTH_SECRET"], ["HS256"])["sub"]
    return callers[token]


async def ask(statement: PreparedStatement, *parameters: object) -> list[Task]:
    until = asyncio.get_running_loop().time() + 60
    connection = await pool.acquire(until)
    try:
        return [Task(*row) for row in await connection.run(statement, parameters, prepare=True)]
    finally:
        pool.release(connection)


async def answer(scope: dict[str, Any], receive: Any) -> tuple[int, bytes]:
    who, path, method = caller(scope["headers"]), scope["path"], scope["method"]
    body = decode((await receive())["body"]) if method in ("POST", "PATCH") else Body()
    if path == "/api/tasks":
        if method == "GET":
            query = scope["query_string"]
            return 200, encode(await ask(LIST, who, int(query[6:]) if query else 2**31))
        return 201, encode((await ask(ADD, uuid4(), who, body.title, datetime.now(UTC)))[0])
    found = await ask(GET, UUID(path[11:]))
    if not found or found[0].user_id != who:
        return (403 if found else 404), b"{}"
    if method == "GET":
        return 200, encode(found[0])
    task = found[0]
    title = task.title if body.title is None else body.title
    completed = task.completed if body.completed is None else body.completed
    return 200, encode((await ask(SAVE, title, completed, datetime.now(UTC), task.id, task.version))[0])


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    status, body = await answer(scope, receive)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, lifespan="off")
