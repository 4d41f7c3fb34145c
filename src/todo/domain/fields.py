"""The kinds of fields that a person can set on a task, and the rule of each kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from todo.domain.refusals import InvalidField


class Unset(Enum):
    """Says that a field was not named, which is something else than None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Rule(Protocol):
    """What values a field takes."""

    @property
    def is_required(self) -> bool:
        """Whether a client has to name a value when it creates a task."""
        ...

    @property
    def at_creation(self) -> bool:
        """Whether the bodies that create a task have the field."""
        ...

    @property
    def is_clearable(self) -> bool:
        """Whether null is a value that clients may send; it stands for the default."""
        ...

    def parse(self, name: str, value: Any) -> Any:
        """The value that the field called ``name`` gets. Raises InvalidField."""
        ...

    def default(self, name: str) -> Any:
        """The value of a new task that does not name the field. Raises InvalidField if it has to."""
        ...


# Category Cc, and surrogates, which no encoding can carry; then without tab, line feed and carriage return.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text of at most ``max_length`` characters (Unicode code points).

    A required text is trimmed and not blank. An optional one is kept as sent; blank means None.
    """

    max_length: int
    is_required: bool = False
    at_creation: bool = True

    @property
    def is_clearable(self) -> bool:
        return not self.is_required

    def parse(self, name: str, value: str | None) -> str | None:
        # Before trimming: str.strip() takes some control characters (U+001C to U+001F, U+0085) for white space.
        if FORBIDDEN.search(value or ""):
            raise InvalidField(
                f"The {name} has a control character in it; only tabs and line breaks are allowed.", name
            )
        trimmed = (value or "").strip()
        if not trimmed:
            if self.is_required:
                raise InvalidField(f"The {name} is blank; give it at least one character other than white space.", name)
            return None
        text = trimmed if self.is_required else value
        assert text is not None
        if len(text) > self.max_length:
            raise InvalidField(f"The {name} has {len(text)} characters; {self.max_length} is the most.", name)
        return text

    def default(self, name: str) -> None:
        if self.is_required:
            raise InvalidField(f"{name} is missing.", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """True or false; false on a new task."""

    is_required: bool = False
    at_creation: bool = True
    is_clearable: bool = False

    def parse(self, name: str, value: bool) -> bool:
        if not isinstance(value, bool):
            raise InvalidField(f"{name} must be true or false.", name)
        return value

    def default(self, name: str) -> bool:  # noqa: ARG002 - the same for every flag
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words, or None."""

    words: tuple[str, ...]
    is_required, at_creation, is_clearable = False, True, True

    def parse(self, name: str, value: str | None) -> str | None:
        if value is not None and value not in self.words:
            raise InvalidField(f"{name} must be {', '.join(self.words[:-1])} or {self.words[-1]}.", name)
        return value

    def default(self, name: str) -> None:  # noqa: ARG002 - the same for every choice
        return None


class Due(NamedTuple):
    """What is on the calendar and the wall clock, never an instant: nothing converts it.

    A date alone is the whole day. A time without a zone is that time wherever the person is.
    """

    date: str  # ISO 8601, as 2026-12-24
    time: str | None = None  # as 17:30
    time_zone: str | None = None  # a name in the IANA tz database, only beside a time


def is_date(text: str) -> bool:
    """Whether it is a date of the calendar, written as 2026-12-24."""
    try:
        return _DATE.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDate:
    """A Due, or None. Whether its zone exists is checked by the use cases: the tz database is none of the domain."""

    is_required, at_creation, is_clearable = False, True, True

    def parse(self, name: str, value: Due | None) -> Due | None:
        if value is None:
            return None
        if not is_date(value.date):
            raise InvalidField(f"{name}.date must be a date such as 2026-12-24.", name, "date")
        if value.time is not None and not _TIME.fullmatch(value.time):
            raise InvalidField(f"{name}.time must be a time of day such as 17:30.", name, "time")
        if value.time_zone is not None and value.time is None:
            raise InvalidField(f"{name}.time_zone needs {name}.time beside it.", name, "time_zone")
        return value

    def default(self, name: str) -> None:  # noqa: ARG002 - the same for every due date
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Up to ``max_number`` texts of at most ``max_length`` characters, trimmed, in the order as sent. No two are equal
    regardless of case."""

    max_number: int
    max_length: int
    is_required, at_creation, is_clearable = False, True, True

    def parse(self, name: str, value: Sequence[str] | None) -> Sequence[str]:
        labels: dict[str, str] = {}
        if len(value or ()) > self.max_number:
            raise InvalidField(f"There are {len(value or ())} {name}; {self.max_number} is the most.", name)
        for place, text in enumerate(value or ()):
            label = text.strip()
            if FORBIDDEN.search(text) or CONTROL.search(label):
                raise InvalidField("A label has a control character in it; none is allowed.", name, place)
            if not 1 <= len(label) <= self.max_length:
                raise InvalidField(
                    f"A label has {len(label)} characters; it needs 1 to {self.max_length}.", name, place
                )
            if label.casefold() in labels:
                raise InvalidField("A label is there twice; upper and lower case count as the same.", name, place)
            labels[label.casefold()] = label
        return list(labels.values())

    def default(self, name: str) -> Sequence[str]:  # noqa: ARG002 - the same for all labels
        return []
