"""On a host that imports the application and serves it as it likes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import SECRET, environment, signed

AS_AN_ASGI_HOST = """
import asyncio, importlib, json, sys

module, _, name = "todo.asgi:app".partition(":")
app = getattr(importlib.import_module(module), name)
token = sys.argv[1]

async def call(method, path, body=b""):
    sent = []
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    headers = [(b"authorization", b"Bearer " + token.encode()), (b"host", b"x")]
    await app(
        {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
         "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "https", "headers": headers,
         "server": ("x", 443), "client": ("127.0.0.1", 1)}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)

# No lifespan, and an event loop for each request: what the most sparing of hosts do.
for number in range(3):
    print(asyncio.run(call("POST", "/api/tasks", b'{"title": "x"}'))[0])
print(len(json.loads(asyncio.run(call("GET", "/api/tasks"))[1])))
print(asyncio.run(call("GET", "/health/ready"))[0])
"""


@pytest.mark.parametrize("rest", ["0", "300"])
def test_it_is_imported_and_called_without_a_start_or_an_end(tmp_path: Path, migrated_postgres: str, rest: str) -> None:
    settings = {"DATABASE_URL": migrated_postgres, "BETTER_AUTH_SECRET": SECRET, "DATABASE_POOL_IDLE_TIMEOUT": rest}
    token = signed({"sub": f"serverless-{rest}"})
    run = subprocess.run(
        [sys.executable, "-c", AS_AN_ASGI_HOST, token],
        env=environment(**settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["201", "201", "201", "3", "200"], run.stderr
    told = [json.loads(line) for line in run.stderr.splitlines()]
    assert sorted((line["logger"], line["status"]) for line in told) == [
        ("todo.access", status) for status in (200, 200, 201, 201, 201)
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_is_said_when_it_is_imported(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from todo.asgi import app"],
        env=environment(BETTER_AUTH_SECRET="short"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "InvalidSetting: BETTER_AUTH_SECRET is shorter than 32 bytes" in run.stderr


AS_A_HOST_OF_THREADS = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from todo.asgi import app
token = sys.argv[1]

async def call(_):
    sent = []
    async def receive():
        return {"type": "http.request", "body": b'{"title": "x"}', "more_body": False}
    async def send(message):
        sent.append(message)
    headers = [(b"authorization", b"Bearer " + token.encode())]
    await app(
        {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/api/tasks",
         "raw_path": b"/api/tasks", "query_string": b"", "root_path": "", "scheme": "https", "headers": headers,
         "server": ("x", 443), "client": None}, receive, send)
    return sent[0]["status"]

async def main():
    first = await call(0)
    with ThreadPoolExecutor(8) as threads:
        others = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(threads, asyncio.run, call(n)) for n in range(16)),
            *(call(n) for n in range(4)),
        )
    print(first, *others)

asyncio.run(main())
"""


def test_event_loops_in_several_threads_are_served_at_once(tmp_path: Path, migrated_postgres: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", AS_A_HOST_OF_THREADS, signed({"sub": "threads"})],
        env=environment(DATABASE_URL=migrated_postgres, BETTER_AUTH_SECRET=SECRET),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["201"] * 21, run.stderr
