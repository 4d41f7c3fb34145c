"""A token taken apart: the compact form of a signed JWT (RFC 7515, section 7.1)."""

import base64
import re
from typing import Any, NamedTuple

import msgspec

from todo.domain.refusals import InvalidToken

LENGTH = 8192
"""The most bytes of a token."""

# Signed JWTs have three parts. Better Auth's session tokens have one or two, and encrypted JWTs five.
_SIGNED = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")

_MALFORMED = "The token is malformed; send it just as it was issued."


class Jwt(NamedTuple):
    """What a token says. Nothing of it is true before its signature was judged."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def algorithm(self) -> object:
        return self.header.get("alg")

    @property
    def kid(self) -> str:
        """Which key it was signed with (RFC 7515, section 4.1.4); empty if it does not say."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else ""


def taken_apart(token: str) -> Jwt:
    """Raises InvalidToken. Of the spellings that base64 has for the same bytes it takes one (RFC 4648, section 3.5)."""
    if len(token) > LENGTH:
        raise InvalidToken(f"The token is longer than {LENGTH} bytes.")
    if token.count(".") != 2:
        raise InvalidToken(
            "This is no signed JWT, but perhaps a session token; send the JWT that the issuer gives at /api/auth/token."
        )
    parts = _SIGNED.fullmatch(token)
    if parts is None:
        raise InvalidToken(_MALFORMED)
    try:
        header, claims, signature = (_bytes_of(part) for part in parts.groups())
        return Jwt(_members_of(header), _members_of(claims), token.rpartition(".")[0].encode(), signature)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
        raise InvalidToken(_MALFORMED) from None


def _bytes_of(part: str) -> bytes:
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise ValueError
    return content


def _members_of(content: bytes) -> dict[str, Any]:
    return msgspec.json.decode(content, type=dict[str, Any])
