"""A real Better Auth on Node.js, and people who sign up with it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.secrets import keep_secret
from tests.support.serving import client

PROGRAM = Path(__file__).parents[1] / "better_auth" / "issuer.mjs"

needs_better_auth = pytest.mark.skipif(
    not os.environ.get("CI") and (shutil.which("node") is None or not (PROGRAM.parent / "node_modules").is_dir()),
    reason="needs Node.js and `make tests/better_auth/node_modules`",
)


class BetterAuth:
    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url = url
        self._process = process
        self._people: list[SignedUp] = []

    def rotate(self) -> None:
        """Expires the signing key; the next token is signed with a new one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("rotate\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "rotated\n"

    def sign_up(self, name: str, **more: str) -> "SignedUp":
        person = SignedUp(self.url, name, **more)
        self._people.append(person)
        return person

    def close(self) -> None:
        for person in self._people:
            person.browser.close()


class SignedUp:
    """A person with an account, and the cookies of their browser."""

    def __init__(self, url: str, name: str, **more: str) -> None:
        self.email = keep_secret(f"{name}@mail.example")
        self.browser = client(url)
        self.browser.headers["Origin"] = url
        response = self.browser.post(
            "/api/auth/sign-up/email",
            json={"name": name, "email": self.email, "password": f"{name} has a password", **more},
        )
        assert response.status_code == 200, response.text
        self.id: str = keep_secret(response.json()["user"]["id"])
        self.session_token: str = keep_secret(response.json()["token"])

    def token(self) -> str:
        """From the stock endpoint."""
        response = self.browser.get("/api/auth/token")
        assert response.status_code == 200, response.text
        return keep_secret(response.json()["token"])

    def open_client(self, service: str) -> httpx.Client:
        return client(service, f"Bearer {self.token()}")


@contextmanager
def better_auth(**configuration: Any) -> Iterator[BetterAuth]:
    """With its defaults, except for the options of issuer.mjs."""
    with subprocess.Popen(
        ["node", PROGRAM.name, json.dumps(configuration)],
        cwd=PROGRAM.parent,
        env=os.environ | {"BETTER_AUTH_TELEMETRY": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), "Better Auth did not start; it needs Node.js 20"
            issuer = BetterAuth(url, process)
            try:
                yield issuer
            finally:
                issuer.close()
        finally:
            process.terminate()
