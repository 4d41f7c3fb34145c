"""A real server on a real socket, and the people who call it."""

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt

from tests.support.databases import standby_settings
from tests.support.secrets import found_in, keep_secret
from todo.domain.task import UserId

SECRET = keep_secret("a secret that only the tests and their servers know")
TODO = Path(sys.executable).with_name("todo")


def signed(claims: Mapping[str, Any] | None = None, *, secret: str = SECRET, **header: Any) -> str:
    """A token; its claims are those of a good one unless given, and None leaves one out."""
    exp = datetime.now(UTC) + timedelta(hours=2)  # one that is made when tests are collected outlives the slowest run
    good = {"sub": "ann", "exp": exp, "iat": datetime.now(UTC)}
    merged = {name: value for name, value in {**good, **(claims or {})}.items() if value is not None}
    return keep_secret(jwt.encode(merged, secret, algorithm="HS256", headers=header or None))


def _make_tls_context() -> ssl.SSLContext:
    """Trusts no authority, which httpx would load for each client, and needs none: certificates are made for tests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_TLS = _make_tls_context()


class Client(httpx.Client):
    """Can also follow an address in a response, which has the path of the service in it."""

    def build_request(self, method: str, url: Any, **more: Any) -> httpx.Request:
        path = self.base_url.path
        return super().build_request(method, str(url).removeprefix(path) if path != "/" else url, **more)


def client(url: str, authorization: str | None = None) -> Client:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Client(base_url=url, headers=headers, timeout=20, verify=_TLS, http2=True)


class Person:
    """Somebody with a token, and a client that sends it."""

    def __init__(self, url: str, user_id: str | None = None) -> None:
        self.user_id = keep_secret(user_id or f"person-{uuid4()}")
        self.token = signed({"sub": self.user_id})
        self.api = client(url, f"Bearer {self.token}")

    def add(self, title: str = "Buy milk") -> dict[str, Any]:
        answer = self.api.post("/api/tasks", json={"title": title})
        assert answer.status_code == 201, answer.text
        task: dict[str, Any] = answer.json()
        return task

    def tasks(self) -> list[dict[str, Any]]:
        answer = self.api.get("/api/tasks")
        assert answer.status_code == 200, answer.text
        tasks: list[dict[str, Any]] = answer.json()
        return tasks


class Server:
    def __init__(self, greeting: str, process: "subprocess.Popen[str]", printed: Path) -> None:
        url = re.search(r"http://\S+:\d+", greeting)
        assert url is not None, f"no server: {greeting}{printed.read_text()}"
        self.url = url[0]
        self.greeting = greeting
        self.pid = process.pid
        self._process = process
        self._printed = printed
        self._people: list[Person] = []
        self.anybody = client(self.url)
        """Somebody without a token."""

    def person(self, user_id: str | None = None) -> Person:
        person = Person(self.url, user_id)
        self._people.append(person)
        return person

    @contextmanager
    def behind(self, url: str) -> Iterator["Server"]:
        """The same server as the clients of a proxy see it."""
        seen = copy(self)
        seen.url, seen.anybody, seen._people = url, client(url), []
        try:
            yield seen
        finally:
            seen.close()

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    def printed(self) -> str:
        """Everything on standard error so far."""
        return self._printed.read_text()

    def logged(self, logger: str) -> list[dict[str, Any]]:
        """What one of its loggers has written so far."""
        lines = [json.loads(line) for line in self.printed().splitlines()]
        return [line for line in lines if line["logger"] == logger]

    def wait(self) -> int:
        """For its end; the exit status."""
        return self._process.wait(timeout=20)

    def close(self) -> None:
        for api in (self.anybody, *(person.api for person in self._people)):
            api.close()


def environment(**settings: str) -> dict[str, str]:
    """This process's, with these settings and no others of ours."""
    ours = re.compile("DATABASE_|BETTER_AUTH_|JWT_|CORS_|TODO_|MAX_|ACCESS_LOG|LOG_|METRICS|TRACING|OTEL_|TRASH_|WEB")
    return {name: value for name, value in os.environ.items() if not ours.match(name)} | settings


def run_python(program: str, directory: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program in a process of its own, which has to succeed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def serving(directory: Path, database_url: str, *options: str, **settings: str) -> Iterator[Server]:
    """A `todo serve` on a free port, until the end of the block."""
    printed = directory / f"server-{uuid4().hex}.log"
    settings = {
        "BETTER_AUTH_SECRET": SECRET,
        "DATABASE_URL": database_url,
        **standby_settings(database_url),
        **settings,
    }
    with (
        printed.open("w") as log,
        subprocess.Popen(
            [TODO, "serve", "--port", "0", *options],
            cwd=directory,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            # Comes once the socket listens.
            greeting = ""
            while line := process.stdout.readline():
                greeting += line
                if line.startswith("Try it:"):
                    break
            server = Server(greeting, process, printed)
            try:
                yield server
            finally:
                server.close()
        finally:
            process.terminate()
            process.wait(timeout=20)
            assert not found_in(printed.read_text() + process.stdout.read())


def application(store: Any, **options: Any) -> Any:
    """The ASGI application, on a store of the test's own."""
    from todo.adapters.tokens.claims import ClaimRules
    from todo.adapters.tokens.shared_secret import SharedSecret
    from todo.adapters.tokens.verifier import JwtVerifier
    from todo.composition import Service, Stats, make_tasks
    from todo.domain.use_cases import Sync
    from todo.entrypoints.http.application import make_app

    async def do_nothing() -> None:
        pass

    tokens = JwtVerifier(SharedSecret(SECRET), ClaimRules())
    service = Service(
        tasks=make_tasks(store),
        sync=Sync(store),
        feed=store,
        tokens=tokens,
        check_ready=do_nothing,
        close=do_nothing,
        read_stats=lambda: Stats({}, tokens.counts()),
    )
    return make_app(service, **options)


def in_process(store: Any, user: UserId) -> httpx.AsyncClient:
    """Somebody who calls the application without a server between."""
    headers = {"Authorization": f"Bearer {signed({'sub': user})}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(store)), base_url="http://test", headers=headers)
