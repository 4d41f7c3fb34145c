"""Check: the result of one check of a token, or of the keys."""

from typing import NamedTuple


class Check(NamedTuple):
    passed: bool
    message: str  # if it failed, a sentence that says what to fix, safe to show to whoever sent the token


def make_check(passed: bool, success: str, failure: str) -> Check:
    return Check(passed, success if passed else failure)
