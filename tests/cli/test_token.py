"""`todo token`: a token to try the API with."""

import getpass
import time

import jwt
import pytest

from tests.cli.commands import Todo, get_error
from tests.support.serving import SECRET


def decode(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token.strip(), SECRET, algorithms=["HS256"], options={"verify_aud": False})
    return claims


def test_its_user_is_the_one_named_or_todo_user_or_the_login_name(todo: Todo) -> None:
    for arguments, settings, user in (
        ([], {}, getpass.getuser()),
        ([], {"TODO_USER": "bob"}, "bob"),
        (["--user", "ann"], {"TODO_USER": "bob"}, "ann"),
    ):
        run = todo("token", *arguments, BETTER_AUTH_SECRET=SECRET, **settings)
        assert decode(run.stdout)["sub"] == user


@pytest.mark.parametrize(("expires", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604800)])
def test_it_expires_when_asked(todo: Todo, expires: str, seconds: int) -> None:
    run = todo("token", "--expires", expires, BETTER_AUTH_SECRET=SECRET)
    expiry = decode(run.stdout)["exp"]
    assert isinstance(expiry, int)
    assert abs(expiry - time.time() - seconds) < 10


def test_it_names_the_first_configured_issuer_and_audience(todo: Todo) -> None:
    run = todo("token", BETTER_AUTH_SECRET=SECRET, JWT_ISSUER="https://a,https://b", JWT_AUDIENCE="tasks")
    claims = decode(run.stdout)
    assert (claims["iss"], claims["aud"]) == ("https://a", "tasks")


@pytest.mark.parametrize("expires", ["", "0s", "1", "h", "-1h", "1.5h", "1w", "9999999999h", "999999999d"])
def test_a_wrong_lifetime_is_wrong_usage(todo: Todo, expires: str) -> None:
    assert "--expires" in get_error(todo("token", f"--expires={expires}", BETTER_AUTH_SECRET=SECRET), status=2)


@pytest.mark.parametrize("user", ["", "x" * 256, "a\nb", "\x1b[31m"])
def test_an_invalid_user_id_is_wrong_usage(todo: Todo, user: str) -> None:
    error = get_error(todo("token", "--user", user, BETTER_AUTH_SECRET=SECRET), status=2)
    assert error == "--user: a user id has 1 to 255 characters, none of them a control character"


def test_there_is_none_where_another_issuer_makes_them(todo: Todo) -> None:
    run = todo("token", BETTER_AUTH_SECRET=SECRET, BETTER_AUTH_URL="https://auth.example.com")
    assert "only that issuer" in get_error(run, status=2)
