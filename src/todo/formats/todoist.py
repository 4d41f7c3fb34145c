"""Reads Todoist's CSV: the export of a project, or a template.

https://todoist.com/help/articles/format-a-csv-file-to-import-into-todoist-UVUXTmm6
"""

import csv
import io
import json
import re
from collections.abc import Iterator

from todo.formats.moments import spell_as_iso
from todo.formats.records import Collector, Draft, Unreadable, digest, show

# In the CSV 1 is the highest, and empty means 1. (In Todoist's API 4 is the highest.)
PRIORITIES = {"1": "high", "": "high", "2": "medium", "3": "low", "4": None}

_LABEL = re.compile(r"(?:^|(?<=\s))@(\S+)(?:\s|$)")

_KEPT = {"DEADLINE": "Deadline", "DURATION": "Duration", "RESPONSIBLE": "Assignee"}


def read_todoist(text: str, collector: Collector) -> None:
    """Sections become labels of their tasks, comments (rows of type note) become notes. Raises Unreadable."""
    section: list[str] = []
    parents: dict[int, str] = {}
    task: Draft | None = None
    for line, row in _read_rows(text):
        place, kind, content = f"line {line}", row.get("TYPE", "").strip().lower(), row["CONTENT"]
        if kind == "note" and task is not None:
            task.notes.append(content)
            continue
        if kind not in ("task", "section"):
            # The view of a project is a row "meta", and empty rows set sections apart.
            if kind != "meta" and any(map(str.strip, row.values())):
                collector.lose(place, f"A row of the type {show(kind)} belongs to no task here and was left out.")
            continue
        if task is not None:
            collector.add(task)
            task = None
        if kind == "section":
            section, parents = [content], {}
            if row.get("DESCRIPTION", "").strip():
                collector.lose(place, "The description of a section was left out.")
            continue
        task = _read_task(place, row, section)
        indent = row.get("INDENT", "").strip()
        level = int(indent) if indent in {"1", "2", "3", "4", "5"} else 1
        parents[level] = task.title
        if level - 1 in parents:
            task.lose(f"It was a sub-task of {show(parents[level - 1])}; now it stands by itself.")
    if task is not None:
        collector.add(task)


def _read_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [name.strip().upper() for name in next(reader)[:100]]  # it has some fifteen
        if not {"TYPE", "CONTENT"} <= set(names):
            raise Unreadable("The file is not a CSV of Todoist: its first line does not name TYPE and CONTENT.")
        line = reader.line_num + 1
        for cells in reader:
            yield line, dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
            line = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"Line {reader.line_num} of the file is not CSV: {error}.") from None


def _read_task(place: str, row: dict[str, str], section: list[str]) -> Draft:
    content = row["CONTENT"]
    task = Draft(
        place=place,
        source_id=digest(json.dumps(row, sort_keys=True)),
        # A task that is nothing but labels keeps them as its title.
        title=_LABEL.sub("", content).strip() or content,
        notes=[row.get("DESCRIPTION", "")],
        labels=[*_LABEL.findall(content), *section],
    )
    task.priority = task.look_up("priority", row.get("PRIORITY", "4").strip(), PRIORITIES)
    date = row.get("DATE", "").strip()
    if date:
        english = spell_as_iso(date) if row.get("DATE_LANG", "").strip().lower() in ("", "en") else None
        task.set_due(english or date, row.get("TIMEZONE", "").strip() or None)
    for column, name in _KEPT.items():
        value = f"{row.get(column, '').strip()} {row.get(f'{column}_UNIT', '').strip()}".strip()
        if row.get(column, "").strip():
            task.keep(name, value)
    return task
