"""How a long text is streamed."""

from collections.abc import Iterable, Iterator
from itertools import islice

_LINES = 200  # of a part, which has then tens of kilobytes


def join_parts(lines: Iterable[str]) -> Iterator[bytes]:
    """The lines as UTF-8, many in each part: sending a part costs more than making it."""
    lines = iter(lines)
    while part := "".join(islice(lines, _LINES)):
        yield part.encode()
