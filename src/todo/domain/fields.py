"""The kinds of fields that a person can set on a task, and the rule of each kind."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

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

    def parse(self, name: str, value: Any) -> Any:
        """The value that the field called ``name`` gets. Raises InvalidField."""
        ...

    def default(self, name: str) -> Any:
        """The value of a new task that does not name the field. Raises InvalidField if it has to."""
        ...


# Category Cc except tab, line feed and carriage return; and surrogates, which no encoding can carry.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text of at most ``max_length`` characters (Unicode code points).

    A required text is trimmed and not blank. An optional one is kept as sent; blank means None.
    """

    max_length: int
    is_required: bool = False
    at_creation: bool = True

    def parse(self, name: str, value: str | None) -> str | None:
        # Before trimming: str.strip() takes some control characters (U+001C to U+001F, U+0085) for white space.
        if _FORBIDDEN.search(value or ""):
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

    def parse(self, name: str, value: bool) -> bool:
        if not isinstance(value, bool):
            raise InvalidField(f"{name} must be true or false.", name)
        return value

    def default(self, name: str) -> bool:  # noqa: ARG002 - the same for every flag
        return False
