"""The promises of the TaskStore port, held by every store. A subclass brings the store, and nothing else.

The suite relies on no id and no time but those of the tasks that a store returned.
"""

import asyncio
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests.support.builders import NOON, a_task, add_task, later, removal, remove, revision, save, somebody
from todo.adapters.time_zones import is_time_zone
from todo.composition import make_tasks
from todo.domain.batch import Create
from todo.domain.fields import Due
from todo.domain.ports import Change, ChangeFeed, IdempotencyKey, IdPrefix, ListVersion, Order, Selection, TaskStore
from todo.domain.refusals import KeyReused, NotYours, TaskChanged, TaskNotFound
from todo.domain.task import Edit, Task, UserId
from todo.domain.use_cases import Tasks

EVERYTHING = Selection()


class ChangeFeedStore(TaskStore, ChangeFeed, Protocol):
    """A store that also tells what has changed."""


ODD_TITLES = [
    "שלום עולם",
    "👩‍👩‍👧‍👦 family",
    "Z̷̢a̸l̵g̶o̵",
    "e\u0301 beside é",
    "𝔸" * 500,
    "tab\tand\nline",
    "'; DROP TABLE tasks; --",
    "100% _under_ \\back/slash",
    "\ufeff\u202eevil\ufffe\uffff",
    "%s :name $1 {0}",
]


async def add(store: TaskStore, owner: UserId, title: str = "Buy milk", *, at: datetime = NOON) -> Task:
    return (await add_task(store, a_task(owner, title, at=at))).task


EVERY_FIELD = [
    {"notes": "To Bob.\r\n\tIn cash!", "due": Due("2026-12-24", "17:30", "Europe/Berlin"), "priority": "high"},
    {"labels": ["home", "Ärzte", "שלום", "a_b%/\\", '"quoted"']},
    {"notes": "𝔸" * 8192, "labels": [f"{n}" + "𝔸" * 58 for n in range(20)]},
    *({"notes": odd[:8192]} for odd in ODD_TITLES),
    *({"labels": [odd[:60]]} for odd in ODD_TITLES if not set(odd) & set("\t\n")),
    {"notes": "null", "priority": "low", "labels": ["null", "[]", "true"]},
    {"due": Due("2024-02-29"), "priority": "medium"},
    {"due": Due("2026-03-29", "02:30", "Europe/Berlin")},  # which no clock there shows
    {"due": Due("0001-01-01", "00:00")},
    {"due": Due("9999-12-31", "23:59", "Pacific/Kiritimati")},
]


async def titles(store: TaskStore, owner: UserId, wanted: Selection = EVERYTHING) -> list[str]:
    return [task.title for task in (await store.list(owner, wanted)).tasks]


class TaskStoreContract:
    @pytest.fixture
    def owner(self) -> UserId:
        return somebody()

    @pytest.fixture
    def stranger(self) -> UserId:
        return somebody()

    async def test_a_kept_task_is_read_back_as_it_was_returned(self, store: TaskStore, owner: UserId) -> None:
        added = await add_task(store, a_task(owner, at=later(0.123456)))
        assert not added.replayed
        assert (added.task.owner, added.task.title, added.task.completed) == (owner, "Buy milk", False)
        assert await store.get(owner, added.task.id) == added.task

    @pytest.mark.parametrize("title", ODD_TITLES)
    async def test_odd_titles_come_back_exactly(self, store: TaskStore, owner: UserId, title: str) -> None:
        task = await add(store, owner, title)
        assert (await store.get(owner, task.id)).title == title
        assert await titles(store, owner) == [title]

    @pytest.mark.parametrize("fields", EVERY_FIELD)
    async def test_every_field_comes_back_exactly_as_it_was_added_and_as_it_was_changed(
        self, store: TaskStore, owner: UserId, fields: dict[str, Any]
    ) -> None:
        added = (await add_task(store, a_task(owner, **fields))).task
        assert {name: getattr(added, name) for name in fields} == fields
        assert await store.get(owner, added.id) == added
        plain = (await add_task(store, a_task(owner, "Plain"))).task
        changed = plain.edit(Edit(**fields), now=later(1))
        [changed] = (await store.apply(owner, [Change(plain, changed)])).tasks
        assert {name: getattr(changed, name) for name in fields} == fields
        nothing: dict[str, Any] = dict.fromkeys(fields)
        cleared = changed.edit(Edit(**nothing), now=later(2))
        assert sorted((await store.list(owner, EVERYTHING)).tasks) == sorted([added, changed])
        [cleared] = (await store.apply(owner, [Change(changed, cleared)])).tasks
        assert await store.get(owner, cleared.id) == cleared
        assert {name: getattr(cleared, name) for name in fields} == {name: getattr(plain, name) for name in fields}

    async def test_a_task_says_when_it_was_completed(self, store: TaskStore, owner: UserId) -> None:
        done = await save(store, await add(store, owner), completed=True, at=later(1))
        assert done.completed_at == done.updated_at
        assert await store.get(owner, done.id) == done
        assert done.completed_at is not None
        assert str(done.completed_at.tzinfo) == "UTC"
        assert (await save(store, done, completed=False, at=later(2))).completed_at is None

    async def test_times_come_back_in_utc(self, store: TaskStore, owner: UserId) -> None:
        task = await store.get(owner, (await add(store, owner)).id)
        assert str(task.created_at.tzinfo) == str(task.updated_at.tzinfo) == "UTC"

    async def test_a_task_that_never_was_is_not_found(self, store: TaskStore, owner: UserId) -> None:
        with pytest.raises(TaskNotFound):
            await store.get(owner, uuid4())

    async def test_another_persons_task_is_not_handed_out(
        self, store: TaskStore, owner: UserId, stranger: UserId
    ) -> None:
        task = await add(store, owner)
        with pytest.raises(NotYours):
            await store.get(stranger, task.id)
        assert (await store.list(stranger, EVERYTHING)).tasks == []

    async def test_user_ids_that_differ_in_case_are_two_people(self, store: TaskStore, owner: UserId) -> None:
        shouted = UserId(owner.upper())
        task = await add(store, owner)
        with pytest.raises(NotYours):
            await store.get(shouted, task.id)
        assert await revision(store, shouted) == 0
        assert await titles(store, shouted) == []

    async def test_a_long_user_id_is_kept_whole(self, store: TaskStore) -> None:
        owner = UserId((somebody() + "ü" * 255)[:255])
        assert (await add(store, owner)).owner == owner
        assert await titles(store, owner) == ["Buy milk"]

    async def test_a_person_begins_at_revision_0_and_reading_moves_nothing(
        self, store: TaskStore, owner: UserId
    ) -> None:
        assert await revision(store, owner) == 0
        await store.list(owner, EVERYTHING)
        assert await revision(store, owner) == 0

    async def test_every_change_moves_the_revision_by_one_and_leaves_it_on_the_task(
        self, store: TaskStore, owner: UserId
    ) -> None:
        first = await add(store, owner)
        second = await add(store, owner)
        saved = await save(store, first, completed=True, at=later(1))
        assert [first.revision, second.revision, saved.revision] == [1, 2, 3]
        assert (await store.get(owner, first.id)).revision == 3
        assert await revision(store, owner) == 3
        await remove(store, second)
        assert await revision(store, owner) == 4

    async def test_what_was_applied_says_which_revision_that_led_to(self, store: TaskStore, owner: UserId) -> None:
        task = a_task(owner)
        for after in (task, None, None):
            if after is None:
                [read] = (await store.list(owner, EVERYTHING)).tasks
                change = removal(read) if read.completed else Change(read, read.edit(Edit(completed=True), now=NOON))
            else:
                change = Change(None, after)
            applied = await store.apply(owner, [change])
            assert applied.revision == await revision(store, owner)
        both = await store.apply(owner, [Change(None, a_task(owner)), Change(None, a_task(owner))])
        assert both.revision == await revision(store, owner) == 5

    async def test_a_read_is_at_the_version_that_is_asked_for_or_later(self, store: TaskStore, owner: UserId) -> None:
        early = await store.version(owner)
        for number in range(3):
            task = await add(store, owner, at=later(number))
            version = await store.version(owner)
            for at_least in (version, ListVersion(None, version.revision)):
                page = await store.list(owner, EVERYTHING, limit=1, at_least=at_least)
                assert (page.tasks, page.version) == ([task], version)
                assert await store.get(owner, task.id, at_least=at_least) == task
                assert await store.version(owner, at_least=at_least) == version
            page = await store.list(owner, EVERYTHING, at_least=early)
            assert page.version.has_reached(early)
            assert number <= len(page.tasks) <= number + 1
            early = version

    async def test_a_page_tells_its_owners_revision_whether_it_has_tasks_or_none(
        self, store: TaskStore, owner: UserId
    ) -> None:
        assert (await store.list(owner, EVERYTHING)).version.revision == 0
        task = await add(store, owner)
        assert (await store.list(owner, EVERYTHING)).version.revision == 1
        assert (await store.list(owner, Selection(completed=True))).version.revision == 1
        assert (await store.list(owner, EVERYTHING, after=EVERYTHING.position(task))).version.revision == 1
        await remove(store, task)
        assert await store.list(owner, EVERYTHING) == ([], False, await store.version(owner))
        assert await revision(store, owner) == 2

    async def test_people_are_counted_apart(self, store: TaskStore, owner: UserId, stranger: UserId) -> None:
        await add(store, owner)
        await add(store, owner)
        assert (await add(store, stranger)).revision == 1
        assert (await revision(store, owner), await revision(store, stranger)) == (2, 1)

    async def test_a_saved_task_is_read_back(self, store: TaskStore, owner: UserId) -> None:
        task = await add(store, owner)
        saved = await save(store, task, "Buy oat milk", completed=True, at=later(1))
        assert (saved.title, saved.completed) == ("Buy oat milk", True)
        assert (saved.id, saved.created_at) == (task.id, task.created_at)
        assert saved.updated_at >= task.updated_at
        assert await store.get(owner, task.id) == saved
        assert (await store.list(owner, EVERYTHING)).tasks == [saved]

    async def test_a_stale_task_is_neither_saved_nor_removed(self, store: TaskStore, owner: UserId) -> None:
        task = await add(store, owner)
        saved = await save(store, task, completed=True, at=later(1))
        with pytest.raises(TaskChanged):
            await save(store, task, "Late", at=later(2))
        with pytest.raises(TaskChanged):
            await remove(store, task)
        assert await store.get(owner, task.id) == saved
        assert await revision(store, owner) == saved.revision

    async def test_a_removed_task_is_gone_and_can_be_neither_saved_nor_removed_again(
        self, store: TaskStore, owner: UserId
    ) -> None:
        task = await add(store, owner)
        other = await add(store, owner)
        await remove(store, task)
        with pytest.raises(TaskNotFound):
            await store.get(owner, task.id)
        with pytest.raises(TaskChanged):
            await save(store, task, completed=True, at=later(1))
        with pytest.raises(TaskChanged):
            await remove(store, task)
        assert (await store.list(owner, EVERYTHING)).tasks == [other]
        assert await revision(store, owner) == 3

    async def test_a_list_is_newest_first_and_ties_go_by_descending_id(self, store: TaskStore, owner: UserId) -> None:
        added = [await add(store, owner, at=later(n // 3)) for n in range(9)]
        listed = (await store.list(owner, EVERYTHING)).tasks
        assert listed == sorted(added, key=lambda task: (task.created_at, task.id), reverse=True)

    async def test_a_list_is_walked_in_pages_of_any_length(self, store: TaskStore, owner: UserId) -> None:
        for n in range(7):
            await add(store, owner, f"Task {n}", at=later(n // 3))
        whole = list((await store.list(owner, EVERYTHING)).tasks)
        for limit in (1, 2, 3, 7, 1000):
            walked: list[Task] = []
            more = True
            while more:
                after = EVERYTHING.position(walked[-1]) if walked else None
                page, more, _ = await store.list(owner, EVERYTHING, after=after, limit=limit)
                assert len(page) == limit or not more
                walked += page
            assert walked == whole

    async def test_a_list_keeps_what_is_wanted(self, store: TaskStore, owner: UserId) -> None:
        for n, title in enumerate(["Call Ann", "Buy MILK", "buy milk"]):
            task = await add(store, owner, title, at=later(n))
            if n > 0:
                await save(store, task, completed=True, at=later(n))
        assert await titles(store, owner, Selection(completed=False)) == ["Call Ann"]
        assert await titles(store, owner, Selection(completed=True)) == ["buy milk", "Buy MILK"]
        assert await titles(store, owner, Selection(text="Milk")) == ["buy milk", "Buy MILK"]
        assert await titles(store, owner, Selection(completed=False, text="milk")) == []
        page, more, _ = await store.list(owner, Selection(text="milk"), limit=1)
        assert ([task.title for task in page], more) == (["buy milk"], True)
        page, more, _ = await store.list(owner, Selection(text="milk"), after=EVERYTHING.position(page[0]), limit=1)
        assert ([task.title for task in page], more) == (["Buy MILK"], False)

    async def test_a_list_keeps_what_has_the_priority_the_labels_and_the_due_date(
        self, store: TaskStore, owner: UserId
    ) -> None:
        several: list[dict[str, Any]] = [
            {"priority": "high", "labels": ["Home", "a_b"], "due": Due("2026-01-31", "23:59")},
            {"priority": "low", "labels": ["home", "Straße", "x"], "due": Due("2026-02-01")},
            {"priority": "high", "labels": ("homework",), "due": Due("2026-02-01", "00:00", "Asia/Tokyo")},
            {"labels": ["axb", "home x"], "due": Due("2026-02-02")},
            {},
        ]
        for n, fields in enumerate(several):
            await add_task(store, a_task(owner, str(n), at=later(n), **fields))
        for wanted, kept in [
            (Selection(priority="high"), "20"),
            (Selection(priority="low"), "1"),
            (Selection(priority="medium"), ""),
            (Selection(labels=["HOME"]), "10"),
            (Selection(labels=["strasse", "home"]), "1"),
            (Selection(labels=["x", "home"]), "1"),
            (Selection(labels=["a_b"]), "0"),
            (Selection(labels=["%"]), ""),
            (Selection(labels=["home", "homework"]), ""),
            (Selection(due_from="2026-02-01"), "321"),
            (Selection(due_until="2026-02-01"), "210"),
            (Selection(due_from="2026-01-31", due_until="2026-01-31"), "0"),
            (Selection(due_from="2026-02-02", due_until="2026-02-01"), ""),
            (Selection(due_from="0001-01-01", due_until="9999-12-31"), "3210"),
            (Selection(priority="high", labels=["home"], due_until="2026-01-31", text="0"), "0"),
        ]:
            assert await titles(store, owner, wanted) == list(kept), wanted

    @pytest.mark.parametrize("limit", [1, 2, 3, 1000])
    async def test_a_list_by_due_date_has_the_earliest_first_and_what_is_never_due_last(
        self, store: TaskStore, owner: UserId, stranger: UserId, limit: int
    ) -> None:
        dues = [
            Due("2026-01-31"),
            Due("2026-01-31", "00:00", "Pacific/Kiritimati"),
            Due("2026-01-31", "09:00", "America/New_York"),
            Due("2026-02-01"),
            None,
        ]
        added = [(await add_task(store, a_task(owner, str(n), due=dues[n % 5], at=later(n)))).task for n in range(12)]
        await save(store, added[7], completed=True)
        await add_task(store, a_task(stranger, due=dues[0]))
        for wanted, order in [
            (Selection(order=Order.BY_DUE), "10 5 0 11 6 1 7 2 8 3 9 4"),
            (Selection(order=Order.BY_DUE, completed=False), "10 5 0 11 6 1 2 8 3 9 4"),
            (Selection(order=Order.BY_DUE, due_from="2026-02-01"), "8 3"),
        ]:
            walked: list[Task] = []
            more = True
            while more:
                after = wanted.position(walked[-1]) if walked else None
                page, more, _ = await store.list(owner, wanted, after=after, limit=limit)
                walked += page
            assert " ".join(task.title for task in walked) == order

    async def test_a_list_keeps_the_ids_that_begin_as_is_wanted(
        self, store: TaskStore, owner: UserId, stranger: UserId
    ) -> None:
        for n in range(5):
            await add(store, owner, at=later(n))
        await add(store, stranger)
        whole = (await store.list(owner, EVERYTHING)).tasks
        for task in whole:
            for length in range(1, 37):
                prefix = str(task.id)[:length]
                wanted = Selection(ids=IdPrefix(prefix))
                found = (await store.list(owner, wanted)).tasks
                assert found == [other for other in whole if str(other.id).startswith(prefix)]
        assert (await store.list(owner, Selection(ids=IdPrefix("00000000-0000-0000")))).tasks == []
        assert (await store.list(stranger, Selection(ids=IdPrefix(str(whole[0].id))))).tasks == []

    @pytest.mark.parametrize(
        ("title", "text", "is_kept"),
        [
            ("Straße", "STRASSE", True),
            ("Café", "CAFE\u0301", True),
            ("Cafe\u0301", "CAFÉ", True),
            ("Café", "cafe", False),
            ("ﬁle ①", "FILE 1", True),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
            ("Ärger", "äRG", True),
            ("100 %", "%", True),
            ("100 percent", "%", False),
            ("a_b", "_", True),
            ("a-b", "_", False),
            ("back\\slash", "\\", True),
            ("a/b", "/", True),
            ("Buy milk", "", True),
            ("Buy milk", "buymilk", False),
            ("Buy milk", "'", False),
        ],
    )
    async def test_a_search_is_for_the_text_itself_whatever_its_case(
        self, store: TaskStore, owner: UserId, title: str, text: str, is_kept: bool
    ) -> None:
        await add(store, owner, title)
        assert await titles(store, owner, Selection(text=text)) == ([title] if is_kept else [])

    async def test_a_search_looks_into_titles_and_notes_and_never_across(self, store: TaskStore, owner: UserId) -> None:
        task = (await add_task(store, a_task(owner, "Pay rent", notes="Cash for STRASSE 5"))).task
        for text, is_kept in (("straße", True), ("rent", True), ("rentcash", False), ("rent\ncash", False)):
            assert await titles(store, owner, Selection(text=text)) == (["Pay rent"] if is_kept else []), text
        await store.apply(owner, [Change(task, task.edit(Edit(notes="By card"), now=later(1)))])
        assert await titles(store, owner, Selection(text="cash")) == []
        assert await titles(store, owner, Selection(text="CARD")) == ["Pay rent"]

    async def test_a_search_finds_a_task_by_its_new_title_alone(self, store: TaskStore, owner: UserId) -> None:
        task = await add(store, owner, "Old")
        await save(store, task, "New", at=later(1))
        assert await titles(store, owner, Selection(text="old")) == []
        assert await titles(store, owner, Selection(text="new")) == ["New"]

    async def test_a_repeated_key_leads_to_the_task_as_it_is_now(self, store: TaskStore, owner: UserId) -> None:
        first = await add_task(store, a_task(owner), "key")
        renamed = await save(store, first.task, "Buy oat milk", at=later(1))
        again = await add_task(store, a_task(owner), "key")
        assert not first.replayed
        assert again == (renamed, True)
        assert await revision(store, owner) == 2
        assert await titles(store, owner) == ["Buy oat milk"]

    async def test_a_key_cannot_be_used_for_another_title(self, store: TaskStore, owner: UserId) -> None:
        task = (await add_task(store, a_task(owner), "key")).task
        with pytest.raises(KeyReused):
            await add_task(store, a_task(owner, "Something else"), "key")
        assert (await store.list(owner, EVERYTHING)).tasks == [task]
        assert await revision(store, owner) == 1

    async def test_a_key_whose_task_is_gone_makes_no_second_one(self, store: TaskStore, owner: UserId) -> None:
        await remove(store, (await add_task(store, a_task(owner), "key")).task)
        with pytest.raises(TaskNotFound):
            await add_task(store, a_task(owner), "key")
        assert await titles(store, owner) == []
        assert await revision(store, owner) == 2

    async def test_other_keys_and_other_people_are_not_affected(
        self, store: TaskStore, owner: UserId, stranger: UserId
    ) -> None:
        added = [
            await add_task(store, a_task(owner), "key"),
            await add_task(store, a_task(owner), "KEY"),
            await add_task(store, a_task(stranger, "Something else"), "key"),
            await add_task(store, a_task(owner)),
        ]
        assert not any(replayed for _, replayed in added)
        assert len({task.id for task, _ in added}) == 4

    async def test_of_twenty_equal_creations_one_adds(self, store: TaskStore, owner: UserId) -> None:
        added = await asyncio.gather(*(add_task(store, a_task(owner), "key") for _ in range(20)))
        assert sum(not replayed for _, replayed in added) == 1
        assert len({task.id for task, _ in added}) == 1
        assert await revision(store, owner) == 1

    async def test_of_twenty_writers_that_read_the_same_one_wins(self, store: TaskStore, owner: UserId) -> None:
        task = await add(store, owner)
        outcomes = await asyncio.gather(
            *(save(store, task, f"Writer {n}", at=later(1)) for n in range(20)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Task)]
        assert len(winners) == 1
        assert sum(isinstance(outcome, TaskChanged) for outcome in outcomes) == 19
        assert await store.get(owner, task.id) == winners[0]
        assert await revision(store, owner) == 2

    async def test_twenty_writers_of_one_task_lose_nothing(self, store: TaskStore, owner: UserId) -> None:
        task = await add(store, owner, "0")

        async def count_up() -> None:
            while True:
                read = await store.get(owner, task.id)
                try:
                    await save(store, read, str(int(read.title) + 1), at=later(1))
                except TaskChanged:
                    continue
                return

        await asyncio.gather(*(count_up() for _ in range(20)))
        assert (await store.get(owner, task.id)).title == "20"
        assert await revision(store, owner) == 21

    async def test_twenty_writers_of_one_person_get_a_revision_each(self, store: TaskStore, owner: UserId) -> None:
        kept = [await add(store, owner, f"Task {n}") for n in range(10)]
        changes = [save(store, task, completed=True, at=later(1)) for task in kept[:5]]
        removals = [remove(store, task) for task in kept[5:]]
        additions = [add(store, owner, f"New {n}") for n in range(10)]
        outcomes = await asyncio.gather(*changes, *removals, *additions)
        revisions = sorted([task.revision for task in outcomes if task is not None])
        assert len(set(revisions)) == 15
        assert await revision(store, owner) == 30
        assert set(revisions) <= set(range(11, 31))
        listed = (await store.list(owner, EVERYTHING)).tasks
        assert sorted(task.revision for task in listed) == revisions

    async def test_a_rename_and_a_completion_at_once_both_survive(self, store: TaskStore, owner: UserId) -> None:
        tasks = Tasks(store, clock=lambda: later(1), new_id=uuid4, is_time_zone=is_time_zone)
        for n in range(10):
            task = await add(store, owner, f"Task {n}")
            await asyncio.gather(
                tasks.change(owner, task.id, Edit(title=f"Renamed {n}")),
                tasks.change(owner, task.id, Edit(completed=True)),
            )
            both = await store.get(owner, task.id)
            assert (both.title, both.completed) == (f"Renamed {n}", True)

    async def test_a_removed_task_is_in_the_trash_and_can_be_had_back(
        self, store: TaskStore, owner: UserId, stranger: UserId
    ) -> None:
        tasks = Tasks(store, clock=lambda: later(5), new_id=uuid4, is_time_zone=is_time_zone)
        fields: dict[str, Any] = {"notes": "Cash", "due": Due("2026-12-24", "17:30"), "labels": ["home"]}
        first = (await add_task(store, a_task(owner, "First", **fields))).task
        second = await add(store, owner, "Second", at=later(1))
        done = await save(store, first, completed=True, at=later(2))
        await tasks.remove(owner, done.id)
        await tasks.remove(owner, second.id)
        (latest, earlier), more = await tasks.trash(owner, limit=2)
        assert ([latest.task.title, earlier.task.title], more) == (["Second", "First"], False)
        assert earlier.task._replace(revision=done.revision) == done
        assert (earlier.task.revision, latest.task.revision) == (4, 5)
        assert earlier.removed_at >= done.updated_at
        assert (await tasks.trash(owner, limit=1)).more
        assert (await tasks.trash(owner, before=latest.task.revision, limit=9)).tasks == [earlier]
        assert (await tasks.trash(stranger, limit=9)).tasks == []
        with pytest.raises((NotYours, TaskNotFound)):
            await tasks.restore(stranger, done.id)
        restored = await tasks.restore(owner, done.id)
        assert restored._replace(updated_at=done.updated_at, revision=done.revision) == done
        assert (restored.revision, restored.updated_at >= done.updated_at) == (6, True)
        assert await store.get(owner, done.id) == restored
        assert (await tasks.trash(owner, limit=9)).tasks == [latest]
        with pytest.raises(TaskNotFound):
            await tasks.restore(owner, done.id)
        await tasks.remove(owner, done.id)
        assert [one.task.title for one in (await tasks.trash(owner, limit=9)).tasks] == ["First", "Second"]

    async def test_what_is_purged_can_not_be_had_back(self, store: TaskStore, owner: UserId) -> None:
        tasks = Tasks(store, clock=lambda: later(5), new_id=uuid4, is_time_zone=is_time_zone)
        added = [await add(store, owner, f"Task {n}") for n in range(3)]
        for task in added:
            await tasks.remove(owner, task.id)
        await tasks.purge(owner, added[1].id)
        assert [one.task.title for one in (await tasks.trash(owner, limit=9)).tasks] == ["Task 2", "Task 0"]
        for act in (tasks.restore, tasks.purge):
            with pytest.raises(TaskNotFound):
                await act(owner, added[1].id)
        await tasks.purge(owner)
        await tasks.purge(owner)
        assert (await tasks.trash(owner, limit=9)).tasks == []
        with pytest.raises(TaskNotFound):
            await tasks.restore(owner, added[0].id)
        assert await revision(store, owner) == 6

    async def test_of_twenty_restorations_at_once_one_succeeds(self, store: TaskStore, owner: UserId) -> None:
        tasks = Tasks(store, clock=lambda: later(5), new_id=uuid4, is_time_zone=is_time_zone)
        task = await add(store, owner)
        await tasks.remove(owner, task.id)
        outcomes = await asyncio.gather(*(tasks.restore(owner, task.id) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(outcome, Task) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, TaskNotFound) for outcome in outcomes) == 19
        assert await revision(store, owner) == 3


class LocalTaskStoreContract(TaskStoreContract):
    """What a store promises besides that makes several changes at once, and keeps ids and times as they are given."""

    async def test_several_changes_are_made_in_order_and_each_has_a_revision(
        self, store: TaskStore, owner: UserId
    ) -> None:
        first, second, third = [await add(store, owner, f"Task {n}", at=later(n)) for n in range(3)]
        new = a_task(owner, "New", at=later(9))
        renamed = second.edit(Edit(title="Renamed", completed=True), now=later(5))
        applied = await store.apply(owner, [removal(first), Change(None, new), Change(second, renamed)])
        assert list(applied.tasks) == [new._replace(revision=5), renamed._replace(revision=6)]
        assert (await store.list(owner, EVERYTHING)).tasks == [applied.tasks[0], third, applied.tasks[1]]
        assert await revision(store, owner) == 6
        with pytest.raises(TaskNotFound):
            await store.get(owner, first.id)

    async def test_of_several_changes_none_is_made_if_one_task_has_moved_on(
        self, store: TaskStore, owner: UserId, stranger: UserId
    ) -> None:
        stale, other = await add(store, owner, "Stale"), await add(store, owner, "Other")
        strangers = await add(store, stranger)
        current = await save(store, stale, "Current", at=later(1))
        done = other.edit(Edit(completed=True), now=later(2))
        for refused in (
            removal(stale),
            Change(stale, stale.edit(Edit(title="Late"), now=later(2))),
            removal(strangers),
            removal(a_task(owner)),
        ):
            for changes in (
                [Change(None, a_task(owner)), Change(other, done), refused],
                [refused, removal(other), Change(None, a_task(owner))],
            ):
                with pytest.raises(TaskChanged):
                    await store.apply(owner, changes)
        assert sorted((await store.list(owner, EVERYTHING)).tasks) == sorted([current, other])
        assert await revision(store, owner) == 3
        assert await store.get(stranger, strangers.id) == strangers

    async def test_writers_of_overlapping_tasks_neither_block_each_other_nor_lose_anything(
        self, store: TaskStore, owner: UserId
    ) -> None:
        kept = [await add(store, owner, "0") for _ in range(6)]

        async def count_up(order: int) -> None:
            while True:
                tasks = [await store.get(owner, task.id) for task in kept[order % 3 : order % 3 + 4]]
                changes = [
                    Change(task, task.edit(Edit(title=str(int(task.title) + 1)), now=later(1)))
                    for task in (tasks if order % 2 else tasks[::-1])
                ]
                try:
                    await store.apply(owner, [*changes, Change(None, a_task(owner, "added"))])
                except TaskChanged:
                    continue
                return

        async with asyncio.timeout(30):
            await asyncio.gather(*(count_up(order) for order in range(12)))
        counts = [int((await store.get(owner, task.id)).title) for task in kept]
        assert counts == [4, 8, 12, 12, 8, 4]
        assert await revision(store, owner) == 6 + 12 * 5
        assert len(await titles(store, owner, Selection(text="added"))) == 12

    async def test_several_changes_can_restore_and_remove_at_once(self, store: TaskStore, owner: UserId) -> None:
        gone, kept = await add(store, owner, "Gone"), await add(store, owner, "Kept")
        await remove(store, gone)
        removed = await store.get_removed(owner, gone.id, now=later(1))
        new = a_task(owner, "New", at=later(9))
        changes = [Change(removed, removed.restore(now=later(2))), removal(kept, at=later(2)), Change(None, new)]
        applied = await store.apply(owner, changes)
        assert [(task.title, task.revision) for task in applied.tasks] == [("Gone", 4), ("New", 6)]
        assert await titles(store, owner) == ["New", "Gone"]
        [buried], _ = await store.trash(owner, now=later(3))
        assert (buried.task.title, buried.task.revision) == ("Kept", 5)
        for stale in (Change(removed, removed.restore(now=later(3))), removal(kept)):
            with pytest.raises(TaskChanged):
                await store.apply(owner, [stale, Change(None, a_task(owner))])
        assert await revision(store, owner) == 6

    async def test_an_id_that_is_taken_is_not_added_again(self, store: TaskStore, owner: UserId) -> None:
        one = await add(store, owner)
        with pytest.raises(TaskChanged):
            await store.apply(owner, [Change(None, a_task(owner, "new")), Change(None, one)])
        assert await titles(store, owner) == ["Buy milk"]
        assert await revision(store, owner) == 1

    async def test_what_is_known_of_ids_is_found(
        self, short_trash: ChangeFeedStore, owner: UserId, stranger: UserId
    ) -> None:
        """``short_trash`` keeps things for one day."""
        store = short_trash
        kept, removed, forgotten = [await add(store, owner, f"Task {n}") for n in range(3)]
        theirs, their_removed = [await add(store, stranger, f"Task {n}") for n in range(2)]
        await remove(store, removed, at=later(3600))
        await remove(store, forgotten, at=NOON)
        await remove(store, their_removed, at=later(3600))
        ids = [task.id for task in (kept, removed, forgotten, theirs, their_removed)]
        known = await store.find(owner, [*ids, uuid4()], (), now=later(24 * 3600))
        assert known.tasks == {kept.id: kept}
        assert known.removed == {
            removed.id: await store.get_removed(owner, removed.id, now=later(24 * 3600)),
            forgotten.id: None,
        }
        assert set(known.others) == {theirs.id, their_removed.id}

    async def test_a_key_with_a_note_makes_its_changes_once(self, store: TaskStore, owner: UserId) -> None:
        key = IdempotencyKey("k", b"d" * 32, note="made")
        one, another = a_task(owner, "one"), await add(store, owner, "another")
        assert await store.recall(owner, key, now=NOON) is None
        with pytest.raises(TaskChanged):
            await store.apply(owner, [Change(None, one), removal(a_task(owner))], key)
        assert await store.recall(owner, key, now=NOON) is None  # nothing was done
        await store.apply(owner, [Change(None, one), removal(another)], key)
        assert await store.recall(owner, key._replace(note=None), now=later(60)) == "made"
        with pytest.raises(KeyReused):
            await store.recall(owner, key._replace(request_digest=b"e" * 32), now=NOON)
        with pytest.raises(TaskChanged):
            await store.apply(owner, [Change(None, a_task(owner, "again"))], key)
        assert await titles(store, owner) == ["one"]
        tomorrow = 24 * 3600
        assert await store.recall(owner, key, now=later(tomorrow)) is None
        await store.apply(owner, [Change(None, a_task(owner, "again", at=later(tomorrow)))], key)
        assert await titles(store, owner) == ["again", "one"]

    async def test_batches_with_one_key_at_once_are_made_once(self, store: TaskStore, owner: UserId) -> None:
        tasks = make_tasks(store)
        asked = [Create(Edit(title=f"Task {n}")) for n in range(3)]
        outcomes = await asyncio.gather(*(tasks.batch(owner, asked, key="k") for _ in range(20)))
        assert sorted(outcome.replayed for outcome in outcomes) == [False, *[True] * 19]
        assert len({tuple(one.task.id for one in outcome.outcomes if one.task) for outcome in outcomes}) == 1
        assert len(await titles(store, owner)) == 3

    async def test_the_trash_keeps_what_a_task_was_for_its_time_and_removals_for_30_days(
        self, short_trash: ChangeFeedStore, owner: UserId
    ) -> None:
        """``short_trash`` keeps things for one day."""
        store, day = short_trash, 24 * 60 * 60
        first, second, third = [await add(store, owner, f"Task {n}") for n in range(3)]
        await remove(store, first, at=NOON)
        assert len((await store.trash(owner, now=later(day - 1))).tasks) == 1
        assert (await store.trash(owner, now=later(day))).tasks == []
        with pytest.raises(TaskNotFound):
            await store.get_removed(owner, first.id, now=later(day))
        await remove(store, second, at=later(day))
        assert len((await store.trash(owner, now=NOON)).tasks) == 1  # the first is forgotten, whatever the time is
        changes = await store.changes(owner, since=0, removed_since=0)
        assert (changes.removed, changes.forgotten) == ([first.id, second.id], 0)
        await remove(store, third, at=later(30 * day))
        changes = await store.changes(owner, since=0, removed_since=0)
        assert (changes.removed, changes.forgotten) == ([second.id, third.id], 4)

    async def test_changes_come_in_the_order_of_revisions(
        self, store: ChangeFeedStore, owner: UserId, stranger: UserId
    ) -> None:
        assert await store.changes(owner, since=0, removed_since=0) == ([], [], 0, False, (None, 0), 0)
        tasks = [await add(store, owner, f"Task {n}") for n in range(4)]
        await add(store, stranger)
        changed = await save(store, tasks[1], "Changed", at=later(1))
        await remove(store, tasks[0])
        version = await store.version(owner)
        whole, removed = [tasks[2], tasks[3], changed], [tasks[0].id]
        assert await store.changes(owner, since=0, removed_since=0) == (whole, removed, 6, False, version, 0)
        assert await store.changes(owner, since=0, removed_since=0, limit=2) == (tasks[2:4], [], 4, True, version, 0)
        assert await store.changes(owner, since=4, removed_since=4, limit=1) == ([changed], [], 5, True, version, 0)
        assert await store.changes(owner, since=5, removed_since=5, limit=1) == (
            [],
            [tasks[0].id],
            6,
            False,
            version,
            0,
        )
        assert await store.changes(owner, since=6, removed_since=6) == ([], [], 6, False, version, 0)
        assert await store.changes(owner, since=0, removed_since=6, limit=9) == (whole, [], 6, False, version, 0)

    async def test_an_epoch_begins_with_the_first_task_and_stays(self, store: TaskStore, owner: UserId) -> None:
        assert await store.version(owner) == (None, 0)
        task = await add(store, owner)
        began = await store.version(owner)
        assert began.epoch is not None
        await remove(store, task)
        await add(store, owner)
        assert await store.version(owner) == (began.epoch, 3)

    async def test_id_and_times_are_kept_as_given(self, store: TaskStore, owner: UserId) -> None:
        task = a_task(owner, at=later(0.000001))
        assert (await add_task(store, task)).task == task._replace(revision=1)

    async def test_a_key_is_remembered_for_24_hours(self, store: TaskStore, owner: UserId) -> None:
        day = 24 * 60 * 60
        first = await add_task(store, a_task(owner, at=NOON), "key")
        assert (await add_task(store, a_task(owner, at=later(day - 0.000001)), "key")).task.id == first.task.id
        anew = await add_task(store, a_task(owner, "Another title", at=later(day)), "key")
        assert not anew.replayed
        assert (await add_task(store, a_task(owner, "Another title", at=later(2 * day - 1)), "key")) == (
            anew.task,
            True,
        )

    async def test_a_repeat_does_not_make_a_key_live_longer(self, store: TaskStore, owner: UserId) -> None:
        day = 24 * 60 * 60
        await add_task(store, a_task(owner, at=NOON), "key")
        await add_task(store, a_task(owner, at=later(day - 1)), "key")
        assert not (await add_task(store, a_task(owner, at=later(day)), "key")).replayed
