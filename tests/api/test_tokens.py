"""Which tokens a running server accepts that is configured with a shared secret."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import jwt
import pytest

from tests.api.problems import is_problem
from tests.support.databases import sqlite_url
from tests.support.serving import SECRET, Server, client, serving, signed


def ask(server: Server, *authorization: str) -> httpx.Response:
    headers = [(b"Authorization", value.encode()) for value in authorization]
    return server.anybody.get("/api/tasks", headers=headers)


def segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


NESTED = base64.urlsafe_b64encode(b'{"alg": "HS256", "x": ' + b"[" * 2500 + b"]" * 2500 + b"}").decode().rstrip("=")


def in_(**seconds: float) -> Mapping[str, Any]:
    return {claim: time.time() + delta for claim, delta in seconds.items()}


GOOD = {
    "plain": signed(),
    "without iat": signed({"iat": None}),
    "of type at+jwt": signed(typ="at+jwt"),
    "without a type": signed(typ=None),
    "with an issuer and an audience": signed({"iss": "x", "aud": ["y", "z"]}),
    "with the longest sub": signed({"sub": "é" * 255}),
    "of type application/at+jwt": signed(typ="application/at+jwt"),
    "with a picture": signed({"image": "data:image/png;base64," + "x" * 40_000}),
    "with the names of a person": signed({"name": "Ann", "email": "ann@example.com"}),
}

BAD = {
    "no JWT": "x",
    "opaque": "k3yVd0aHjzq8Yw1Zb5Nf2Lr7Tc9Xm4Qs",
    "two parts": "a.b",
    "four parts": signed() + ".x",
    "empty parts": "..",
    "another secret": signed(secret="another secret that is at least 32 bytes"),
    "alg none": f"{segment({'alg': 'none'})}.{segment({'sub': 'ann', 'exp': 9e9})}.",
    "alg None": f"{segment({'alg': 'None'})}.{segment({'sub': 'ann', 'exp': 9e9})}.",
    "HS512": jwt.encode({"sub": "ann", "exp": 9e9}, SECRET * 2, algorithm="HS512"),
    "HS384 with the secret": jwt.encode({"sub": "ann", "exp": 9e9}, SECRET, algorithm="HS384"),
    "expired": signed(in_(exp=-31)),
    "not valid yet": signed(in_(nbf=3600)),
    "issued in the future": signed(in_(iat=3600)),
    "no exp": signed({"exp": None}),
    "no sub": signed({"sub": None}),
    "empty sub": signed({"sub": ""}),
    "long sub": signed({"sub": "x" * 256}),
    "sub with NUL": signed({"sub": "a\x00b"}),
    "sub with a line break": signed({"sub": "a\nb"}),
    "sub a surrogate": signed({"sub": "\ud800"}),
    "bound to a key": signed({"cnf": {"jkt": "x"}}),
    "critical header": signed(crit=["exp"]),
    "of type dpop+jwt": signed(typ="dpop+jwt"),
    "payload an array": f"{segment({'alg': 'HS256'})}.{segment([1])}.x",
    "header an array": f"{segment(['HS256'])}.{segment({'sub': 'ann'})}.x",
    "header truncated": f"{segment({'alg': 'HS256'})[:-3]}.{segment(0)}.x",
    "header nested deep": f"{NESTED}.{segment({'sub': 'ann', 'exp': 9e9})}.x",
    "not ASCII": "é.é.é",
    "a space inside": signed().replace(".", ". "),
    "sub a number": jwt.api_jws.encode(json.dumps({"sub": 5, "exp": 9e9}).encode(), SECRET, "HS256"),
    "sub null": jwt.api_jws.encode(json.dumps({"sub": None, "exp": 9e9}).encode(), SECRET, "HS256"),
    "exp a string": jwt.api_jws.encode(json.dumps({"sub": "ann", "exp": "soon"}).encode(), SECRET, "HS256"),
    "exp null": jwt.api_jws.encode(json.dumps({"sub": "ann", "exp": None}).encode(), SECRET, "HS256"),
    "exp a list": jwt.api_jws.encode(json.dumps({"sub": "ann", "exp": [1]}).encode(), SECRET, "HS256"),
    "exp infinite": jwt.api_jws.encode(b'{"sub": "ann", "exp": 1e999}', SECRET, "HS256"),
    "exp NaN": jwt.api_jws.encode(b'{"sub": "ann", "exp": NaN}', SECRET, "HS256"),
    "exp in words": jwt.api_jws.encode(b'{"sub": "ann", "exp": "99999999999"}', SECRET, "HS256"),
    "exp beyond floats": jwt.api_jws.encode(b'{"sub": "ann", "exp": 1%s}' % (b"0" * 400), SECRET, "HS256"),
    "exp true": jwt.api_jws.encode(b'{"sub": "ann", "exp": true}', SECRET, "HS256"),
    "iat a string": jwt.api_jws.encode(json.dumps({"sub": "ann", "exp": 9e9, "iat": "x"}).encode(), SECRET, "HS256"),
    "claims nested deep": jwt.api_jws.encode(b'{"sub":' + b"[" * 3000 + b"]" * 3000 + b"}", SECRET, "HS256"),
    "claims no JSON": jwt.api_jws.encode(b"{", SECRET, "HS256"),
    "claims not UTF-8": jwt.api_jws.encode(b'{"sub": "\xff"}', SECRET, "HS256"),
}


@pytest.mark.parametrize("token", GOOD.values(), ids=GOOD.keys())
def test_a_valid_token_is_accepted(server: Server, token: str) -> None:
    assert ask(server, f"Bearer {token}").status_code == 200
    assert ask(server, f"bearer  {token}").status_code == 200


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_an_invalid_token_is_401_and_marked_as_invalid(server: Server, token: str) -> None:
    response = ask(server, f"Bearer {token}")
    problem = is_problem(response, 401)
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert token not in problem["detail"]
    assert "ann" not in problem["detail"]


@pytest.mark.parametrize("authorization", [(), ("",), ("Bearer",), ("Basic YTpi",), ("Token x",)])
def test_no_token_is_401_without_an_error_code(server: Server, authorization: tuple[str, ...]) -> None:
    response = ask(server, *authorization)
    is_problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_session_token_gets_a_hint_where_to_get_a_jwt(server: Server) -> None:
    assert "/api/auth/token" in is_problem(ask(server, f"Bearer {BAD['opaque']}"), 401)["detail"]


def test_two_authorization_headers_are_401(direct_server: Server) -> None:
    good = f"Bearer {signed()}"
    is_problem(ask(direct_server, good, good), 401)


def test_a_token_with_any_character_changed_is_401(server: Server) -> None:
    token = signed({"sub": "x"})
    signature = token.rindex(".") + 1
    with client(server.url) as api:
        for n, character in enumerate(token):
            changed = token[:n] + ("A" if character != "A" else "B") + token[n + 1 :]
            response = api.get("/api/tasks", headers={"Authorization": f"Bearer {changed}"})
            assert response.status_code == 401, (n, n >= signature)


def test_every_request_needs_a_token_before_anything_else_is_checked(server: Server) -> None:
    for method, path in (
        ("GET", "/api/tasks"),
        ("HEAD", "/api/tasks"),
        ("POST", "/api/tasks"),
        ("GET", "/api/tasks/x"),
        ("PATCH", "/api/tasks/x"),
        ("PUT", "/api/tasks/x"),
        ("DELETE", "/api/tasks/x"),
    ):
        content = b"x" * 70_000 if method == "POST" else None
        response = server.anybody.request(method, path, content=content)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"


def test_clocks_may_differ_by_30_seconds(server: Server) -> None:
    for claims in (in_(exp=-20), in_(nbf=20), in_(iat=20)):
        assert ask(server, f"Bearer {signed(claims)}").status_code == 200


def test_issuer_and_audience_are_enforced_where_configured(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("issuers")
    issuers = {"JWT_ISSUER": "https://a.example, https://b.example", "JWT_AUDIENCE": "tasks,other"}
    with serving(directory, sqlite_url(directory / "todo.db"), **issuers) as server:
        good = {"iss": "https://b.example", "aud": ["x", "tasks"]}
        assert ask(server, f"Bearer {signed(good)}").status_code == 200
        wrongs: list[dict[str, Any]] = [
            {"iss": None},
            {"aud": None},
            {"iss": "https://c.example"},
            {"aud": "x"},
            {"aud": []},
            {"iss": ["https://a.example"]},
        ]
        for wrong in wrongs:
            token = jwt.api_jws.encode(
                json.dumps(
                    {k: v for k, v in {"sub": "ann", "exp": 9e9, **good, **wrong}.items() if v is not None}
                ).encode(),
                SECRET,
                "HS256",
            )
            is_problem(ask(server, f"Bearer {token}"), 401)


def test_no_token_and_no_claim_is_printed(server: Server) -> None:
    for token in (*GOOD.values(), *BAD.values()):
        ask(server, f"Bearer {token}")
    printed = server.printed()
    for token in (*GOOD.values(), *BAD.values()):
        assert len(token) < 10 or token not in printed
    assert "ann@example.com" not in printed
