"""Keys that verify signatures, and how a JWK Set (RFC 7517) is parsed into them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
import msgspec

from todo.adapters.tokens.check import Check

HMAC = ("HS256",)
ASYMMETRIC = ("EdDSA", "ES256", "ES512", "RS256", "PS256")

_MIN_RSA_BITS = 2048  # RFC 7518, sections 3.3 and 3.5
_ALGORITHMS = {
    ("OKP", "Ed25519"): "EdDSA",
    ("OKP", "Ed448"): "EdDSA",
    ("EC", "P-256"): "ES256",
    ("EC", "P-521"): "ES512",
    ("RSA", None): "RS256",  # or PS256, if the key says so
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the one algorithm that it may be used with (RFC 8725, section 3.1)."""

    algorithm: str
    material: Any = field(repr=False)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        return jwt.get_algorithm_by_name(self.algorithm).verify(signing_input, self.material, signature)


class Keys(Protocol):
    """Where the verifier finds the key that a token was signed with."""

    algorithms: tuple[str, ...]
    requires_kid: bool
    waiting: int  # tokens whose key is being fetched

    async def find(self, kid: str) -> Key:
        """Raises InvalidToken if the key is not known, and Unavailable while no key is."""
        ...

    def counts(self) -> Mapping[str, int]: ...
    async def check(self) -> list[Check]: ...
    async def close(self) -> None: ...


class _Jwk(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Public members only (RFC 7518, sections 6.2.1 and 6.3.1; RFC 8037, section 2)."""

    kid: str
    kty: str
    alg: str | None = None
    use: str | None = None
    key_ops: tuple[str, ...] | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    n: str | None = None
    e: str | None = None


class _JwkSet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


def parse_key_set(document: bytes) -> dict[str, Key]:
    """The usable keys by kid; others are skipped (RFC 7517, section 5). Empty if the document is not a JWK Set."""
    keys: dict[str, Key] = {}
    try:
        jwks = msgspec.json.decode(document, type=_JwkSet).keys
    except (ValueError, RecursionError):
        return keys
    for raw in jwks:
        try:
            jwk = msgspec.json.decode(raw, type=_Jwk)
            key = _parse_key(jwk)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            continue
        if key is not None and jwk.kid:
            keys.setdefault(jwk.kid, key)
    return keys


def _parse_key(jwk: _Jwk) -> Key | None:
    algorithm = "PS256" if (jwk.kty, jwk.alg) == ("RSA", "PS256") else _ALGORITHMS.get((jwk.kty, jwk.crv))
    is_for_signatures = jwk.use in (None, "sig") and (jwk.key_ops is None or "verify" in jwk.key_ops)
    if algorithm is None or jwk.alg not in (None, algorithm) or not is_for_signatures:
        return None
    material = jwt.PyJWK(msgspec.to_builtins(jwk), algorithm).key
    return None if jwk.kty == "RSA" and material.key_size < _MIN_RSA_BITS else Key(algorithm, material)
