"""What comes out of a file to import: records, and losses to tell the person about."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from todo.domain.fields import CONTROL, FORBIDDEN, Due
from todo.domain.refusals import InvalidField
from todo.domain.task import FIELDS, Edit
from todo.formats.moments import parse_moment

# A file of 64 MiB can hold millions of entries of a few bytes, each of which takes a kilobyte in memory.
MAX_TASKS = 100_000
MAX_LOSSES = 500_000

_RULES: Mapping[str, Any] = {name: rule for name, _, rule in FIELDS}
_TITLE_LENGTH: int = _RULES["title"].max_length
_NOTES_LENGTH: int = _RULES["notes"].max_length
_LABEL_LENGTH: int = _RULES["labels"].max_length
_MAX_LABELS: int = _RULES["labels"].max_number

_ID_LENGTH = 200  # the most characters of a source id; a longer one is replaced by its digest

V = TypeVar("V")


class Unreadable(ValueError):
    """The file is not what it claims to be, or too large; the sentence says which."""


class Record(NamedTuple):
    """A task to import."""

    source_id: str  # the same whenever the same file is read, and of no other record in it
    values: Edit
    place: str  # such as "line 12" or "tasks[3]"
    owner: str | None = None  # as our own export says


class Loss(NamedTuple):
    """Something in the file that is not imported as it was."""

    place: str  # as in a Record; empty if it is about the whole file
    sentence: str


class Parsed(NamedTuple):
    """All that a file holds for us."""

    records: Sequence[Record]
    losses: Sequence[Loss]


def digest(content: str | bytes) -> str:
    """A source id for a task to which its program gave none."""
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    return sha256(data).hexdigest()[:32]


def show(text: str) -> str:
    """In quotation marks for a sentence: at most 60 characters, without control characters."""
    text = CONTROL.sub(" ", text[:61])
    return f"“{text}”" if len(text) <= 60 else f"“{text[:59]}…”"


@dataclass(slots=True, kw_only=True)
class Draft:
    """A task as its program wrote it: of any length, with any characters."""

    place: str
    source_id: str
    owner: str | None = None
    title: str = ""
    notes: list[str] = field(default_factory=list)  # each begins on a new line
    due: Due | None = None
    priority: str | None = None
    labels: list[str] = field(default_factory=list)
    completed: bool = False
    others: Mapping[str, Any] = field(default_factory=dict)  # values of further fields
    losses: list[str] = field(default_factory=list)

    def lose(self, sentence: str) -> None:
        self.losses.append(sentence)

    def keep(self, name: str, text: str) -> None:
        """In the notes, for want of a field."""
        self.notes.append(f"{name}: {text}")
        self.lose(f"There is no field for its {name.lower()}; it is kept in the notes.")

    def look_up(self, name: str, value: str, known: Mapping[str, V]) -> V | None:
        if value in known:
            return known[value]
        self.lose(f"The {name} {show(value)} is not known here and was left out.")
        return None

    def set_due(self, text: str, time_zone: str | None = None) -> None:
        """From a date or time in ISO 8601, with or without separators."""
        moment = parse_moment(text, time_zone)
        if moment is None:
            self.notes.append(f"Due: {text}")
            self.lose(f"Its due date {show(text)} is not a plain date; it is kept in the notes.")
            return
        self.due, has_seconds = moment
        if has_seconds:
            self.lose("The seconds of its due time were left out.")


class Collector:
    """Collects the records and losses of one file."""

    def __init__(self, is_time_zone: Callable[[str], bool]) -> None:
        self.records: list[Record] = []
        self.losses: list[Loss] = []
        self.malformed = 0  # entries that could not be read, each of which is also a loss
        self._is_time_zone = is_time_zone
        self._times: Counter[str] = Counter()
        self._ids: set[str] = set()

    def lose(self, place: str, sentence: str) -> None:
        """Raises Unreadable: too many losses."""
        if len(self.losses) >= MAX_LOSSES:
            raise Unreadable(f"More than {MAX_LOSSES:,} things in the file can't be imported; split it.")
        self.losses.append(Loss(place, sentence))

    def add(self, draft: Draft) -> None:
        """Raises Unreadable: too many tasks."""
        if len(self.records) >= MAX_TASKS:
            raise Unreadable(f"The file has more than {MAX_TASKS:,} tasks; split it.")
        values = _make_edit(draft, self._is_time_zone)
        for sentence in draft.losses:
            self.lose(draft.place, sentence)
        if values is not None:
            self.records.append(Record(self._make_id(draft.source_id), values, draft.place, draft.owner))

    def _make_id(self, source_id: str) -> str:
        """Distinct for equal ids, by counting them."""
        if len(source_id) > _ID_LENGTH or CONTROL.search(source_id):
            source_id = digest(source_id)
        unique = source_id
        while unique in self._ids:
            self._times[source_id] += 1
            unique = f"{source_id}#{self._times[source_id] + 1}"
        self._ids.add(unique)
        return unique


def _make_edit(draft: Draft, is_time_zone: Callable[[str], bool]) -> Edit | None:
    """The draft within the rules of the domain. What that loses is added to its losses; None if nothing is left."""
    due, priority = draft.due, draft.priority
    if due is not None and due.time_zone is not None and not is_time_zone(due.time_zone):
        draft.lose(f"The time zone {show(due.time_zone)} is not known here; its due time has none.")
        due = due._replace(time_zone=None)
    try:
        due = _RULES["due"].parse("due", due)
    except InvalidField as invalid:
        draft.notes.append("Due: " + " ".join(part for part in due or () if part is not None))
        draft.lose(f"Its due date is kept in the notes: {invalid}")
        due = None
    if priority is not None and priority not in _RULES["priority"].words:
        draft.lose(f"The priority {show(priority)} is not known here; it has none.")
        priority = None
    labels = _fit_labels(draft)
    raw_notes = "\n".join(part for part in draft.notes if part.strip())
    title, notes = FORBIDDEN.sub("", draft.title).strip(), FORBIDDEN.sub("", raw_notes)
    if FORBIDDEN.search(draft.title) or len(notes) < len(raw_notes):
        draft.lose("Control characters were removed.")
    if not title:
        title = notes.lstrip().partition("\n")[0].strip()
        if not title:
            draft.lose("It has no title and was left out.")
            return None
        draft.lose("It had no title; the first line of its notes became the title.")
    if len(title) > _TITLE_LENGTH:
        draft.lose(f"Its title was cut to {_TITLE_LENGTH} characters; the whole of it is in the notes.")
        notes = notes if title in notes else f"{title}\n\n{notes}".rstrip()
        title = title[:_TITLE_LENGTH]
    if len(notes) > _NOTES_LENGTH:
        draft.lose(f"Its notes were cut to {_NOTES_LENGTH:,} characters.")
        notes = notes[:_NOTES_LENGTH]
    try:
        return Edit(
            title=title,
            notes=notes,
            due=due,
            priority=priority,
            labels=labels,
            completed=draft.completed,
            **draft.others,
        )
    except InvalidField as invalid:  # of a field that this module does not know
        draft.lose(f"It was left out: {invalid}")
        return None


def _fit_labels(draft: Draft) -> list[str]:
    labels: dict[str, str] = {}
    for text in draft.labels:
        label = _CONTROLS.sub(" ", text).strip()
        if CONTROL.search(text):
            draft.lose("Control characters were removed from a label.")
        if len(label) > _LABEL_LENGTH:
            draft.lose(f"The label {show(label)} was cut to {_LABEL_LENGTH} characters.")
            label = label[:_LABEL_LENGTH].strip()
        if label and labels.setdefault(label.casefold(), label) != label:
            draft.lose(f"The label {show(label)} is there in another spelling as well; it was taken once.")
    if len(labels) > _MAX_LABELS:
        draft.lose(f"It has {len(labels)} labels; the first {_MAX_LABELS} were taken.")
    return list(labels.values())[:_MAX_LABELS]


_CONTROLS = re.compile(f"{CONTROL.pattern}+")
