"""Forged tokens, sent to a running server that trusts an issuer's key set."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.api.problems import is_problem
from tests.support.databases import sqlite_url
from tests.support.issuer import EMAIL, Issuer, SigningKey, breakable_issuer, compact, key_set, segment
from tests.support.secrets import found_in
from tests.support.serving import Server, serving

Attack = Callable[[Issuer], str]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

OKP, EC, EC521, RSA, PSS = (SigningKey(alg.lower(), alg) for alg in ("EdDSA", "ES256", "ES512", "RS256", "PS256"))
PUBLISHED = (OKP, EC, EC521, RSA, PSS)
SYMMETRIC = {"kty": "oct", "kid": "oct", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}
ATTACKERS_KEY = SigningKey("eddsa")
"""The attacker's key, under the kid of a published one."""


def short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:20]}… of {len(text)}"


def unsigned(algorithm: Any) -> Attack:
    return lambda issuer: compact({"alg": algorithm, "kid": OKP.kid}, issuer.claims(), lambda _: b"")


def hmac_with(secret: bytes, key: SigningKey, algorithm: str = "HS256") -> Attack:
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return lambda issuer: compact(
        {"alg": algorithm, "kid": key.kid}, issuer.claims(), lambda signed: hmac.digest(secret, signed, digest)
    )


def header(key: SigningKey = ATTACKERS_KEY, **members: Any) -> Attack:
    return lambda issuer: key.sign(issuer.claims(), **members)


def attackers_key_at(name: str) -> Attack:
    return lambda issuer: ATTACKERS_KEY.sign(issuer.claims(), kid="mine", **{name: f"{issuer.url}/{name}"})


def claims(**wrong: Any) -> Attack:
    """Signed by the issuer; None is sent as null."""
    return lambda issuer: OKP.sign({**issuer.claims(), **wrong})


def without(name: str) -> Attack:
    return lambda issuer: OKP.sign(issuer.claims(**{name: None}))


def claims_of(content: bytes) -> Attack:
    return lambda _: OKP.sign(content)


def spliced(name: str, value: bytes) -> Attack:
    """Valid claims, except for one value that is not acceptable JSON."""
    return lambda issuer: OKP.sign(json.dumps({**issuer.claims(), name: "HERE"}).encode().replace(b'"HERE"', value))


def respelled(token: str) -> str:
    """The same signature in another spelling: the spare bits of the last base64 character are set."""
    other = token[:-1] + ALPHABET[ALPHABET.index(token[-1]) + 1]
    signatures = [urlsafe_b64decode(one.rpartition(".")[2] + "==") for one in (token, other)]
    assert signatures[0] == signatures[1]
    return other


def changed(change: Callable[[str], str]) -> Attack:
    return lambda issuer: change(OKP.sign(issuer.claims()))


def public(key: SigningKey, encoding: Encoding, form: PublicFormat) -> bytes:
    content: bytes = key.private.public_key().public_bytes(encoding, form)
    return content


def part_replaced(number: int, content: str) -> Attack:
    def replaced(token: str) -> str:
        parts = token.split(".")
        parts[number] = content
        return ".".join(parts)

    return changed(replaced)


ODD_ALGORITHMS: list[Any] = ["none", "None", "NONE", "nOnE", "", None, 0, []]
ODD_TYPES: list[Any] = ["dpop+jwt", "JWE", "", None, 5, [], "better-auth.session-cache+jwt"]
ODD_KIDS: list[Any] = [
    "../../../../dev/null",
    "/etc/passwd",
    "file:///dev/null",
    "' OR 1=1 --",
    "x' UNION SELECT 'secret",
    "| sleep 10",
    "http://127.0.0.1:1/key",
    "eddsa\x00",
    "eddsa ",
    "EDDSA",
    "",
    "é",
    "x" * 10_240,
    "x" * 5_000,
    7,
    -1,
    1.5,
    True,
    None,
    [],
    ["eddsa"],
    {"kid": "eddsa"},
]

WRONG_CLAIMS: Mapping[str, list[Any]] = {
    "exp": [None, True, "x", "9999999999", [], {}, [9_999_999_999], 0, -1, 1, 1e300, 10**30, 2**53 + 1],
    "nbf": [None, True, "0", [], {}, 9_999_999_999, 1e300, -1e300],
    "iat": [None, True, "0", [], {}, 9_999_999_999, 1e300, -(10**30)],
    "sub": [None, True, 5, 1.5, [], ["ann"], {}, "", "x" * 256, "a\x00b", "a\nb", "\x85", "\x7f", "\ud800"],
    "iss": [None, True, 5, [], {}, "", "https://other.example", "HTTP://127.0.0.1", "http://127.0.0.1"],
    "aud": [None, True, 5, [], {}, [[]], [5], "", "https://other.example", "better-auth:session-cache", {"x": "y"}],
    "cnf": [None, {}, {"jkt": "x"}],
}

INVALID_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400, b"0x1", b"01"]

ATTACKS: Mapping[str, Attack] = {
    **{f"alg {algorithm!r}": unsigned(algorithm) for algorithm in ODD_ALGORITHMS},
    "alg none with a signature": lambda issuer: compact({"alg": "none"}, issuer.claims(), lambda _: b"x" * 64),
    "no alg": lambda issuer: compact({"kid": OKP.kid}, issuer.claims(), lambda _: b""),
    "HMAC with the public key, raw": hmac_with(public(OKP, Encoding.Raw, PublicFormat.Raw), OKP),
    **{
        f"{algorithm} with the public key, {form} of {key.kid}": hmac_with(
            public(key, encoding, PublicFormat.SubjectPublicKeyInfo), key, algorithm
        )
        for algorithm in ("HS256", "HS384", "HS512")
        for form, encoding in (("PEM", Encoding.PEM), ("DER", Encoding.DER))
        for key in (OKP, EC, RSA)
    },
    "HMAC with the public key, as JSON": hmac_with(json.dumps(RSA.jwk).encode(), RSA),
    "HMAC with a symmetric key of the set": hmac_with(b"secret-secret-secret-secret", SigningKey("oct")),
    "another algorithm of the same RSA key": lambda issuer: compact(
        {"alg": "PS256", "kid": RSA.kid},
        issuer.claims(),
        lambda signed: jwt.get_algorithm_by_name("PS256").sign(signed, RSA.private),
    ),
    **{
        f"{key.algorithm} under the kid of {other.algorithm}": header(key, kid=other.kid)
        for key in PUBLISHED
        for other in PUBLISHED
        if key is not other
    },
    **{
        f"signed by {key.algorithm} and named {name}": header(key, alg=name)
        for key in PUBLISHED
        for name in ("EdDSA", "ES256", "ES384", "ES256K", "RS384", "RS512", "PS512", "HS256", "eddsa")
        if name != key.algorithm
    },
    "the attacker's key": header(),
    "the attacker's key, in jwk": header(jwk=ATTACKERS_KEY.jwk),
    "the attacker's key, in jwk, under its own name": header(kid="mine", jwk={**ATTACKERS_KEY.jwk, "kid": "mine"}),
    **{f"the attacker's key, at {name}": attackers_key_at(name) for name in ("jku", "x5u")},
    "the attacker's key, in x5c": header(x5c=["MIIB"]),
    **{f"kid {short(kid)}": header(kid=kid) for kid in ODD_KIDS},
    **{f"kid {short(kid)}, by the issuer's key": header(OKP, kid=kid) for kid in ODD_KIDS},
    "no kid": lambda issuer: ATTACKERS_KEY.sign_without_kid(issuer.claims()),
    "crit": header(OKP, crit=["exp"]),
    "crit that is empty": header(OKP, crit=[]),
    **{f"typ {kind!r}": header(OKP, typ=kind) for kind in ODD_TYPES},
    **{f"without {name}": without(name) for name in ("exp", "sub", "iss", "aud")},
    **{f"{name} {short(value)}": claims(**{name: value}) for name, values in WRONG_CLAIMS.items() for value in values},
    **{
        f"{name} {number.decode()[:20]}": spliced(name, number) for name in ("exp", "iat") for number in INVALID_NUMBERS
    },
    "jti a number": claims(jti=5),
    "expired by the leeway": lambda issuer: OKP.sign(issuer.claims(exp=time.time() - 30)),
    "not valid by more than the leeway": lambda issuer: OKP.sign(issuer.claims(nbf=time.time() + 60)),
    "claims cut": part_replaced(1, segment(b'{"sub": "ann", "exp": 99').decode()),
    "claims an array": claims_of(b"[1]"),
    "claims a text": claims_of(b'"ann"'),
    "claims empty": claims_of(b"{}"),
    "claims nested deep": spliced("x", b"[" * 2500 + b"]" * 2500),
    "claims not UTF-8": claims_of(b'{"sub": "\xff"}'),
    "claims no JSON": claims_of(b"{"),
    "header nested deep": part_replaced(
        0, segment(b'{"alg": "EdDSA", "x":' + b"[" * 2500 + b"]" * 2500 + b"}").decode()
    ),
    "header an array": part_replaced(0, segment(b'["EdDSA"]').decode()),
    "header empty": part_replaced(0, ""),
    "claims missing": part_replaced(1, ""),
    "signature missing": part_replaced(2, ""),
    "signature of zeros": part_replaced(2, segment(b"\x00" * 64).decode()),
    "signature cut": changed(lambda token: token[:-20]),
    "signature longer": changed(lambda token: token + "AAAA"),
    "signature padded": changed(lambda token: token + "=="),
    "signature spelled otherwise": changed(respelled),
    "header cut": changed(lambda token: token[3:]),
    "header doubled": changed(lambda token: token.split(".")[0] + token),
    "two parts": changed(lambda token: token.rpartition(".")[0]),
    "one part": changed(lambda token: token.split(".")[1]),
    "four parts": changed(lambda token: token + ".x"),
    "five parts": changed(lambda token: "..".join(token.split("."))),
    "dots alone": lambda _: "..",
    "two tokens": changed(lambda token: f"{token},{token}"),
    "two tokens with a space": changed(lambda token: f"{token} {token}"),
    "in quotes": changed(lambda token: f'"{token}"'),
    "plain base64": changed(lambda token: token.replace("-", "+").replace("_", "/") + "+"),
    "a tab inside": changed(lambda token: token.replace(".", ".\t", 1)),
    "ISO 8859-1": changed(lambda token: token.replace(".", ".\xe9", 1)),
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with breakable_issuer() as issuer:
        issuer.keys = list(PUBLISHED)
        issuer.behaviour = key_set(SYMMETRIC, *(key.jwk for key in PUBLISHED))
        yield issuer


@pytest.fixture(scope="module")
def attacked(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("attacked")
    with serving(directory, sqlite_url(directory / "todo.db"), BETTER_AUTH_URL=issuer.url) as server:
        yield server


@pytest.fixture(scope="module")
def answers(issuer: Issuer, attacked: Server) -> Mapping[str, httpx.Response]:
    """To all attacks at once: unknown keys are looked up together."""

    async def attack() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=attacked.url, timeout=60) as attacker:
            return await asyncio.gather(
                *(
                    attacker.get(
                        "/api/tasks", headers=[(b"Authorization", b"Bearer " + token(issuer).encode("latin-1"))]
                    )
                    for token in ATTACKS.values()
                )
            )

    return dict(zip(ATTACKS, asyncio.run(attack()), strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_401_and_marked_as_invalid(answers: Mapping[str, httpx.Response], attack: str) -> None:
    is_problem(answers[attack], 401)
    assert answers[attack].headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not found_in(answers[attack].text)


def test_only_the_configured_key_set_is_requested(answers: Mapping[str, httpx.Response], issuer: Issuer) -> None:
    assert len(answers) == len(ATTACKS)
    assert set(issuer.requests) == {"GET /api/auth/jwks HTTP/1.1"}


@pytest.mark.parametrize("key", PUBLISHED, ids=lambda key: key.algorithm)
def test_the_same_tokens_without_the_attack_are_accepted(attacked: Server, issuer: Issuer, key: SigningKey) -> None:
    for token in (
        key.sign(issuer.claims()),
        key.sign(issuer.claims(aud=["x", issuer.url])),
        key.sign(issuer.claims(nbf=0, jti="x", azp=5), typ="JWT"),
        key.sign(issuer.claims(exp=time.time() - 20, iat=time.time() + 20, nbf=time.time() + 20)),
        key.sign(issuer.claims(), typ="at+jwt", jku=f"{issuer.url}/jku", x="x" * 1000),
    ):
        response = attacked.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200, response.text


def test_two_authorization_headers_are_refused(attacked: Server, issuer: Issuer) -> None:
    good = ("Authorization", f"Bearer {issuer.token(OKP)}")
    for headers in ([good, good], [good, ("Authorization", "Bearer x")], [("Authorization", "Basic eDp5"), good]):
        response = attacked.anybody.get("/api/tasks", headers=headers)
        is_problem(response, 401)
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_each_refusal_says_what_is_wrong(
    answers: Mapping[str, httpx.Response], attacked: Server, issuer: Issuer
) -> None:
    def detail(attack: str) -> str:
        said: str = answers[attack].json()["detail"]
        return said

    assert detail("expired by the leeway") == "The token has expired; get a new one."
    assert detail("iss 'https://other.example'") == (
        f"The token was issued by https://other.example, but {issuer.url} is expected (iss)."
    )
    assert detail("aud 'better-auth:session-cache'") == (
        f"The token is meant for another audience; {issuer.url} is expected (aud)."
    )
    assert "does not publish" in detail("kid 'EDDSA'")
    assert "/api/auth/token" in detail("one part")
    assert "exp" in detail("without exp")
    assert detail("without iss") == f"The token does not say who issued it; {issuer.url} is expected (iss)."
    assert detail("without aud") == f"The token does not say whom it is meant for; {issuer.url} is expected (aud)."
    assert "kid" in detail("kid None, by the issuer's key")
    assert "signature" in detail("no kid")
    assert "EdDSA, ES256, ES512, RS256, PS256" in detail("HMAC with the public key, raw")
    for issuer_with_a_name in (EMAIL, f"https://{EMAIL}", f"https://x/?name={EMAIL}", f"https://x/{EMAIL}"):
        token = issuer.token(OKP, iss=issuer_with_a_name)
        response = attacked.anybody.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
        assert EMAIL not in is_problem(response, 401)["detail"]


def test_no_part_of_a_token_is_printed(answers: Mapping[str, httpx.Response], attacked: Server) -> None:
    assert len(answers) > 200
    assert not found_in(attacked.printed())
