"""Several servers on one database act as one: they have no state of their own."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.support.builders import somebody
from tests.support.databases import sqlite_url
from tests.support.serving import Person, Server, serving

Two = tuple[Server, Server]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, migrated_postgres: str) -> Iterator[Two]:
    directory = tmp_path_factory.mktemp("two")
    with serving(directory, migrated_postgres) as first, serving(directory, migrated_postgres) as second:
        yield first, second


def connect(two: Two, number: int, user: str) -> list[Person]:
    """The same person on this number of connections, alternately to both servers."""
    return [two[n % 2].person(user) for n in range(number)]


def test_concurrent_creations_with_one_key_make_one_task(two: Two) -> None:
    people = connect(two, 64, "with-a-key")
    together = threading.Barrier(len(people))

    def create(person: Person) -> tuple[int, str, str | None]:
        together.wait()
        response = person.api.post("/api/tasks", json={"title": "once"}, headers={"Idempotency-Key": "k"})
        return response.status_code, response.json()["id"], response.headers.get("idempotency-replayed")

    with ThreadPoolExecutor(len(people)) as pool:
        responses = list(pool.map(create, people))
    assert {status for status, _, _ in responses} == {201}
    assert len({task_id for _, task_id, _ in responses}) == 1
    assert sorted(replayed or "" for _, _, replayed in responses) == ["", *["true"] * 63]
    assert [task["title"] for task in people[0].tasks()] == ["once"]


def test_batches_on_the_same_tasks_at_once_never_block_each_other(two: Two) -> None:
    """In opposite orders, with creations between. `make soak` does so a thousand times."""
    run_opposing_batches(two, "who-opposes", rounds=50)


def run_opposing_batches(two: Two, user: str, rounds: int) -> None:
    people = connect(two, 4, user)
    ids = [people[0].add(f"{number}")["id"] for number in range(20)]

    def write(number: int) -> None:
        order = ids if number % 2 else ids[::-1]
        for count in range(rounds):
            operations: list[dict[str, Any]] = [
                {"op": "change", "id": task, "task": {"title": f"{number} {count}"}} for task in order
            ]
            operations.insert(10, {"op": "create", "task": {"title": "made"}})
            response = people[number].api.post("/api/batch", json={"operations": operations})
            assert response.status_code == 200, response.text

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(write, range(len(people))))
    tasks = people[0].tasks()
    assert len(tasks) == len(ids) + len(people) * rounds
    assert len({task["title"] for task in tasks if task["id"] in ids}) == 1  # each batch is one act
    revision = max(task["revision"] for task in tasks)
    assert revision == len(ids) + len(people) * rounds * (len(ids) + 1)


def test_concurrent_updates_with_if_match_are_never_lost(two: Two) -> None:
    people, each = connect(two, 16, "who-counts"), 5
    one = f"/api/tasks/{people[0].add('0')['id']}"

    def count(person: Person) -> None:
        done = 0
        while done < each:
            read = person.api.get(one)
            title = str(int(read.json()["title"]) + 1)
            response = person.api.put(one, json={"title": title}, headers={"If-Match": read.headers["etag"]})
            assert response.status_code in (200, 412)
            done += response.status_code == 200

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(count, people))
    assert people[0].api.get(one).json()["title"] == str(len(people) * each)


def test_paging_returns_each_task_that_stays_exactly_once(two: Two) -> None:
    reader, writer = connect(two, 2, "who-pages")
    staying = {writer.add(f"staying {number}")["id"] for number in range(60)}
    moving = [writer.add(f"moving {number}")["id"] for number in range(30)]
    done = threading.Event()

    def move() -> None:
        while not done.is_set():
            moving.append(writer.add("moving")["id"])
            assert writer.api.delete(f"/api/tasks/{moving.pop(0)}").status_code == 204

    with ThreadPoolExecutor(1) as pool:
        mover = pool.submit(move)
        try:
            for _ in range(5):
                met: list[str] = []
                at: str | None = "/api/tasks?limit=7"
                while at is not None:
                    page = reader.api.get(at)
                    met += [task["id"] for task in page.json()]
                    at = page.links["next"]["url"] if "next" in page.links else None
                assert [met.count(task_id) for task_id in staying] == [1] * len(staying)
        finally:
            done.set()
        mover.result()


def test_what_one_server_wrote_the_other_reads(two: Two) -> None:
    here, there = connect(two, 2, "here-and-there")
    task = here.add()
    one = f"/api/tasks/{task['id']}"
    tag = there.api.get("/api/tasks").headers["etag"]
    assert here.api.patch(one, json={"completed": True}).status_code == 200
    assert there.api.get(one).json()["completed"] is True
    assert there.api.get("/api/tasks", headers={"If-None-Match": tag}).status_code == 200
    assert there.api.delete(one).status_code == 204
    assert here.api.get(one).status_code == 404


def test_an_older_server_works_on_a_newer_schema(tmp_path: Path, empty_database: str) -> None:
    """One that runs during the migration, and one that starts after it: migrations only add."""
    with serving(tmp_path, empty_database) as running:
        ann = running.person("ann")
        task = ann.add()
        for statement in (
            "ALTER TABLE tasks ADD COLUMN note VARCHAR(9) NOT NULL DEFAULT ''",
            "UPDATE schema_version SET version_num = '9999'",
        ):
            changed = create_engine(empty_database.replace("postgresql://", "postgresql+psycopg://"))
            with changed.begin() as connection:
                connection.execute(text(statement))
            changed.dispose()
        with serving(tmp_path, empty_database) as started:
            for server in (running, started):
                ann = server.person("ann")
                assert server.anybody.get("/health/ready").status_code == 200
                assert task in ann.tasks()
                one = f"/api/tasks/{ann.add()['id']}"
                assert ann.api.patch(one, json={"completed": True}).status_code == 200
                assert ann.api.delete(one).status_code == 204
            assert "newer than this program" in started.printed()


@pytest.mark.timeout(180)
def test_ten_servers_can_start_at_once_on_an_empty_database(tmp_path: Path, empty_postgres: str) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(10) as pool:

        def start(_: Any) -> Server:
            return stack.enter_context(serving(tmp_path, empty_postgres))

        servers = list(pool.map(start, range(10)))
        people = [server.person("ann") for server in servers]
        for person in people:
            person.add()
        assert [len(person.tasks()) for person in people] == [10] * 10
        assert {server.anybody.get("/health/ready").status_code for server in servers} == {200}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_copies_that_follow_the_changes_equal_the_list_while_many_write(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = sqlite_url(tmp_path / "todo.db") if database == "sqlite" else request.getfixturevalue("migrated_postgres")
    user, seconds = somebody(), 3
    with serving(tmp_path, url) as first, serving(tmp_path, url) as second, ThreadPoolExecutor(12) as pool:
        servers, done = (first, second), threading.Event()

        def write(number: int) -> int:
            person, dice = servers[number % 2].person(user), random.Random(number)
            made = 0
            while not done.is_set():
                tasks = [task["id"] for task in person.api.get("/api/tasks?limit=9").json()]
                removed = [task["id"] for task in person.api.get("/api/trash?limit=9").json()]
                act = dice.choice(["add", "add", "change", "remove", "restore"])
                if act == "add" or not (removed if act == "restore" else tasks):
                    response = person.api.post("/api/tasks", json={"title": f"{number}-{made}"})
                elif act == "change":
                    path = f"/api/tasks/{dice.choice(tasks)}"
                    response = person.api.patch(path, json={"title": f"{number}-{made}", "completed": made % 2 == 0})
                elif act == "remove":
                    response = person.api.delete(f"/api/tasks/{dice.choice(tasks)}")
                else:
                    response = person.api.post(f"/api/trash/{dice.choice(removed)}/restore")
                assert response.status_code in (200, 201, 204, 404), response.text  # another was quicker
                made += 1
            return made

        def follow(number: int) -> dict[str, Any]:
            person, since = servers[number % 2].person(user), ""
            copy: dict[str, Any] = {}
            last = False
            while True:
                answer = person.api.get(f"/api/changes?limit={number * 7 + 1}{since}").json()
                copy |= {task["id"]: task for task in answer["changed"]}
                for task_id in answer["removed"]:
                    copy.pop(task_id, None)
                since = f"&since={answer['next']}"
                if last and not answer["more"]:
                    return copy
                last = written.is_set()

        written = threading.Event()
        writers = [pool.submit(write, number) for number in range(8)]
        followers = [pool.submit(follow, number) for number in range(4)]
        done.wait(seconds)
        done.set()
        assert sum(writer.result() for writer in writers) > 50
        written.set()
        expected = {task["id"]: task for task in first.person(user).tasks()}
        for follower in followers:
            assert follower.result() == expected
