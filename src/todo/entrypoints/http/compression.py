"""Content codings (RFC 9110, section 8.4): gzip (RFC 1952), and zstd (RFC 8878) for those who ask for it."""

import asyncio
import re
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Protocol

SHORTEST = 1024
"""Bytes of an answer that is worth it. A shorter one fits into a packet as it is."""

_AT_ONCE = 32 * 1024
"""Bytes that are compressed where they are, in half a millisecond; more go to a thread."""

_GZIP_LEVEL = 4
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say gzip

_CODING = re.compile(r"\s*(gzip|zstd|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE)


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def coding_for(accept_encoding: str | None) -> str | None:
    """The coding that a client likes best of those that are known here; None if it wants the answer as it is."""
    weights: dict[str, float] = {}
    for part in (accept_encoding or "").split(","):
        known = _CODING.fullmatch(part)
        if known is not None:
            weights[known[1].lower()] = float(known[2] or 1)
    # The smaller of two that are liked alike. Who says only * is not known to understand zstd.
    liked = [(weights.get("zstd", 0), "zstd"), (weights.get("gzip", weights.get("*", 0)), "gzip")]
    weight, coding = max(liked, key=lambda choice: choice[0])
    return coding if weight > 0 else None


def _compressor(coding: str) -> Compressor:
    if coding == "zstd":  # loaded only now: few ask
        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdCompressor
        else:
            from backports.zstd import ZstdCompressor
        return ZstdCompressor()
    return zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)


async def compressed(parts: AsyncIterable[bytes], coding: str) -> AsyncGenerator[bytes, None]:
    """The parts in this coding, without holding up the event loop."""
    compressor = _compressor(coding)
    async for part in parts:
        if len(part) > _AT_ONCE:
            done = await asyncio.to_thread(compressor.compress, part)
        else:
            done = compressor.compress(part)
        if done:
            yield done
    yield compressor.flush()
