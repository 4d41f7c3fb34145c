"""The Task aggregate: what a task is, and who may do what with it."""

import re
from datetime import datetime
from typing import NamedTuple, NewType, Self
from uuid import UUID

from todo.domain.refusals import InvalidTitle, NotYours

UserId = NewType("UserId", str)
"""A person, as the token issuer names them: opaque, case-sensitive."""

USER_ID_LENGTH = 255
"""The most characters (Unicode code points) of a user id."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def user_id_of(text: str) -> UserId:
    """Raises ValueError: empty, over 255 characters, or with a control character or lone surrogate in it."""
    if not 1 <= len(text) <= USER_ID_LENGTH or _CONTROL.search(text):
        raise ValueError(f"a user id has 1 to {USER_ID_LENGTH} characters, none of them a control character")
    return UserId(text)


TITLE_LENGTH = 500
"""The most characters (Unicode code points) of a title, after trimming."""

# Category Cc but tab, line feed and carriage return; and surrogates, which no encoding can carry.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def title_of(text: str) -> str:
    """The title that a person means by this text: trimmed, and within the rules.

    Raises InvalidTitle: blank, over 500 characters, or with a control character or lone surrogate in it.
    """
    # Before trimming: str.strip() takes some control characters (U+001C to U+001F, U+0085) for white space.
    if _FORBIDDEN.search(text):
        raise InvalidTitle("The title has a control character in it; only tabs and line breaks are allowed.")
    title = text.strip()
    if not title:
        raise InvalidTitle("The title is blank; give it at least one character other than white space.")
    if len(title) > TITLE_LENGTH:
        raise InvalidTitle(f"The title has {len(title)} characters; {TITLE_LENGTH} is the most.")
    return title


class Position(NamedTuple):
    """A task's place in a list: newest first, ties by descending id. A task never changes its place."""

    created_at: datetime
    id: UUID


class Task(NamedTuple):
    """Something one person wants done. Every verb takes the person who asks, judges, and returns a new Task.

    Times are aware and in UTC. ``revision`` is the owner's counter at the task's last change, given by the
    store; 0 until the task is kept. A verb that would change nothing returns the very same Task.
    """

    id: UUID
    owner: UserId
    title: str
    completed: bool
    created_at: datetime
    updated_at: datetime
    revision: int

    @classmethod
    def new(cls, asker: UserId, title: str, *, task_id: UUID, now: datetime) -> Self:
        """An open task of the person who asks. Raises InvalidTitle."""
        return cls(
            id=task_id,
            owner=asker,
            title=title_of(title),
            completed=False,
            created_at=now,
            updated_at=now,
            revision=0,
        )

    @property
    def position(self) -> Position:
        return Position(self.created_at, self.id)

    def belonging_to(self, asker: UserId) -> Self:
        """This task, if it is the asker's own. Raises NotYours. The one rule of ownership."""
        if self.owner != asker:
            raise NotYours
        return self

    def rename(self, asker: UserId, title: str, *, now: datetime) -> Self:
        """Raises NotYours, InvalidTitle."""
        self.belonging_to(asker)
        return self._with(title_of(title), self.completed, now)

    def complete(self, asker: UserId, *, now: datetime) -> Self:
        """Raises NotYours."""
        self.belonging_to(asker)
        return self._with(self.title, True, now)

    def reopen(self, asker: UserId, *, now: datetime) -> Self:
        """Raises NotYours."""
        self.belonging_to(asker)
        return self._with(self.title, False, now)

    def _with(self, title: str, completed: bool, now: datetime) -> Self:
        if (title, completed) == (self.title, self.completed):
            return self
        # A clock that was set back must not make the task look older than it is.
        return self._replace(title=title, completed=completed, updated_at=max(self.updated_at, now))
