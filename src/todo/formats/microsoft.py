"""Reads Microsoft To Do: lists or tasks as JSON of Microsoft Graph.

https://learn.microsoft.com/en-us/graph/api/resources/todotask
"""

import html
import re

from msgspec import Raw, Struct
from msgspec.json import Decoder

from todo.formats.records import Collector, Draft, digest
from todo.formats.texts import Entry, decode_each, decode_json, list_entries

PRIORITIES = {"high": "high", "normal": None, "low": "low"}
STATUSES = {"notStarted": False, "completed": True}


class Body(Struct, rename="camel", gc=False):
    content: str | None = None
    content_type: str | None = None


class ZonedTime(Struct, rename="camel", gc=False):
    date_time: str
    time_zone: str | None = None


class ChecklistItem(Struct, rename="camel", gc=False):
    display_name: str | None = None
    is_checked: bool | None = None


class LinkedResource(Struct, rename="camel", gc=False):
    display_name: str | None = None
    web_url: str | None = None


class TodoTask(Struct, rename="camel", gc=False):
    title: str | None
    id: str | None = None
    status: str | None = None
    importance: str | None = None
    body: Body | None = None
    due_date_time: ZonedTime | None = None
    start_date_time: ZonedTime | None = None
    is_reminder_on: bool | None = None
    has_attachments: bool | None = None
    categories: list[str] | None = None
    checklist_items: list[ChecklistItem] | None = None
    linked_resources: list[LinkedResource] | None = None
    recurrence: Raw = Raw(b"null")


class ListOrTask(Struct, rename="camel", gc=False):
    """A list if it has tasks."""

    display_name: str | None = None
    wellknown_list_name: str | None = None
    tasks: list[Raw] | None = None


class Answer(Struct, gc=False):
    value: list[Raw]


_decoder: Decoder[Answer | list[Raw]] = Decoder(Answer | list[Raw])
_entry_decoder, _task_decoder = Decoder(ListOrTask), Decoder(TodoTask)


def read_microsoft(text: str, collector: Collector) -> None:
    """``{"value": […]}`` or the bare array, of tasks or of lists with ``displayName`` and ``tasks``. The name of a list
    other than the default one becomes a label of its tasks. Raises Unreadable."""
    answer = decode_json(text, _decoder)
    entries = list_entries("value", answer.value) if isinstance(answer, Answer) else list_entries("", answer)
    for entry in entries:
        for _, each in decode_each([entry], _entry_decoder, collector):
            if each.tasks is None:
                tasks, labels = iter([entry]), []
            else:
                tasks = list_entries(f"{entry.place}.tasks", each.tasks)
                labels = [] if each.wellknown_list_name == "defaultList" else [each.display_name or ""]
            for place, task in decode_each(tasks, _task_decoder, collector):
                _read_task(place, task, labels, collector)


def _read_task(entry: Entry, task: TodoTask, labels: list[str], collector: Collector) -> None:
    draft = Draft(
        place=entry.place,
        source_id=task.id or digest(bytes(entry.raw)),
        title=task.title or "",
        labels=[*(task.categories or ()), *labels],
    )
    draft.completed = draft.look_up("status", task.status or "notStarted", STATUSES) or False
    draft.priority = draft.look_up("importance", task.importance or "normal", PRIORITIES)
    body = task.body
    if body is not None and body.content:
        draft.notes.append(_strip_tags(body.content, draft) if body.content_type == "html" else body.content)
    for step in task.checklist_items or ():
        draft.notes.append(f"[{'x' if step.is_checked else ' '}] {step.display_name or ''}")
    for link in task.linked_resources or ():
        draft.notes.append(f"{link.display_name or ''} {link.web_url or ''}".strip())
    _read_due(task, draft)
    if task.start_date_time is not None:
        draft.keep("Start", task.start_date_time.date_time)
    if bytes(task.recurrence) != b"null":
        draft.lose("It repeats; only this one is taken.")
    if task.is_reminder_on:
        draft.lose("Its reminder was left out.")
    if task.has_attachments:
        draft.lose("Its attachments were left out.")
    collector.add(draft)


def _read_due(task: TodoTask, draft: Draft) -> None:
    """To Do has due dates without a time, and writes them as midnight in some zone: converting that would move some to
    the day before. The names of zones are those of Windows or of the IANA."""
    due = task.due_date_time
    if due is None:
        return
    date, _, time = due.date_time.partition("T")
    draft.set_due(due.date_time if time.strip("0:.Z") else date, due.time_zone or None)


# Neither can scan a long text again from each "<": a run ends at the next one.
_BREAK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[!/a-z][^<>]*>", re.IGNORECASE)
_BODY = re.compile(r"<body\b", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]+")


def _strip_tags(content: str, draft: Draft) -> str:
    body = _BODY.search(content)
    text = content[body.start() :] if body else content
    if _TAG.search(text):
        text = _TAG.sub("", _BREAK.sub("\0", _SPACE.sub(" ", text)))
        draft.lose("The formatting of its notes was left out.")
    try:
        text = html.unescape(text)
    except ValueError:  # a character reference with thousands of digits
        draft.lose("The character references in its notes can't be read; they are kept as they are.")
    return "\n".join(line.strip() for line in text.split("\0")).strip()
