"""Writes tasks as iCalendar: a VTODO each (RFC 5545, section 3.6.2)."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain

from icalendar import Timezone, Todo, vText

from todo.domain.fields import Due
from todo.domain.task import Task
from todo.formats.parts import join_parts

# Section 3.8.1.9: 1 is the highest, 9 the lowest.
_PRIORITIES = {"high": 1, "medium": 5, "low": 9}
_HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//todo//todo//EN\r\n"
_END = "END:VCALENDAR\r\n"


def write_ics(tasks: Iterable[Task]) -> Iterator[bytes]:
    """RFC 5545, in UTF-8. All line breaks in texts become the same kind; each time zone is described before its first
    use, with its rules from 1970 to 2038."""
    return join_parts(chain([_HEAD], _write_components(tasks), [_END]))


def _write_components(tasks: Iterable[Task]) -> Iterator[str]:
    described = {None, "UTC"}
    for task in tasks:
        zone = task.due.time_zone if task.due is not None else None
        if zone not in described:
            described.add(zone)
            yield _describe_zone(zone or "")
        yield _write_todo(task)


def _describe_zone(name: str) -> str:
    try:
        return str(Timezone.from_tzid(name).to_ical(), "utf-8")
    except ValueError:  # a zone that the tz database of this machine does not have, or no longer
        return ""


class Value(vText):
    """A value that is escaped already. icalendar's own escaping turns the ``\\N`` of ``C:\\New`` into a line break."""

    def to_ical(self) -> bytes:
        return str(self).encode()


def _escape(text: str) -> str:
    """Section 3.3.11."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\\", "\\\\")
    return text.replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _write_todo(task: Task) -> str:
    todo = Todo()
    todo.add("UID", str(task.id))
    # Without a METHOD it is the time of the last change (section 3.8.7.2), so an unchanged task is the same text.
    todo.add("DTSTAMP", task.updated_at)
    todo.add("CREATED", task.created_at)
    todo.add("LAST-MODIFIED", task.updated_at)
    todo.add("SUMMARY", Value(_escape(task.title)))
    if task.notes is not None:
        todo.add("DESCRIPTION", Value(_escape(task.notes)))
    if task.due is not None:
        _add_due(todo, task.due)
    if task.priority is not None:
        todo.add("PRIORITY", _PRIORITIES[task.priority])
    if task.labels:
        todo.add("CATEGORIES", Value(",".join(map(_escape, task.labels))))
    todo.add("STATUS", "COMPLETED" if task.completed else "NEEDS-ACTION")
    if task.completed:
        todo.add("COMPLETED", task.completed_at or task.updated_at)
        todo.add("PERCENT-COMPLETE", 100)
    return str(todo.to_ical(), "utf-8")


def _add_due(todo: Todo, due: Due) -> None:
    """A date, or one of the three forms of section 3.3.5: local, in UTC, or local with a TZID."""
    if due.time is None:
        todo.add("DUE", date.fromisoformat(due.date))
        return
    form = "Z" if due.time_zone == "UTC" else ""
    value = Value(f"{due.date.replace('-', '')}T{due.time.replace(':', '')}00{form}")
    if due.time_zone is not None and not form:
        value.params["TZID"] = due.time_zone
    todo.add("DUE", value)
