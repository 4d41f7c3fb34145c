"""A store and a plain model of it, driven side by side through whatever Hypothesis thinks of."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from tests.stores.async_machine import AsyncMachine
from tests.support.builders import NOON, a_task, add_task, removal, remove, revision
from todo.domain.fields import Due
from todo.domain.ports import Change, Order, Selection, TaskStore
from todo.domain.refusals import KeyReused, NotYours, TaskChanged, TaskNotFound
from todo.domain.task import Edit, Task, UserId

OWNERS = st.integers(0, 2)
TITLES = st.sampled_from(["Buy milk", "buy MILK", "Straße", "%", "a_b", "𝔸", "שלום"])
KEYS = st.sampled_from(["k1", "k2"])
DATES = ["2026-01-31", "2026-02-01", "2028-02-29"]
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "notes": st.sampled_from([None, "Milk and eggs", "Straße 5", "%"]),
        "due": st.none() | st.builds(Due, st.sampled_from(DATES), st.sampled_from([None, "00:00", "17:30"]), st.none()),
        "priority": st.sampled_from([None, "low", "high"]),
        "labels": st.lists(st.sampled_from(["home", "Work", "a_b", "%"]), max_size=3, unique=True),
    },
)
SELECTIONS = st.builds(
    Selection,
    completed=st.sampled_from([None, True, False]),
    text=st.sampled_from([None, None, "milk", "STRASSE", "%", "_", ""]),
    priority=st.sampled_from([None, None, "low"]),
    labels=st.lists(st.sampled_from(["HOME", "work", "a_b"]), max_size=2),
    due_from=st.sampled_from([None, None, *DATES]),
    due_until=st.sampled_from([None, None, *DATES]),
    order=st.sampled_from(Order),
)


def sort_tasks(tasks: list[Task], wanted: Selection) -> list[Task]:
    newest_first = sorted(tasks, key=lambda task: (task.created_at, task.id), reverse=True)
    if wanted.order is Order.NEWEST_FIRST:
        return newest_first
    return sorted(newest_first, key=lambda task: (task.due is None, task.due and (task.due.date, task.due.time or "")))


@dataclass
class Person:
    """What the model knows of one person."""

    revision: int = 0
    tasks: list[Task] = field(default_factory=list)
    keys: dict[str, Task] = field(default_factory=dict)


class StoreMachine(AsyncMachine):
    known: Bundle[Task] = Bundle("known")

    @initialize()
    def open(self) -> None:
        self.store: TaskStore = self.open_in_loop()
        self.people: defaultdict[UserId, Person] = defaultdict(Person)
        self.names = [UserId(f"{uuid4()}") for _ in range(3)]
        self.now = NOON

    @rule(seconds=st.sampled_from([0, 1, 60]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=known, owner=OWNERS, title=TITLES, fields=FIELDS)
    def add(self, owner: int, title: str, fields: dict[str, Any]) -> Task:
        name = self.names[owner]
        task, replayed = self.do(add_task(self.store, a_task(name, title, at=self.now, **fields)))
        assert not replayed
        assert {name: getattr(task, name) for name in fields} == fields
        return self._added(name, task)

    @rule(target=known, owner=OWNERS, title=TITLES, key=KEYS)
    def add_with_key(self, owner: int, title: str, key: str) -> Any:
        name = self.names[owner]
        person = self.people[name]
        act = add_task(self.store, a_task(name, title, at=self.now), key)
        if key not in person.keys:
            task, replayed = self.do(act)
            assert not replayed
            person.keys[key] = task
            return self._added(name, task)
        made = person.keys[key]
        current = [task for task in person.tasks if task.id == made.id]
        if made.title != title:
            with pytest.raises(KeyReused):
                self.do(act)
        elif not current:
            with pytest.raises(TaskNotFound):
                self.do(act)
        else:
            assert self.do(act) == (current[0], True)
        return multiple()

    def _added(self, name: UserId, task: Task) -> Task:
        person = self.people[name]
        person.revision += 1
        assert task.revision == person.revision
        person.tasks.append(task)
        return task

    @rule(asker=OWNERS, task=known)
    def get(self, asker: int, task: Task) -> None:
        name = self.names[asker]
        kept = [other for other in self.people[task.owner].tasks if other.id == task.id]
        if not kept:
            with pytest.raises(TaskNotFound):
                self.do(self.store.get(name, task.id))
        elif task.owner != name:
            with pytest.raises(NotYours):
                self.do(self.store.get(name, task.id))
        else:
            assert self.do(self.store.get(name, task.id)) == kept[0]

    @rule(
        target=known,
        task=consumes(known),
        title=TITLES,
        completed=st.booleans(),
        fields=FIELDS,
        keep_old=st.booleans(),
    )
    def save(self, task: Task, title: str, completed: bool, fields: dict[str, Any], keep_old: bool) -> Any:
        """Of a task as it once was, which may be stale or gone."""
        person = self.people[task.owner]
        changed = task.edit(Edit(title=title, completed=completed, **fields), now=max(task.updated_at, self.now))
        if task not in person.tasks:
            with pytest.raises(TaskChanged):
                self.do(self.store.apply(task.owner, [Change(task, changed)]))
            return task
        [saved] = self.do(self.store.apply(task.owner, [Change(task, changed)])).tasks
        person.revision += 1
        assert saved._replace(updated_at=changed.updated_at) == changed._replace(revision=person.revision)
        person.tasks[person.tasks.index(task)] = saved
        return multiple(task, saved) if keep_old else saved

    @rule(task=known)
    def remove(self, task: Task) -> None:
        person = self.people[task.owner]
        if task not in person.tasks:
            with pytest.raises(TaskChanged):
                self.do(remove(self.store, task))
            return
        self.do(remove(self.store, task))
        person.revision += 1
        person.tasks.remove(task)

    @rule(target=known, owner=OWNERS, titles=st.lists(TITLES, min_size=2, max_size=3), is_stale=st.booleans())
    def apply_several(self, owner: int, titles: list[str], is_stale: bool) -> Any:
        """Adds some, and removes and changes one each of those that are there."""
        name = self.names[owner]
        person = self.people[name]
        changes = [Change(None, a_task(name, title, at=self.now)) for title in titles]
        changes += [removal(task) for task in person.tasks[:1]]
        changes += [Change(task, task._replace(title="changed")) for task in person.tasks[1:2]]
        if is_stale:
            stale = a_task(name)
            with pytest.raises(TaskChanged):
                self.do(self.store.apply(name, [*changes, removal(stale)]))
            return multiple()
        applied = self.do(self.store.apply(name, changes)).tasks
        revisions = [
            person.revision + number for number, (_, after) in enumerate(changes, 1) if isinstance(after, Task)
        ]
        assert [task.revision for task in applied] == revisions
        person.revision += len(changes)
        person.tasks = person.tasks[2:] + list(applied)
        return multiple(*applied)

    @rule(owner=OWNERS, wanted=SELECTIONS, limit=st.integers(1, 4))
    def walk(self, owner: int, wanted: Selection, limit: int) -> None:
        name = self.names[owner]
        expected = sort_tasks(self.people[name].tasks, wanted)
        walked: list[Task] = []
        more = True
        while more:
            after = wanted.position(walked[-1]) if walked else None
            page, more, version = self.do(self.store.list(name, wanted, after=after, limit=limit))
            assert version.revision == self.people[name].revision
            walked += page
        assert walked == [task for task in expected if wanted.keeps(task)]

    @invariant()
    def revisions_agree(self) -> None:
        for name, person in self.people.items():
            assert self.do(revision(self.store, name)) == person.revision
