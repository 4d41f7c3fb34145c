"""`todo auth check`: what the settings expect of tokens, and what holds for one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_serve import todo
from tests.support.issuer import BROKEN, EMAIL, Issuer, SigningKey, breakable_issuer
from tests.support.serving import SECRET, TODO, environment, signed


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with breakable_issuer() as issuer:
        issuer.keys.append(SigningKey("second", "ES256"))
        yield issuer


def lines(run: "subprocess.CompletedProcess[str]") -> list[str]:
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_it_says_what_is_expected_and_which_keys_there_are(tmp_path: Path, issuer: Issuer) -> None:
    run = todo(tmp_path, "auth", "check", BETTER_AUTH_URL=f"{issuer.url}/")
    assert run.returncode == 0
    assert lines(run) == [
        f"issuer (iss)    {issuer.url}",
        f"audience (aud)  {issuer.url}",
        f"keys from       {issuer.url}/api/auth/jwks",
        "",
        "ok     the key set was fetched, usable keys: 2",
        "ok     key first is for EdDSA",
        "ok     key second is for ES256",
    ]


def test_it_says_of_a_good_token_all_that_holds(tmp_path: Path, issuer: Issuer) -> None:
    run = todo(tmp_path, "auth", "check", issuer.token(), BETTER_AUTH_URL=issuer.url)
    assert run.returncode == 0
    assert [line for line in lines(run) if line.startswith("ok")][3:] == [
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
    assert run.stdout.endswith("\n\nThe token would be accepted.\n")


def test_it_says_of_a_bad_token_each_thing_that_fails(tmp_path: Path, issuer: Issuer) -> None:
    token = SigningKey("first").sign(issuer.claims(exp=0, iss="https://other.example", aud="x", sub=""), typ="JWE")
    run = todo(tmp_path, "auth", "check", token, BETTER_AUTH_URL=issuer.url)
    assert run.returncode == 1
    assert [line.removeprefix("FAILS  ") for line in lines(run) if line.startswith("FAILS")] == [
        "The token is of another type; send the one that /api/auth/token gives.",
        "The token has expired; get a new one.",
        f"The token was issued by https://other.example, but {issuer.url} is expected (iss).",
        f"The token is meant for another audience; {issuer.url} is expected (aud).",
        "The token's sub is not valid: a user id has 1 to 255 characters, none of them a control character.",
        "The token's signature is not valid; send it just as it was issued.",
    ]
    assert run.stdout.endswith("\n\nThe token would be rejected.\n")
    assert EMAIL not in run.stdout


@pytest.mark.parametrize("way", ["500", "reset", "HTML", "empty set"])
def test_a_key_set_that_can_not_be_had_is_told_with_the_reason(tmp_path: Path, issuer: Issuer, way: str) -> None:
    issuer.behaviour = BROKEN[way]
    run = todo(tmp_path, "auth", "check", issuer.token(), BETTER_AUTH_URL=issuer.url)
    assert run.returncode == 1
    reason = {
        "500": "the issuer answered with status 500",
        "reset": "the request to the issuer failed: ReadError",
        "HTML": "the response is not a JWK Set with a usable key",
        "empty set": "the response is not a JWK Set with a usable key",
    }[way]
    assert f"FAILS  The key set can't be fetched: {reason}." in lines(run)
    assert f"ok     it was issued by {issuer.url}" in lines(run)
    assert "FAILS  The token can't be verified: its issuer provides no keys. Try again soon." in lines(run)
    assert len(issuer.requests) == 1


def test_an_issuer_that_is_nowhere_is_told_at_once(tmp_path: Path) -> None:
    run = todo(tmp_path, "auth", "check", BETTER_AUTH_URL="http://127.0.0.1:1")
    assert run.returncode == 1
    assert lines(run)[-1].startswith("FAILS  The key set can't be fetched: the issuer can't be reached: ")


def test_it_reads_the_token_from_standard_input(tmp_path: Path, issuer: Issuer) -> None:
    for token, status in ((issuer.token(), 0), (f"Bearer {issuer.token()}", 0), ("x", 1), ("\udcff", 1), ("", 2)):
        run = subprocess.run(
            [TODO, "auth", "check", "-"],
            input=f"{token}\n",
            errors="surrogateescape",
            cwd=tmp_path,
            env=environment(BETTER_AUTH_URL=issuer.url),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == status, run.stdout


def test_it_makes_no_secret(tmp_path: Path) -> None:
    run = todo(tmp_path, "auth", "check")
    assert run.returncode == 1
    assert lines(run)[-1] == "FAILS  There is no secret yet; `todo serve` and `todo token` make one."
    assert not (tmp_path / "data").exists()


def test_a_name_that_is_looked_up_for_long_keeps_nobody(tmp_path: Path) -> None:
    """The look-up of a name blocks a thread that nothing can end."""
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
    assert run.returncode == 1
    assert "no complete response within 2 seconds" in run.stdout


def test_with_a_shared_secret_it_judges_by_that(tmp_path: Path) -> None:
    for secret, status in ((SECRET, 0), ("another secret that is long enough, too", 1)):
        run = todo(tmp_path, "auth", "check", signed(), BETTER_AUTH_SECRET=secret)
        assert run.returncode == status
        assert "keys from       a shared secret, HS256" in lines(run)
        assert secret not in run.stdout


def test_a_key_with_an_odd_name_can_not_drive_a_terminal(tmp_path: Path, issuer: Issuer) -> None:
    issuer.keys.append(SigningKey("\x1b[31mred\n"))
    run = todo(tmp_path, "auth", "check", BETTER_AUTH_URL=issuer.url)
    assert "ok     key \\x1b[31mred\\n is for EdDSA" in lines(run)


def test_the_settings_of_any_issuer_replace_those_of_better_auth(tmp_path: Path, issuer: Issuer) -> None:
    settings = {
        "BETTER_AUTH_URL": "https://auth.example.com",
        "JWT_JWKS_URL": f"{issuer.url}/keys?v=1",
        "JWT_ISSUER": "https://a.example, https://b.example",
        "JWT_AUDIENCE": "tasks",
    }
    token = issuer.token(iss="https://b.example", aud=["other", "tasks"])
    run = todo(tmp_path, "auth", "check", token, **settings)
    assert run.returncode == 0
    assert lines(run)[:3] == [
        "issuer (iss)    https://a.example or https://b.example",
        "audience (aud)  tasks",
        f"keys from       {issuer.url}/keys",
    ]
    assert issuer.requests == ["GET /keys?v=1 HTTP/1.1"]


@pytest.mark.parametrize(
    ("url", "origin", "key_set"),
    [
        ("https://App.Example.com", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("https://app.example.com:443/", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("https://app.example.com/login/", "https://app.example.com", "https://app.example.com/login/jwks"),
        ("http://[::1]:3000", "http://[::1]:3000", "http://[::1]:3000/api/auth/jwks"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]", "http://[::1]/api/auth/jwks"),
        ("https://straße.example", "https://xn--strae-oqa.example", "https://xn--strae-oqa.example/api/auth/jwks"),
    ],
)
def test_the_address_of_better_auth_says_what_is_expected(url: str, origin: str, key_set: str) -> None:
    from todo.settings import ServerSettings

    settings = ServerSettings(better_auth_url=url)
    assert (settings.issuers, settings.audiences, settings.key_set_url) == ((origin,), (origin,), key_set)
