"""Compresses responses with gzip (RFC 1952) for clients that ask for it (RFC 9110, section 12.5.3)."""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterable

MIN_LENGTH = 1024  # bytes of a response that is worth it. A shorter one fits into a packet as it is

_INLINE_LENGTH = 32 * 1024
"""Larger parts are compressed in a thread; up to this size (about 0.5 ms) it is done inline."""

_LEVEL = 4
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's way to say gzip

_CODING = re.compile(r"\s*(gzip|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE)


def accepts_gzip(accept_encoding: str | None) -> bool:
    codings = filter(None, map(_CODING.fullmatch, (accept_encoding or "").split(",")))
    weights = {coding[1].lower(): float(coding[2] or 1) for coding in codings}
    return weights.get("gzip", weights.get("*", 0)) > 0


async def compress(parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_FORMAT)
    async for part in parts:
        if len(part) > _INLINE_LENGTH:
            compressed = await asyncio.to_thread(compressor.compress, part)
        else:
            compressed = compressor.compress(part)
        if compressed:
            yield compressed
    yield compressor.flush()
