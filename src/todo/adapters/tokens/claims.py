"""What a token must say, whoever signed it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from todo.adapters.tokens.compact import Jwt
from todo.domain.task import user_id_of

LEEWAY = 30
"""Seconds by which the clocks of issuer and service may differ."""

FARTHEST = 2**53
"""Seconds before and behind the epoch; a time that is farther off is none."""

# Of an issuer, what may be shown: the address of a service names no person, but a path behind it may.
_ADDRESS = re.compile(r"(https?://[A-Za-z0-9._:\[\]-]{1,200}(?:/|$))(.*)", re.DOTALL)


class Finding(NamedTuple):
    """One thing that was looked at."""

    holds: bool
    said: str
    """What is so; if it does not hold, a sentence for the person who has to mend it."""


class Claims:
    """The rules. They are our own because PyJWT's stop at the first fault, and take a text for a time."""

    def __init__(self, *, issuers: Sequence[str] = (), audiences: Sequence[str] = ()) -> None:
        self.issuers = tuple(issuers)
        self.audiences = tuple(audiences)

    def judge(self, token: Jwt, now: float) -> Iterator[Finding]:
        """All that is to be said at ``now``, in seconds since the epoch, but of the signature."""
        header, claims = token.header, token.claims
        kind = header.get("typ", "JWT")
        yield found(
            isinstance(kind, str) and kind.lower() in ("jwt", "at+jwt"),  # RFC 7519, section 5.1; RFC 9068, section 2.1
            "it is of a type that is taken",
            "The token is of another type; send the one that /api/auth/token gives.",
        )
        yield found(
            "crit" not in header and "cnf" not in claims,  # RFC 7515, section 4.1.11; RFC 7800, section 3.1
            "it is a plain bearer token",
            "The token asks for checks that are not made here; send a plain bearer token.",
        )
        if "jti" in claims:  # RFC 7519, section 4.1.7
            yield found(isinstance(claims["jti"], str), "its id is a text", "The token's jti is not a text.")
        yield from _judged_times(claims, now)
        yield self._judged_issuer(claims)
        yield self._judged_audience(claims)
        yield _judged_subject(claims)

    def _judged_issuer(self, claims: Mapping[str, Any]) -> Finding:
        if not self.issuers:
            return Finding(True, "its issuer is not judged, for none is configured")
        expected = f"{' or '.join(self.issuers)} is expected (iss)."
        issuer = claims.get("iss")
        if issuer is None:
            return Finding(False, f"The token does not say who issued it; {expected}")
        if isinstance(issuer, str) and issuer in self.issuers:
            return Finding(True, f"it was issued by {issuer}")
        return Finding(False, f"The token was issued by {_shown(issuer)}, but {expected}")

    def _judged_audience(self, claims: Mapping[str, Any]) -> Finding:
        if not self.audiences:
            return Finding(True, "its audience is not judged, for none is configured")
        expected = " or ".join(self.audiences)
        named = claims.get("aud")
        if named is None:
            return Finding(False, f"The token does not say whom it is meant for; {expected} is expected (aud).")
        audiences = named if isinstance(named, list) else [named]
        return found(
            all(isinstance(one, str) for one in audiences) and not set(self.audiences).isdisjoint(audiences),
            f"it is meant for {expected}",
            f"The token is meant for another audience; {expected} is expected (aud).",
        )


def _judged_times(claims: Mapping[str, Any], now: float) -> Iterator[Finding]:
    """RFC 7519, sections 4.1.4 to 4.1.6."""
    if "exp" not in claims:
        yield Finding(False, "The token lacks the claim exp; have the issuer add it.")
    for name in (name for name in ("exp", "nbf", "iat") if name in claims):
        time = claims[name]
        # Not isinstance: a truth value is an int to Python.
        if type(time) not in (int, float) or not -FARTHEST <= time <= FARTHEST:
            yield Finding(False, f"The token's {name} is not a time (RFC 7519, section 2: NumericDate).")
        elif name == "exp":
            yield found(time + LEEWAY > now, "it has not expired", "The token has expired; get a new one.")
        else:
            yield found(
                time <= now + LEEWAY,
                f"its {name} has come",
                f"The token is not valid yet ({name}); check the clocks of its issuer and of this service.",
            )


def _judged_subject(claims: Mapping[str, Any]) -> Finding:
    if "sub" not in claims:
        return Finding(False, "The token lacks the claim sub; have the issuer add it.")
    if not isinstance(claims["sub"], str):
        return Finding(False, "The token's sub is not a text.")
    try:
        user_id_of(claims["sub"])
    except ValueError as error:
        return Finding(False, f"The token's sub can't be taken: {error}.")
    return Finding(True, "it says whom it speaks for")


def _shown(issuer: object) -> str:
    address = _ADDRESS.fullmatch(issuer) if isinstance(issuer, str) else None
    return "another" if address is None else address[1] + ("…" if address[2] else "")


def found(holds: bool, good: str, fault: str) -> Finding:
    return Finding(holds, good if holds else fault)
