"""Reads Tasks.json of Google Takeout: task lists as the Google Tasks API has them.

https://developers.google.com/workspace/tasks/reference/rest/v1/tasks
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from todo.formats.records import Collector, Draft, Unreadable, digest
from todo.formats.texts import Entry, decode_each, decode_json, list_entries

# The list that everybody has, in the languages that we know; its name says nothing.
DEFAULT_LISTS = {
    "my tasks", "tasks", "meine aufgaben", "aufgaben", "mes tâches", "tâches", "mis tareas", "tareas", "mijn taken",
    "taken", "le mie attività", "attività", "minhas tarefas", "tarefas", "moje zadania", "mina uppgifter",
}  # fmt: skip

STATUSES = {"needsAction": False, "completed": True}


class Link(Struct, gc=False):
    link: str | None = None
    description: str | None = None


class GoogleTask(Struct, gc=False):
    id: str | None = None
    title: str | None = None
    notes: str | None = None
    status: str | None = None
    due: str | None = None
    deleted: bool | None = None
    parent: str | None = None
    links: list[Link] | None = None


class TaskList(Struct, gc=False):
    title: str | None = None
    items: list[Raw] | None = None


class TaskLists(Struct, gc=False):
    kind: str
    items: list[Raw] | None = None


_lists_decoder, _list_decoder, _task_decoder = Decoder(TaskLists), Decoder(TaskList), Decoder(GoogleTask)


def read_google(text: str, collector: Collector) -> None:
    """A list's title becomes a label of its tasks. Raises Unreadable."""
    lists = decode_json(text, _lists_decoder)
    if lists.kind != "tasks#taskLists":
        raise Unreadable("The file is not the Tasks.json of Google Takeout.")
    for entry, task_list in decode_each(list_entries("items", lists.items), _list_decoder, collector):
        title = (task_list.title or "").strip()
        labels = [] if title.casefold() in DEFAULT_LISTS else [title]
        items = list_entries(f"{entry.place}.items", task_list.items)
        for item, task in decode_each(items, _task_decoder, collector):
            _read_task(item, task, labels, collector)


def _read_task(entry: Entry, task: GoogleTask, labels: list[str], collector: Collector) -> None:
    if task.deleted:
        collector.lose(entry.place, "It was deleted in Google Tasks and was left out.")
        return
    draft = Draft(
        place=entry.place,
        source_id=task.id or digest(bytes(entry.raw)),
        title=task.title or "",
        notes=[task.notes or "", *(f"{link.description or ''} {link.link or ''}".strip() for link in task.links or ())],
        labels=labels,
    )
    draft.completed = draft.look_up("status", task.status or "needsAction", STATUSES) or False
    if task.due:
        draft.set_due(task.due.partition("T")[0])  # Google writes midnight in UTC behind it, which means nothing
    if task.parent:
        draft.lose("It was a sub-task; now it stands by itself.")
    collector.add(draft)
