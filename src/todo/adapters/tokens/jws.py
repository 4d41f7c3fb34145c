"""Parses signed JWTs, and verifies nothing: the compact serialization of a JWS (RFC 7515, section 7.1)."""

import base64
import re
from functools import partial
from typing import Any, NamedTuple

import msgspec

from todo.domain.refusals import InvalidToken
from todo.domain.task import UserId, parse_user_id

MAX_LENGTH = 64 * 1024  # bytes, which is also our server's limit for a request's head

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_MALFORMED = "The token is malformed; send it just as it was issued."


class Jws(NamedTuple):
    """A parsed token. Nothing in it can be trusted until its signature has been verified."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def algorithm(self) -> object:
        return self.header.get("alg")

    @property
    def kid(self) -> str:
        """The ID of the signing key (RFC 7515, section 4.1.4); empty if it is missing or not a string."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else ""


def parse_jws(token: str) -> Jws:
    """Raises InvalidToken. Accepts canonical base64url only (RFC 4648, section 3.5), so a token has one spelling."""
    if len(token) > MAX_LENGTH:
        remedy = "have the issuer leave pictures out (Better Auth: definePayload)"
        raise InvalidToken(f"The token is longer than {MAX_LENGTH} bytes; {remedy}.")
    if token.count(".") != 2:  # Better Auth's session tokens have one part or two, encrypted JWTs have five
        raise InvalidToken(
            "This is not a signed JWT, but perhaps a session token; send the JWT from the issuer's /api/auth/token."
        )
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise InvalidToken(_MALFORMED)
    try:
        header, claims, signature = (_decode_base64url(part) for part in parts.groups())
        decode_object = partial(msgspec.json.decode, type=dict[str, Any])
        return Jws(decode_object(header), decode_object(claims), token.rpartition(".")[0].encode(), signature)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise InvalidToken(_MALFORMED) from None


def decode_subject(token: str) -> UserId:
    """The user that a token names. Verifies nothing, which is up to the server that gets it. Raises InvalidToken."""
    try:
        return parse_user_id(parse_jws(token).claims["sub"])
    except (KeyError, TypeError, ValueError):
        raise InvalidToken("The token names no user; log in with another one.") from None


def _decode_base64url(part: str) -> bytes:
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise ValueError("not canonical")
    return content
