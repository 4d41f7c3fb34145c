"""Reads our own export: {"format": "todo/1", "exported_at": …, "tasks": […], "trash": […]}."""

from typing import Any

from msgspec import UNSET, Raw, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple

from todo.domain.fields import Due
from todo.formats.records import Collector, Draft, Unreadable, digest
from todo.formats.texts import decode_each, decode_json, list_entries
from todo.http_contract.documents import TaskChange

FORMAT = "todo/1"


class Export(Struct, gc=False):
    format: str
    tasks: list[Raw]
    trash: list[Raw] | None = None


# What can be edited about a task derives from the domain's fields. The rest is the service's own, and made anew.
ExportedTask: Any = defstruct(
    "ExportedTask", [("id", str | None, None), ("user_id", str | None, None)], bases=(TaskChange,)
)

_export_decoder, _task_decoder = Decoder(Export), Decoder(ExportedTask)


def read_own(text: str, collector: Collector) -> None:
    """The tasks; not those in the trash. Raises Unreadable."""
    export = decode_json(text, _export_decoder)
    if export.format != FORMAT:
        raise Unreadable(f"The file is not an export of the format {FORMAT}.")
    for entry, task in decode_each(list_entries("tasks", export.tasks), _task_decoder, collector):
        values = {name: getattr(task, name) for name in TaskChange.__struct_fields__}
        values = {name: value for name, value in values.items() if value is not UNSET}
        draft = Draft(
            place=entry.place,
            source_id=task.id or digest(bytes(entry.raw)),
            owner=task.user_id,
            title=values.pop("title", ""),
            notes=[values.pop("notes", None) or ""],
            priority=values.pop("priority", None),
            labels=values.pop("labels", None) or [],
            completed=values.pop("completed", False),
        )
        due = values.pop("due", None)
        draft.due = due and Due(*astuple(due))
        draft.others = values
        collector.add(draft)
    if export.trash:
        collector.lose("trash", f"{len(export.trash)} tasks in the trash were left out.")
