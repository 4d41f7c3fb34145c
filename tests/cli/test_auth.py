"""`todo auth check`: what the settings require of tokens, and whether one meets it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Run, Todo, get_error
from tests.support.issuer import BROKEN, EMAIL, Issuer, SigningKey, answers, breakable_issuer
from tests.support.serving import SECRET, TODO, environment, signed


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with breakable_issuer() as issuer:
        issuer.keys.append(SigningKey("second", "ES256"))
        yield issuer


def get_lines(run: Run, status: int = 0) -> list[str]:
    assert (run.returncode, run.stderr) == (status, "")
    return run.stdout.splitlines()


def test_without_a_token_it_prints_what_is_required_and_the_keys(todo: Todo, issuer: Issuer) -> None:
    assert get_lines(todo("auth", "check", BETTER_AUTH_URL=f"{issuer.url}/")) == [
        f"issuer (iss)    {issuer.url}",
        f"audience (aud)  {issuer.url}",
        f"keys from       {issuer.url}/api/auth/jwks",
        "",
        "ok     the key set was fetched, usable keys: 2",
        "ok     key first is for Ed25519",
        "ok     key second is for ES256",
    ]


def test_it_prints_every_check_that_a_valid_token_passes(todo: Todo, issuer: Issuer) -> None:
    lines = get_lines(todo("auth", "check", issuer.token(), BETTER_AUTH_URL=issuer.url))
    assert [line for line in lines if line.startswith("ok")][3:] == [
        "ok     it is a signed JWT",
        "ok     its algorithm is EdDSA",
        "ok     it names its key",
        "ok     it is of an accepted type",
        "ok     it is a plain bearer token",
        "ok     it has not expired",
        "ok     its iat is not in the future",
        f"ok     it was issued by {issuer.url}",
        f"ok     it is meant for {issuer.url}",
        "ok     its sub names a user",
        "ok     its signature is valid",
    ]
    assert lines[-2:] == ["", "The token would be accepted."]


def test_it_prints_every_check_that_an_invalid_token_fails(todo: Todo, issuer: Issuer) -> None:
    token = SigningKey("first").sign(issuer.claims(exp=0, iss="https://other.example", aud="x", sub=""), typ="JWE")
    lines = get_lines(todo("auth", "check", token, BETTER_AUTH_URL=issuer.url), status=1)
    assert [line.removeprefix("FAILS  ") for line in lines if line.startswith("FAILS")] == [
        "The token is of another type; send the one that /api/auth/token gives.",
        "The token has expired; get a new one.",
        f"The token was issued by https://other.example, but {issuer.url} is expected (iss).",
        f"The token is meant for another audience; {issuer.url} is expected (aud).",
        "The token's sub is not valid: a user id has 1 to 255 characters, none of them a control character.",
        "The token's signature is not valid; send it just as it was issued.",
    ]
    assert lines[-2:] == ["", "The token would be rejected."]
    assert EMAIL not in "".join(lines)


@pytest.mark.parametrize("fault", ["500", "reset", "HTML", "empty set"])
def test_it_prints_why_the_key_set_could_not_be_fetched(todo: Todo, issuer: Issuer, fault: str) -> None:
    issuer.behaviour = BROKEN[fault]
    lines = get_lines(todo("auth", "check", issuer.token(), BETTER_AUTH_URL=issuer.url), status=1)
    reason = {
        "500": "the issuer answered with status 500",
        "reset": "the request to the issuer failed: ReadError",
        "HTML": "the response is not a JWK Set with a usable key",
        "empty set": "the response is not a JWK Set with a usable key",
    }[fault]
    assert f"FAILS  The key set can't be fetched: {reason}." in lines
    assert f"ok     it was issued by {issuer.url}" in lines
    assert "FAILS  The token can't be verified: its issuer provides no keys. Try again soon." in lines
    assert len(issuer.requests) == 1


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("/api/auth/jwks/", "{url}/api/auth/jwks/"),
        ("https://keys.example/x", "https://keys.example/x"),
        ("https://ann@keys.example/?x=y", "the address of the keys themselves"),
    ],
)
def test_a_redirect_of_the_key_set_says_what_to_set(todo: Todo, issuer: Issuer, location: str, named: str) -> None:
    issuer.behaviour = answers(b"", "308 Permanent Redirect", f"Location: {location}")
    lines = get_lines(todo("auth", "check", BETTER_AUTH_URL=issuer.url), status=1)
    target = named.format(url=issuer.url)
    reason = f"the issuer redirects; set JWT_JWKS_URL to {target}"
    assert lines[-1] == f"FAILS  The key set can't be fetched: {reason}."


def test_an_issuer_that_can_not_be_reached_is_reported(todo: Todo) -> None:
    lines = get_lines(todo("auth", "check", BETTER_AUTH_URL="http://127.0.0.1:1"), status=1)
    assert lines[-1].startswith("FAILS  The key set can't be fetched: the issuer can't be reached: ")


def test_a_dash_reads_the_token_from_standard_input(todo: Todo, issuer: Issuer) -> None:
    for token, status in ((issuer.token(), 0), (f"Bearer {issuer.token()}", 0), ("x", 1), ("\udcff", 1)):
        get_lines(todo("auth", "check", "-", stdin=f"{token}\n", BETTER_AUTH_URL=issuer.url), status)
    assert "the token is empty" in get_error(todo("auth", "check", "-", BETTER_AUTH_URL=issuer.url), status=2)


def test_it_makes_no_secret(todo: Todo, tmp_path: Path) -> None:
    lines = get_lines(todo("auth", "check"), status=1)
    assert lines[-1] == "FAILS  There is no secret yet; `todo serve` and `todo token` make one."
    assert not (tmp_path / "data").exists()


def test_a_dns_lookup_that_hangs_does_not_keep_the_program_from_exiting(tmp_path: Path) -> None:
    """It blocks a thread that can't be interrupted."""
    program = (
        "import socket, sys, time\n"
        "socket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
        "from todo.__main__ import main\n"
        "sys.argv = ['todo', 'auth', 'check']\n"
        "main()\n"
    )
    run = subprocess.run(
        [TODO.with_name("python"), "-c", program],
        cwd=tmp_path,
        env=environment(BETTER_AUTH_URL="http://auth.example.com"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "no complete response within 2 seconds" in get_lines(run, status=1)[-1]


def test_a_shared_secret_is_used_and_not_shown(todo: Todo) -> None:
    for secret, status in ((SECRET, 0), ("another secret that is long enough, too", 1)):
        lines = get_lines(todo("auth", "check", signed(), BETTER_AUTH_SECRET=secret), status)
        assert "keys from       a shared secret, HS256" in lines
        assert secret not in "".join(lines)


def test_the_name_of_a_key_can_not_control_the_terminal(todo: Todo, issuer: Issuer) -> None:
    issuer.keys.append(SigningKey("\x1b[31mred\n"))
    assert "ok     key \\x1b[31mred\\n is for Ed25519" in get_lines(todo("auth", "check", BETTER_AUTH_URL=issuer.url))


def test_the_jwt_settings_take_precedence_over_better_auth_url(todo: Todo, issuer: Issuer) -> None:
    settings = {
        "BETTER_AUTH_URL": "https://auth.example.com",
        "JWT_JWKS_URL": f"{issuer.url}/keys?v=1",
        "JWT_ISSUER": "https://a.example, https://b.example",
        "JWT_AUDIENCE": "tasks",
    }
    token = issuer.token(iss="https://b.example", aud=["other", "tasks"])
    assert get_lines(todo("auth", "check", token, **settings))[:3] == [
        "issuer (iss)    https://a.example or https://b.example",
        "audience (aud)  tasks",
        f"keys from       {issuer.url}/keys",
    ]
    assert issuer.requests == ["GET /keys?v=1 HTTP/1.1"]
