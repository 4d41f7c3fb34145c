"""From the bytes of a file to its text, and from JSON to its entries."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder

from todo.formats.records import Collector, Unreadable, show

MAX_BYTES = 64 * 1024 * 1024  # 64 MiB

MAX_VALUES = 5_000_000
"""The most values of a JSON file. Each can take 60 bytes of memory, so 64 MiB of ``[[],[],…`` would take gigabytes."""

T = TypeVar("T")


def decode_text(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 if it begins with a byte order mark. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"The file is larger than {MAX_BYTES // 1024**2} MiB; split it.")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("The file is not text in UTF-8 or UTF-16.") from None
    if "\0" in text:
        raise Unreadable("The file is binary, not text.")
    if not text.strip():
        raise Unreadable("The file is empty.")
    return text


def decode_json(text: str, decoder: Decoder[T]) -> T:
    """Raises Unreadable: not JSON, or not of the decoder's type."""
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise Unreadable(f"The file has more than {MAX_VALUES:,} values; split it.")
    try:
        return decoder.decode(text)
    except RecursionError:
        raise Unreadable("The file is nested too deeply.") from None
    except (MsgspecError, ValueError) as error:
        raise Unreadable(f"The file is not the JSON that it should be: {show(str(error))}.") from None


class Entry(NamedTuple):
    """A part of a JSON file that is decoded by itself, so that a wrong one does not spoil the others."""

    place: str
    raw: Raw


def list_entries(prefix: str, raws: Sequence[Raw] | None) -> Iterator[Entry]:
    return (Entry(f"{prefix}[{index}]", raw) for index, raw in enumerate(raws or ()))


def decode_each(entries: Iterable[Entry], decoder: Decoder[T], collector: Collector) -> Iterator[tuple[Entry, T]]:
    """Those that can be decoded; the others are losses."""
    for entry in entries:
        try:
            value = decoder.decode(entry.raw)
        except (MsgspecError, ValueError, RecursionError) as error:
            collector.malformed += 1
            collector.lose(entry.place, f"It can't be read and was left out: {show(str(error))}.")
            continue
        yield entry, value
