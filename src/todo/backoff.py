"""The pauses between attempts: exponential back-off with jitter. The retries themselves are the callers'."""

import random
from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Endless: the seconds to wait before each further attempt. They double up to ``longest``; jitter takes off up to
    half, so that clients that failed together do not retry together."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - spreads clients, hides nothing
        pause = min(2 * pause, longest)
