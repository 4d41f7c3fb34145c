"""Checks a token's header and claims, whoever signed it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from todo.adapters.tokens.check import Check, make_check
from todo.adapters.tokens.jws import Jws
from todo.domain.task import parse_user_id

LEEWAY = 30  # seconds by which the clocks of issuer and service may differ

_MAX_TIME = 2**53  # seconds from the epoch, either way; what lies further off is not a time

# An error may show the origin of an issuer; a path after it could name a person.
_ORIGIN = re.compile(r"(https?://[A-Za-z0-9._:\[\]-]{1,200}(?:/|$))(.*)", re.DOTALL)


class ClaimRules:
    """Without ``issuers`` or ``audiences``, that claim is not checked.

    PyJWT's checks are not used: they stop at the first error, quote claims, and accept a string as a time.
    """

    def __init__(self, *, issuers: Sequence[str] = (), audiences: Sequence[str] = ()) -> None:
        self._issuers = tuple(issuers)
        self._audiences = tuple(audiences)

    def check(self, jws: Jws, now: float) -> Iterator[Check]:
        """Everything but the algorithm and the signature. ``now`` is in seconds since the epoch."""
        header, claims = jws.header, jws.claims
        yield make_check(
            # RFC 7515, section 4.1.9; RFC 9068, section 2.1
            str(header.get("typ", "JWT")).lower().removeprefix("application/") in ("jwt", "at+jwt"),
            "it is of an accepted type",
            "The token is of another type; send the one that /api/auth/token gives.",
        )
        yield make_check(
            "crit" not in header and "cnf" not in claims,  # RFC 7515, section 4.1.11; RFC 7800, section 3.1
            "it is a plain bearer token",
            "The token asks for checks that are not made here; send a plain bearer token.",
        )
        if "jti" in claims:  # RFC 7519, section 4.1.7
            yield make_check(isinstance(claims["jti"], str), "its jti is a string", "The token's jti is not a string.")
        yield from _check_times(claims, now)
        yield self._check_issuer(claims.get("iss"))
        yield self._check_audience(claims.get("aud"))
        yield _check_subject(claims)

    def _check_issuer(self, issuer: object) -> Check:
        if not self._issuers:
            return Check(True, "its issuer is not checked, because none is configured")
        expected = f"{' or '.join(self._issuers)} is expected (iss)."
        if issuer is None:
            return Check(False, f"The token does not say who issued it; {expected}")
        if isinstance(issuer, str) and issuer in self._issuers:
            return Check(True, f"it was issued by {issuer}")
        origin = _ORIGIN.fullmatch(issuer) if isinstance(issuer, str) else None
        shown = "another" if origin is None else origin[1] + ("…" if origin[2] else "")
        return Check(False, f"The token was issued by {shown}, but {expected}")

    def _check_audience(self, audience: object) -> Check:
        if not self._audiences:
            return Check(True, "its audience is not checked, because none is configured")
        expected = " or ".join(self._audiences)
        if audience is None:
            return Check(False, f"The token does not say whom it is meant for; {expected} is expected (aud).")
        audiences = audience if isinstance(audience, list) else [audience]
        return make_check(
            all(isinstance(one, str) for one in audiences) and not set(self._audiences).isdisjoint(audiences),
            f"it is meant for {expected}",
            f"The token is meant for another audience; {expected} is expected (aud).",
        )


def _check_times(claims: Mapping[str, Any], now: float) -> Iterator[Check]:
    """RFC 7519, sections 4.1.4 to 4.1.6."""
    if "exp" not in claims:
        yield Check(False, "The token lacks the claim exp; have the issuer add it.")
    for name in (name for name in ("exp", "nbf", "iat") if name in claims):
        time = claims[name]
        # Not isinstance: True is an int.
        if type(time) not in (int, float) or not -_MAX_TIME <= time <= _MAX_TIME:
            yield Check(False, f"The token's {name} is not a time (RFC 7519, section 2: NumericDate).")
        elif name == "exp":
            yield make_check(time + LEEWAY > now, "it has not expired", "The token has expired; get a new one.")
        else:
            failure = f"The token is not valid yet ({name}); check the clocks of its issuer and of this service."
            yield make_check(time <= now + LEEWAY, f"its {name} is not in the future", failure)


def _check_subject(claims: Mapping[str, Any]) -> Check:
    if "sub" not in claims:
        return Check(False, "The token lacks the claim sub; have the issuer add it.")
    if not isinstance(claims["sub"], str):
        return Check(False, "The token's sub is not a string.")
    try:
        parse_user_id(claims["sub"])
    except ValueError as error:
        return Check(False, f"The token's sub is not valid: {error}.")
    return Check(True, "its sub names a user")
