"""Hosts that import the application and run it in event loops of their own."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import migrated, sqlite_url
from tests.support.issuer import breakable_issuer
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

# No lifespan, and a new event loop for each request.
for number in range(3):
    print(asyncio.run(call("POST", "/api/tasks", b'{"title": "x"}'))[0])
print(len(json.loads(asyncio.run(call("GET", "/api/tasks"))[1])))
print(asyncio.run(call("GET", "/health/ready"))[0])
"""


@pytest.mark.parametrize("idle_timeout", ["0", "300"])
def test_a_new_event_loop_for_each_request_is_served(tmp_path: Path, migrated_postgres: str, idle_timeout: str) -> None:
    settings = {
        "DATABASE_URL": migrated_postgres,
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_POOL_IDLE_TIMEOUT": idle_timeout,
    }
    token = signed({"sub": f"serverless-{idle_timeout}"})
    run = subprocess.run(
        [sys.executable, "-c", AS_AN_ASGI_HOST, token],
        env=environment(**settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["201", "201", "201", "3", "200"], run.stderr
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert sorted((line["logger"], line["status"]) for line in lines) == [
        ("todo.access", status) for status in (200, 200, 201, 201, 201)
    ]
    assert list(tmp_path.iterdir()) == []


def test_key_sets_are_fetched_once_for_the_first_loop_and_once_for_all_others(tmp_path: Path) -> None:
    with breakable_issuer() as issuer:
        run = subprocess.run(
            [sys.executable, "-c", AS_AN_ASGI_HOST, issuer.token()],
            env=environment(DATABASE_URL=migrated(sqlite_url(tmp_path / "todo.db")), BETTER_AUTH_URL=issuer.url),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stdout.split() == ["201", "201", "201", "3", "200"], run.stderr
        assert len(issuer.requests) == 2


def test_from_the_second_loop_on_requests_run_in_one_loop_of_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", sqlite_url(tmp_path / "todo.db"))
    from todo import asgi  # only now: it makes an application of these settings

    assert "app" in vars(asgi)  # as hosts look it up
    loops: list[asyncio.AbstractEventLoop] = []
    bridged: list[bool] = []

    async def app(scope: Any, *_: Any) -> None:
        loops.append(asyncio.get_running_loop())
        bridged.append("is_bridged" in scope.get("state", {}))

    bridge = asgi.EventLoopBridge(lambda: app)
    hosts = [asyncio.new_event_loop() for _ in range(3)]
    nothing: Any = None
    for host in (*hosts, hosts[0]):
        scope: Any = {"type": "http"}
        host.run_until_complete(bridge(scope, nothing, nothing))
    assert loops[0] is loops[3] is hosts[0]
    assert loops[1] is loops[2]
    assert loops[1] not in hosts
    assert bridged == [False, True, True, False]
    loops[1].call_soon_threadsafe(loops[1].stop)
    while loops[1].is_running():
        time.sleep(0.001)
    for loop in (*hosts, loops[1]):
        loop.close()


def test_the_import_fails_if_a_setting_is_wrong(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from todo.asgi import app"],
        env=environment(BETTER_AUTH_SECRET="short"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (1, "todo: BETTER_AUTH_SECRET is shorter than 32 bytes\n")


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
