"""Pauses between attempts."""

import random
from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds before each further attempt, without end: they double up to ``longest``, and jitter takes up to half off,
    so that clients which failed together do not come back together."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - spreads clients, hides nothing
        pause = min(2 * pause, longest)
