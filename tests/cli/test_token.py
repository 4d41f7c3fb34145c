"""`todo token`: a token to try the API with."""

import getpass
import time
from pathlib import Path

import jwt
import pytest

from tests.cli.test_serve import todo
from tests.support.serving import SECRET


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token.strip(), SECRET, algorithms=["HS256"], options={"verify_aud": False})
    return claims


def test_it_speaks_for_the_login_name_or_todo_user_or_whoever_is_named(tmp_path: Path) -> None:
    for arguments, settings, user in (
        ([], {}, getpass.getuser()),
        ([], {"TODO_USER": "bob"}, "bob"),
        (["--user", "ann"], {"TODO_USER": "bob"}, "ann"),
    ):
        run = todo(tmp_path, "token", *arguments, BETTER_AUTH_SECRET=SECRET, **settings)
        assert claims_of(run.stdout)["sub"] == user


@pytest.mark.parametrize(("expires", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604800)])
def test_it_lives_as_long_as_asked(tmp_path: Path, expires: str, seconds: int) -> None:
    run = todo(tmp_path, "token", "--expires", expires, BETTER_AUTH_SECRET=SECRET)
    expiry = claims_of(run.stdout)["exp"]
    assert isinstance(expiry, int)
    assert abs(expiry - time.time() - seconds) < 10


def test_it_names_the_configured_issuer_and_audience(tmp_path: Path) -> None:
    run = todo(tmp_path, "token", BETTER_AUTH_SECRET=SECRET, JWT_ISSUER="https://a,https://b", JWT_AUDIENCE="tasks")
    claims = claims_of(run.stdout)
    assert (claims["iss"], claims["aud"]) == ("https://a", "tasks")


@pytest.mark.parametrize("expires", ["", "0s", "1", "h", "-1h", "1.5h", "1w", "9999999999h", "999999999d"])
def test_a_time_that_is_none_is_wrong_usage(tmp_path: Path, expires: str) -> None:
    run = todo(tmp_path, "token", f"--expires={expires}", BETTER_AUTH_SECRET=SECRET)
    assert (run.returncode, run.stdout) == (2, "")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("user", ["x" * 256, "a\nb", "\x1b[31m"])
def test_a_user_whom_the_api_would_not_take_is_refused(tmp_path: Path, user: str) -> None:
    run = todo(tmp_path, "token", "--user", user, BETTER_AUTH_SECRET=SECRET)
    assert (run.returncode, run.stdout) == (2, "")
    assert "Traceback" not in run.stderr


def test_where_another_issues_the_tokens_it_issues_none(tmp_path: Path) -> None:
    run = todo(tmp_path, "token", BETTER_AUTH_SECRET=SECRET, BETTER_AUTH_URL="https://auth.example.com")
    assert (run.returncode, run.stdout) == (2, "")
