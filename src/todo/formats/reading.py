"""Reads files of other programs, and our own."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping

from msgspec import Raw
from msgspec.json import Decoder

from todo.formats.google import read_google
from todo.formats.ics_reader import read_ics
from todo.formats.microsoft import read_microsoft
from todo.formats.own import read_own
from todo.formats.records import Collector, Parsed, Unreadable
from todo.formats.taskwarrior import read_taskwarrior
from todo.formats.texts import decode_json, decode_text
from todo.formats.todoist import read_todoist
from todo.formats.todotxt import read_todotxt

READERS: Mapping[str, Callable[[str, Collector], None]] = {
    "json": read_own,
    "todoist": read_todoist,
    "google": read_google,
    "microsoft": read_microsoft,
    "todotxt": read_todotxt,
    "taskwarrior": read_taskwarrior,
    "ics": read_ics,
}
"""By the name of the source."""


def read(data: bytes, source: str, is_time_zone: Callable[[str], bool]) -> Parsed:
    """The tasks in a file of at most 64 MiB from ``source``, one of READERS, and all that is lost in taking them.

    ``is_time_zone`` knows the names of the IANA tz database. Raises Unreadable.
    """
    collector = Collector(is_time_zone)
    READERS[source](decode_text(data), collector)
    if not collector.records and collector.malformed and collector.malformed == len(collector.losses):
        raise Unreadable(f"The file is not one of {source}: none of its entries can be read as a task.")
    return Parsed(collector.records, collector.losses)


def guess(data: bytes) -> str | None:
    """The source of a file, one of READERS, by the look of it; None if it looks like none."""
    try:
        text = decode_text(data).strip()
        if text.startswith(("{", "[")):
            return _guess_json(text)
    except Unreadable:
        return None
    head = text[:10_000]
    if head[:15].upper() == "BEGIN:VCALENDAR":
        return "ics"
    first, *others = head.splitlines()[:20]
    if {"TYPE", "CONTENT"} <= {name.strip().upper() for row in _read_row(first) for name in row}:
        return "todoist"
    lines = [line for line in (first, *others) if line.strip()]
    return "todotxt" if sum(map(_looks_like_todotxt, lines)) * 2 >= len(lines) else None


def _read_row(line: str) -> Iterable[list[str]]:
    try:
        return list(csv.reader([line]))
    except csv.Error:
        return []


def _looks_like_todotxt(line: str) -> bool:
    return _TODOTXT.search(line) is not None


_TODOTXT = re.compile(r"^(?:x |\([A-Z]\) |[0-9]{4}-[0-9]{2}-[0-9]{2} )|\s[@+]\w|\sdue:[0-9]{4}-")
_decoder: Decoder[dict[str, Raw] | list[Raw]] = Decoder(dict[str, Raw] | list[Raw])


def _guess_json(text: str) -> str | None:
    """Raises Unreadable."""
    try:
        value = decode_json(text, _decoder)
    except Unreadable:  # unless it has one object per line
        value = decode_json(text.partition("\n")[0].strip().removesuffix(","), _decoder)
    if isinstance(value, list) and value:
        value = decode_json(bytes(value[0]).decode(), _decoder)
    return next((source for source, keys in _KEYS if keys <= set(value)), None) if isinstance(value, dict) else None


# Of the whole object, or of the first one in an array; the first that matches.
_KEYS = (
    ("json", {"format", "tasks"}),
    ("google", {"kind", "items"}),
    ("microsoft", {"value"}),
    ("microsoft", {"displayName", "tasks"}),
    ("taskwarrior", {"description", "status"}),
    ("microsoft", {"title", "status"}),
)
