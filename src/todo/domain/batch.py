"""Several operations of one person in one act: what each asks for, and what becomes of it."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from todo.domain.ports import Applied, Change, Known
from todo.domain.refusals import IdTaken, InvalidField, NotYours, Refusal, TaskChanged, TaskNotFound
from todo.domain.task import FIELDS, Edit, Task, UserId

MAX_OPERATIONS = 100


class Create(NamedTuple):
    values: Edit
    id: UUID | None = None
    """Of the caller's own making. To create the same task with it again changes nothing."""


class Alter(NamedTuple):
    id: UUID
    changes: Edit
    revision: int | None = None
    """At which alone the caller wants the change."""


class Remove(NamedTuple):
    id: UUID
    revision: int | None = None


class Restore(NamedTuple):
    id: UUID


Operation = Create | Alter | Remove | Restore
Asked = Operation | Refusal
"""A refusal in place of an operation: what was wrong with it was found out before."""


class Outcome(NamedTuple):
    """What became of an operation."""

    task: Task | None = None  # as it is now; None if it was removed or the operation refused
    is_new: bool = False  # whether the operation created the task
    refusal: Refusal | None = None


class Batch(NamedTuple):
    outcomes: Sequence[Outcome]
    revision: int  # the owner's
    replayed: bool = False  # whether an idempotency key led to what was done before


class OperationRefused(Refusal):
    """An operation of an atomic batch was refused, and nothing was done."""

    def __init__(self, place: int, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.place = place
        self.refusal = refusal


def check_operations(asked: Sequence[Asked]) -> None:
    """Raises InvalidField: there are none, too many, or two of one task."""
    if not 1 <= len(asked) <= MAX_OPERATIONS:
        raise InvalidField(f"Send 1 to {MAX_OPERATIONS} operations; these are {len(asked)}.", "operations")
    seen = set()
    for place, one in enumerate(asked):
        task_id = None if isinstance(one, Refusal) else one.id
        if task_id is not None and task_id in seen:
            raise InvalidField("Each operation must be of another task.", "operations", place, "id")
        seen.add(task_id)


class Judgement(NamedTuple):
    outcomes: Sequence[Outcome]
    changes: Sequence[Change]
    places: Sequence[int]  # of the operations that the changes come from


def judge(actor: UserId, asked: Sequence[Asked], known: Known, clock: Callable[[], datetime]) -> Judgement:
    """What the operations come to, if this is what is known of their tasks.

    Each has a time of its own, so that new tasks are in a list as they were asked for.
    """
    outcomes: list[Outcome] = []
    changes: dict[int, Change] = {}
    for place, operation in enumerate(asked):
        try:
            if isinstance(operation, Refusal):
                raise operation
            made = _judge(actor, operation, known, clock())
        except Refusal as refusal:
            outcomes.append(Outcome(refusal=refusal))
            continue
        if isinstance(made, Task):
            outcomes.append(Outcome(made))
        else:
            outcomes.append(Outcome(made.after if isinstance(made.after, Task) else None, made.before is None))
            changes[place] = made
    return Judgement(outcomes, list(changes.values()), list(changes))


def _judge(actor: UserId, operation: Operation, known: Known, now: datetime) -> Change | Task:
    """The change, or the task if it is as it should be. Raises a Refusal."""
    task = None if operation.id is None else known.tasks.get(operation.id)
    match operation:
        case Create(values, task_id):
            assert task_id is not None
            new = Task.new(actor, values, task_id=task_id, now=now)
            if task is not None:
                compared = [name for name, _, rule in FIELDS if rule.at_creation or name in values.named]
                if any(getattr(task, name) != getattr(new, name) for name in compared):
                    raise IdTaken
                return task
            if task_id in known.removed or task_id in known.others:
                raise IdTaken
            return Change(None, new)
        case Restore(task_id):
            removed = known.removed.get(task_id)
            if removed is None:
                raise NotYours if task_id in known.others else TaskNotFound
            return Change(removed, removed.restore(now=now))
        case _:
            if task is None:
                raise NotYours if operation.id in known.others else TaskNotFound
            if operation.revision not in (None, task.revision):
                raise TaskChanged
            if isinstance(operation, Remove):
                return Change(task, task.remove(now=now))
            after = task.edit(operation.changes, now=now)
            return task if after is task else Change(task, after)


def complete(judgement: Judgement, applied: Applied) -> Sequence[Outcome]:
    """The outcomes with the tasks as they were stored."""
    outcomes, stored = list(judgement.outcomes), iter(applied.tasks)
    for place, change in zip(judgement.places, judgement.changes, strict=True):
        if isinstance(change.after, Task):
            task = next(stored)
            outcomes[place] = Outcome(task, outcomes[place].is_new and task.id not in applied.repeated)
    return outcomes


def digest(asked: Sequence[Asked], *, is_atomic: bool) -> bytes:
    """Equal for equal batches, however they were written down; 32 bytes."""
    parts = [
        [type(one).__name__, str(one)]
        if isinstance(one, Refusal)
        else [type(one).__name__, *(part.named if isinstance(part, Edit) else part for part in one)]
        for one in asked
    ]
    return sha256(json.dumps([is_atomic, parts], sort_keys=True, default=str).encode()).digest()


_REFUSALS = {kind.__name__: kind for kind in (IdTaken, NotYours, TaskChanged, TaskNotFound)}


def note(asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> str:
    """For ``recall``: what became of each operation, without the tasks themselves."""
    noted = [
        ["refused", type(refusal).__name__] if refusal else ["done", str(task.id) if task else None, is_new]
        for task, is_new, refusal in outcomes
    ]
    return json.dumps([None if isinstance(one, Refusal) else text for one, text in zip(asked, noted, strict=True)])


def noted_ids(noted: str) -> Sequence[UUID]:
    return [UUID(one[1]) for one in json.loads(noted) if one and one[0] == "done" and one[1]]


def recall(asked: Sequence[Asked], noted: str, known: Known) -> Sequence[Outcome]:
    """What became of the operations, with the tasks as they are now."""
    outcomes = []
    for operation, one in zip(asked, json.loads(noted), strict=True):
        if isinstance(operation, Refusal):
            outcomes.append(Outcome(refusal=operation))
        elif one[0] == "refused":
            outcomes.append(Outcome(refusal=_REFUSALS[one[1]]()))
        elif one[1] is None:
            outcomes.append(Outcome())
        else:
            task = known.tasks.get(UUID(one[1]))
            outcomes.append(Outcome(task, one[2]) if task else Outcome(refusal=TaskNotFound()))
    return outcomes
