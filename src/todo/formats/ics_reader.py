"""Reads tasks from iCalendar: its VTODO components (RFC 5545, section 3.6.2).

Not with the icalendar package, which writes them: its parser takes 0.4 ms for a task, and that of release 6.1 divides a
category at an escaped comma. No recurrence rule is ever followed here, that of a time zone included.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from todo.formats.records import Collector, Draft, Unreadable, digest, show

PRIORITIES = {"0": None, **dict.fromkeys("1234", "high"), "5": "medium", **dict.fromkeys("6789", "low")}
STATUSES = {"": False, "NEEDS-ACTION": False, "COMPLETED": True}

# The value begins at the first colon outside a quoted parameter (section 3.1). Possessive: none is tried twice.
_PARAMETER_VALUE = r'(?:"[^"]*+"|[^";:,]*+)'
_LINE = re.compile(
    rf"([A-Za-z0-9-]++)((?:;[A-Za-z0-9-]++={_PARAMETER_VALUE}(?:,{_PARAMETER_VALUE})*+)*+):(.*)", re.DOTALL
)
_TZID = re.compile(rf";TZID=({_PARAMETER_VALUE})", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_LISTED = re.compile(r"(?:\\.?|[^,\\])+", re.DOTALL)

_LEFT_OUT = {
    "RRULE": "It repeats; only this one is taken.",
    "RDATE": "It repeats; only this one is taken.",
    "RELATED-TO": "Its relation to other tasks was left out.",
    "ATTACH": "Its attachments were left out.",
    "ATTENDEE": "Its attendees were left out.",
    "ORGANIZER": "Its organizer was left out.",
    "DURATION": "Its duration was left out.",
    "GEO": "Its position was left out.",
}
_KEPT = {"LOCATION": "Location", "URL": "Link", "COMMENT": "Comment", "CONTACT": "Contact", "DTSTART": "Start"}


# Beyond the rules of the domain by far; more would take memory and time for nothing.
_MAX_LINES = 10_000  # of one task
_MAX_LABELS = 1_000


@dataclass(slots=True)
class Component:
    """A VTODO, without the components in it."""

    line: int
    lines: list[tuple[int, str]] = field(default_factory=list)
    depth: int = 0  # of the components that are open in it
    has_alarm: bool = False


def read_ics(text: str, collector: Collector) -> None:
    """Events and journals are counted, and left out. Raises Unreadable."""
    others: Counter[str] = Counter()
    todo: Component | None = None
    is_calendar = False
    for number, line in _unfold(text):
        marker, _, name = line[:100].upper().partition(":")
        name = name.strip()
        if marker == "BEGIN" and todo is not None:
            todo.has_alarm |= name == "VALARM"
            todo.depth += 1
        elif marker == "BEGIN":
            is_calendar |= name == "VCALENDAR"
            todo = Component(number) if name == "VTODO" else None
            if name in ("VEVENT", "VJOURNAL"):
                others[name] += 1
        elif marker == "END" and todo is not None and todo.depth:
            todo.depth -= 1
        elif marker == "END" and todo is not None:
            _read_todo(todo, collector)
            todo = None
        elif todo is not None and not todo.depth and line.strip():
            if len(todo.lines) >= _MAX_LINES:
                raise Unreadable(f"The task in line {todo.line} has more than {_MAX_LINES:,} lines.")
            todo.lines.append((number, line))
    if not is_calendar:
        raise Unreadable("The file is not a calendar: it has no BEGIN:VCALENDAR.")
    if todo is not None:
        collector.lose(f"line {todo.line}", "The file ends in the middle of this task.")
        _read_todo(todo, collector)
    for name, count in others.items():
        collector.lose("", f"{count} of {name} were left out; only tasks (VTODO) are taken.")


def _unfold(text: str) -> Iterator[tuple[int, str]]:
    """Content lines (section 3.1), each with the number of its first line."""
    first, parts = 1, list[str]()
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        content = line.removesuffix("\n")
        if content.startswith((" ", "\t")):
            parts.append(content[1:])
            continue
        yield first, "".join(parts)
        first, parts = number, [content]
    yield first, "".join(parts)


def _read_todo(todo: Component, collector: Collector) -> None:
    place = f"line {todo.line}"
    draft = Draft(place=place, source_id="")
    first: dict[str, re.Match[str]] = {}
    left_out = {"Its reminders were left out."} if todo.has_alarm else set()
    for number, line in todo.lines:
        match = _LINE.fullmatch(line)
        if match is None:
            collector.lose(f"line {number}", f"The line {show(line)} is not iCalendar and was left out.")
            continue
        name, value = match[1].upper(), match[3]
        first.setdefault(name, match)
        if name == "DESCRIPTION":
            draft.notes.append(_unescape(value))
        elif name == "CATEGORIES":
            found = islice(_LISTED.finditer(value), _MAX_LABELS - len(draft.labels))
            draft.labels += [_unescape(each[0]) for each in found]
        elif name in _KEPT and value.strip():
            draft.keep(_KEPT[name], _unescape(value))
        elif name in _LEFT_OUT:
            left_out.add(_LEFT_OUT[name])

    def get(name: str) -> str:
        return first[name][3].strip() if name in first else ""

    if get("STATUS").upper() == "CANCELLED":
        collector.lose(place, "It was cancelled and was left out.")
        return
    uid = f"{_unescape(get('UID'))} {get('RECURRENCE-ID')}".strip()
    draft.source_id = uid or digest("\n".join(line for _, line in todo.lines))
    draft.title = _unescape(get("SUMMARY"))
    status = get("STATUS").upper() or ("COMPLETED" if "COMPLETED" in first else "")
    draft.completed = draft.look_up("status", status, STATUSES) or False
    draft.priority = draft.look_up("priority", get("PRIORITY") or "0", PRIORITIES)
    if get("DUE"):
        zone = _TZID.search(first["DUE"][2])
        draft.set_due(get("DUE"), zone[1].strip('"') if zone else None)
    draft.losses += sorted(left_out)
    collector.add(draft)


def _unescape(text: str) -> str:
    """Section 3.3.11."""
    return _ESCAPED.sub(lambda match: "\n" if match[1] in ("n", "N") else match[1], text)
