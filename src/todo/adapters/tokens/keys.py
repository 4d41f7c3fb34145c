"""Keys that signatures are judged with, and the set of them that an issuer publishes (RFC 7517)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
import msgspec

from todo.adapters.tokens.claims import Finding

HMAC = ("HS256",)
ASYMMETRIC = ("EdDSA", "ES256", "ES512", "RS256", "PS256")

_SHORTEST_RSA = 2048
"""Bits (RFC 7518, sections 3.3 and 3.5)."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the one algorithm that it is for (RFC 8725, section 3.1)."""

    algorithm: str
    material: Any = field(repr=False)

    def fits(self, signing_input: bytes, signature: bytes) -> bool:
        return jwt.get_algorithm_by_name(self.algorithm).verify(signing_input, self.material, signature)


class Keys(Protocol):
    """Where a verifier finds the key that a token was signed with."""

    algorithms: tuple[str, ...]
    """Those of all keys there can be; a token that names another is refused without a search."""
    names_matter: bool
    """Whether a token has to say which key it is signed with."""

    async def find(self, kid: str) -> Key | None:
        """The same object as long as the key stays. While the issuer can't be asked, raises Unavailable if no keys are
        known, and InvalidToken for a kid that is not among them."""
        ...

    def counts(self) -> Mapping[str, int]:
        """What has happened so far, by name."""
        ...

    async def examine(self) -> list[Finding]:
        """What can be said of the keys for whoever wants to know why a token is let in or not."""
        ...

    async def close(self) -> None: ...


class _PublishedKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public members of a JWK (RFC 7518, sections 6.2.1 and 6.3.1; RFC 8037, section 2)."""

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


class _PublishedSet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


def parsed_key_set(document: bytes) -> dict[str, Key]:
    """The keys of a JWK Set that are of use here, by ``kid``; the others are left out (RFC 7517, section 5).

    None at all if it is no JWK Set. Of several with one ``kid`` the first is taken.
    """
    try:
        published = msgspec.json.decode(document, type=_PublishedSet).keys
    except (ValueError, RecursionError):
        return {}
    keys: dict[str, Key] = {}
    for raw in published:
        try:
            jwk = msgspec.json.decode(raw, type=_PublishedKey)
            key = _key_of(jwk)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            continue
        if key is not None and jwk.kid:
            keys.setdefault(jwk.kid, key)
    return keys


def _key_of(jwk: _PublishedKey) -> Key | None:
    algorithm = _algorithm_of(jwk)
    is_for_signatures = jwk.use in (None, "sig") and (jwk.key_ops is None or "verify" in jwk.key_ops)
    if algorithm is None or jwk.alg not in (None, algorithm) or not is_for_signatures:
        return None
    members = {name: getattr(jwk, name) for name in ("kty", "crv", "x", "y", "n", "e")}
    material = jwt.PyJWK({name: value for name, value in members.items() if value is not None}, algorithm).key
    return None if jwk.kty == "RSA" and material.key_size < _SHORTEST_RSA else Key(algorithm, material)


def _algorithm_of(jwk: _PublishedKey) -> str | None:
    """What the key can be for. An RSA key fits two algorithms: it says which, or is for RS256."""
    match jwk.kty, jwk.crv:
        case "OKP", "Ed25519" | "Ed448":
            return "EdDSA"
        case "EC", "P-256":
            return "ES256"
        case "EC", "P-521":
            return "ES512"
        case "RSA", None:
            return "PS256" if jwk.alg == "PS256" else "RS256"
        case _:
            return None


def same_where_equal(keys: Mapping[str, Key], before: Mapping[str, Key]) -> dict[str, Key]:
    """The keys, each the object of before if it is equal to that."""
    return {kid: before[kid] if before.get(kid) == key else key for kid, key in keys.items()}
