"""Keys that verify signatures, and how a JWK Set (RFC 7517) is parsed into them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
import msgspec

from todo.adapters.tokens.check import Check
from todo.domain.refusals import InvalidToken

HMAC = ("HS256",)
ASYMMETRIC = ("EdDSA", "ES256", "ES512", "RS256", "PS256", "Ed25519", "Ed448")

_MIN_RSA_BITS = 2048  # RFC 7518, sections 3.3 and 3.5
_ALGORITHMS = {
    ("OKP", "Ed25519"): "Ed25519",
    ("OKP", "Ed448"): "Ed448",
    ("EC", "P-256"): "ES256",
    ("EC", "P-521"): "ES512",
    ("RSA", None): "RS256",  # or PS256, if the key says so
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the one algorithm that it may be used with (RFC 8725, section 3.1).

    Ed25519 and Ed448 (RFC 9864) are also called EdDSA, which was their only name before.
    """

    algorithm: str
    material: Any = field(repr=False)

    def is_for(self, algorithm: object) -> bool:
        return algorithm in (self.algorithm, _older_name(self.algorithm))

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        return jwt.get_algorithm_by_name(_older_name(self.algorithm)).verify(signing_input, self.material, signature)


def _older_name(algorithm: str) -> str:
    """As PyJWT, and issuers from before RFC 9864, call it."""
    return "EdDSA" if algorithm in ("Ed25519", "Ed448") else algorithm


class KeySet:
    """An issuer's usable keys."""

    def __init__(self, keys: Iterable[tuple[str, Key]] = ()) -> None:
        """Keys with their kid, empty for none; of two with the same kid the first counts."""
        self._by_kid: dict[str, Key] = {}
        self._unnamed: list[Key] = []
        for kid, key in keys:
            if kid:
                self._by_kid.setdefault(kid, key)
            else:
                self._unnamed.append(key)

    def __len__(self) -> int:
        return len(self._by_kid) + len(self._unnamed)

    def __iter__(self) -> Iterator[tuple[str, Key]]:
        yield from self._by_kid.items()
        yield from (("without a kid", key) for key in self._unnamed)

    def find(self, kid: str, algorithm: str) -> Key | None:
        """The key that signed a token with this header. Without a kid, which is optional (RFC 7515, section 4.1.4), it
        is the only key for the algorithm. Raises InvalidToken if there are several."""
        if kid:
            return self._by_kid.get(kid)
        usable = [key for _, key in self if key.is_for(algorithm)]
        if len(usable) > 1:
            raise InvalidToken("The token does not say which key it is signed with (kid).")
        return usable[0] if usable else None


class Keys(Protocol):
    """Where the verifier finds the key that a token was signed with."""

    algorithms: tuple[str, ...]
    waiting: int  # tokens whose key is being fetched

    async def find(self, kid: str, algorithm: str) -> Key:
        """Raises InvalidToken if the key is not known, and Unavailable while no key is."""
        ...

    def counts(self) -> Mapping[str, int]: ...
    async def check(self) -> list[Check]: ...
    async def close(self) -> None: ...


class _Jwk(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Public members only (RFC 7518, sections 6.2.1 and 6.3.1; RFC 8037, section 2)."""

    kid: str = ""
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


def parse_key_set(document: bytes) -> KeySet:
    """The usable keys; others are skipped (RFC 7517, section 5). Empty if the document is not a JWK Set."""
    keys: list[tuple[str, Key]] = []
    try:
        jwks = msgspec.json.decode(document, type=_JwkSet).keys
    except (ValueError, RecursionError):
        return KeySet()
    for raw in jwks:
        try:
            jwk = msgspec.json.decode(raw, type=_Jwk)
            key = _parse_key(jwk)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            continue
        if key is not None:
            keys.append((jwk.kid, key))
    return KeySet(keys)


def _parse_key(jwk: _Jwk) -> Key | None:
    algorithm = "PS256" if (jwk.kty, jwk.alg) == ("RSA", "PS256") else _ALGORITHMS.get((jwk.kty, jwk.crv))
    is_for_signatures = jwk.use in (None, "sig") and (jwk.key_ops is None or "verify" in jwk.key_ops)
    if algorithm is None or not is_for_signatures:
        return None
    if jwk.alg not in (None, algorithm, _older_name(algorithm)):
        return None
    material = jwt.PyJWK(msgspec.to_builtins(jwk), _older_name(algorithm)).key
    return None if jwk.kty == "RSA" and material.key_size < _MIN_RSA_BITS else Key(algorithm, material)
