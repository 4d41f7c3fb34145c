"""Reads what Taskwarrior's ``task export`` prints: a JSON array, or one object per line.

https://taskwarrior.org/docs/design/task/
"""

import io
from collections.abc import Iterable

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from todo.formats.records import Collector, Draft, digest
from todo.formats.texts import Entry, decode_each, decode_json, list_entries

PRIORITIES = {"H": "high", "M": "medium", "L": "low", "": None}
STATUSES = {"pending": False, "waiting": False, "completed": True}


class Annotation(Struct, gc=False):
    description: str


class TaskwarriorTask(Struct, gc=False):
    description: str
    status: str | None = None
    uuid: str | None = None
    priority: str | None = None
    project: str | None = None
    tags: list[str] | str | None = None
    due: str | None = None
    annotations: list[Annotation] | None = None
    recur: str | None = None
    depends: list[str] | str | None = None
    wait: str | None = None
    scheduled: str | None = None
    start: str | None = None
    until: str | None = None


_decoder, _raw_decoder, _task_decoder = Decoder(list[Raw]), Decoder(Raw), Decoder(TaskwarriorTask)


def read_taskwarrior(text: str, collector: Collector) -> None:
    """The project and the tags become labels, annotations become notes. Raises Unreadable.

    A due date is an instant in UTC there; a whole day is midnight in a zone that the file does not name. So midnight in
    UTC is taken as a whole day, and any other time as that time with the zone "UTC": for a person in Berlin, a day in
    summer comes as 22:00 UTC of the day before.
    """
    entries: Iterable[Entry]
    if text.lstrip().startswith("["):
        entries = list_entries("", decode_json(text, _decoder))
    else:
        entries = _list_lines(text, collector)
    for entry, task in decode_each(entries, _task_decoder, collector):
        _read_task(entry, task, collector)


def _list_lines(text: str, collector: Collector) -> Iterable[Entry]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        content = line.strip().removesuffix(",")  # releases before 2.4 separate the lines by commas
        if not content:
            continue
        try:
            raw = _raw_decoder.decode(content)
        except (MsgspecError, ValueError, RecursionError):
            collector.malformed += 1
            collector.lose(f"line {number}", "It is not JSON and was left out.")
            continue
        yield Entry(f"line {number}", raw)


def _read_task(entry: Entry, task: TaskwarriorTask, collector: Collector) -> None:
    if task.status == "deleted":
        collector.lose(entry.place, "It was deleted in Taskwarrior and was left out.")
        return
    if task.status == "recurring":
        collector.lose(entry.place, "It is the template of a task that repeats and was left out; the tasks are taken.")
        return
    tags = [task.tags] if isinstance(task.tags, str) else task.tags or []
    draft = Draft(
        place=entry.place,
        source_id=task.uuid or digest(bytes(entry.raw)),
        title=task.description,
        notes=[annotation.description for annotation in task.annotations or ()],
        labels=[*([task.project] if task.project else ()), *tags],
    )
    draft.completed = draft.look_up("status", task.status or "pending", STATUSES) or False
    draft.priority = draft.look_up("priority", task.priority or "", PRIORITIES)
    if task.due:
        draft.set_due(task.due.replace("T000000Z", ""))
    if task.recur:
        draft.lose("It repeats; only this one is taken.")
    if task.depends:
        draft.lose("It depends on other tasks; that was left out.")
    for name, value in (("Wait", task.wait), ("Scheduled", task.scheduled), ("Until", task.until)):
        if value:
            draft.keep(name, value)
    if task.start:
        draft.lose("It was begun; it is open.")
    collector.add(draft)
