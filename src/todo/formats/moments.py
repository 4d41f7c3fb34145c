"""Dates and times in files, as due dates."""

import re
from datetime import UTC, datetime, timedelta, timezone

from todo.domain.fields import Due, is_date

_MOMENT = re.compile(
    "([0-9]{4})-?([0-9]{2})-?([0-9]{2})"
    "(?:[T ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def parse_moment(text: str, time_zone: str | None = None) -> tuple[Due, bool] | None:
    """A date or time in ISO 8601, basic or extended, as a due date, and whether seconds were dropped.

    A time keeps what the wall clock says in ``time_zone``. "Z" is the zone UTC even beside another ``time_zone``; a
    time with another offset, for which there is no name, is converted to UTC unless ``time_zone`` is given. None if it
    is something else.
    """
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    date = f"{year}-{month}-{day}"
    if not is_date(date) or (hour is not None and not (hour < "24" and minute < "60" and (second or "") < "61")):
        return None
    if hour is None:
        return Due(date), False
    due = Due(date, f"{hour}:{minute}", "UTC" if offset == "Z" else time_zone or None)
    if offset not in (None, "Z") and due.time_zone is None:
        try:
            due = _convert(due, offset)
        except (OverflowError, ValueError):  # beyond the years 1 to 9999, or an offset of over 23:59
            return None
    return due, int(second or 0) > 0


def _convert(due: Due, offset: str) -> Due:
    east = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    zone = timezone(east if offset[0] == "+" else -east)
    moment = datetime.fromisoformat(f"{due.date}T{due.time}").replace(tzinfo=zone).astimezone(UTC)
    return Due(moment.date().isoformat(), moment.strftime("%H:%M"), "UTC")


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_ENGLISH = re.compile(
    r"(?:(?P<m1>[a-z]{3,9})\.? (?P<d1>[0-9]{1,2})(?:st|nd|rd|th)?,? (?P<y1>[0-9]{4})"
    r"|(?P<d2>[0-9]{1,2})(?:st|nd|rd|th)? (?P<m2>[a-z]{3,9})\.?,? (?P<y2>[0-9]{4}))"
    r"(?:,? (?:at |@ ?)?(?:(?P<h24>[0-9]{1,2}):(?P<min24>[0-9]{2})"
    r"|(?P<h12>[0-9]{1,2})(?::(?P<min12>[0-9]{2}))? ?(?P<half>am|pm)))?"
)


def spell_as_iso(text: str) -> str | None:
    """An English date with its year, such as "Dec 24 2026 5pm", as "2026-12-24 17:00"; None if it is something else.

    Without a year it depends on the day on which it was written, and "05/06/2026" on the country: neither is taken.
    """
    match = _ENGLISH.fullmatch(text.strip().lower())
    if match is None:
        return None
    part = match.groupdict()
    name = part["m1"] or part["m2"]
    names = _MONTHS if name in _MONTHS else _FULL_MONTHS
    if name not in names:
        return None
    date = f"{part['y1'] or part['y2']}-{names.index(name) + 1:02}-{int(part['d1'] or part['d2']):02}"
    if part["h24"] is not None:
        return f"{date} {int(part['h24']):02}:{part['min24']}"
    if part["h12"] is None:
        return date
    if not 1 <= int(part["h12"]) <= 12:
        return None
    return f"{date} {int(part['h12']) % 12 + (12 if part['half'] == 'pm' else 0):02}:{part['min12'] or '00'}"
