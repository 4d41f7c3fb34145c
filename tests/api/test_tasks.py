"""The requests of the contract, over a real socket, on SQLite and on PostgreSQL."""

import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.problems import is_problem
from tests.support.builders import somebody
from tests.support.serving import Person, Server, in_process
from todo.adapters.memory import MemoryTaskStore


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person()


@pytest.fixture
def bob(server: Server) -> Person:
    return server.person()


def at(task: dict[str, Any]) -> str:
    return f"/api/tasks/{task['id']}"


class TestCreate:
    def test_it_is_201_with_the_task_its_location_and_its_etag(self, ann: Person) -> None:
        response = ann.api.post("/api/tasks", json={"title": "  Buy milk\n"})
        task = response.json()
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        assert (task["title"], task["completed"], task["user_id"]) == ("Buy milk", False, ann.user_id)
        assert UUID(task["id"]).version == 7
        assert task["created_at"] == task["updated_at"]
        assert datetime.fromisoformat(task["created_at"]).utcoffset() == timedelta(0)
        there = ann.api.get(response.headers["location"])
        assert (there.json(), there.headers["etag"]) == (task, response.headers["etag"])

    def test_ids_are_in_the_order_of_creation(self, ann: Person) -> None:
        ids = [ann.add()["id"] for _ in range(5)]
        assert ids == sorted(ids)

    def test_fields_that_a_client_may_not_set_are_ignored(self, ann: Person, bob: Person) -> None:
        theirs = bob.add()
        body = {**theirs, "title": "Mine", "completed": True, "revision": 99, "__proto__": {}}
        task = ann.api.post("/api/tasks", json=body).json()
        assert (task["title"], task["completed"], task["user_id"]) == ("Mine", False, ann.user_id)
        assert task["id"] != theirs["id"]
        assert task["created_at"] > theirs["created_at"]
        assert bob.tasks() == [theirs]

    def test_a_missing_content_type_means_json(self, ann: Person) -> None:
        assert ann.api.post("/api/tasks", content=b'{"title":"x"}').status_code == 201

    @pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;"])
    def test_the_content_type_may_have_parameters_and_any_case(self, ann: Person, media_type: str) -> None:
        response = ann.api.post("/api/tasks", content=b'{"title":"x"}', headers={"Content-Type": media_type})
        assert response.status_code == 201


class TestRead:
    def test_the_owner_gets_the_task(self, ann: Person) -> None:
        task = ann.add()
        response = ann.api.get(at(task))
        assert (response.status_code, response.json()) == (200, task)

    def test_an_id_in_capitals_is_the_same_id(self, ann: Person) -> None:
        task = ann.add()
        assert ann.api.get(f"/api/tasks/{task['id'].upper()}").json() == task

    def test_a_missing_task_is_404(self, ann: Person) -> None:
        assert is_problem(ann.api.get(f"/api/tasks/{uuid4()}"), 404)["detail"] == "Task not found"


class TestList:
    def test_it_is_a_bare_array_newest_first(self, ann: Person) -> None:
        assert ann.tasks() == []
        added = [ann.add(f"Task {n}") for n in range(3)]
        assert ann.tasks() == added[::-1]

    def test_pages_are_linked_until_the_last(self, ann: Person) -> None:
        added = [ann.add(f"Task {n}") for n in range(5)]
        walked, where = [], "/api/tasks?limit=2"
        lengths = []
        while where:
            response = ann.api.get(where)
            walked += response.json()
            lengths.append(len(response.json()))
            where = response.links.get("next", {}).get("url", "")
        assert (walked, lengths) == (added[::-1], [2, 2, 1])

    def test_the_last_page_has_no_link(self, ann: Person) -> None:
        for _ in range(2):
            ann.add()
        assert "link" not in ann.api.get("/api/tasks?limit=2").headers
        assert "link" not in ann.api.get("/api/tasks").headers

    def test_each_task_has_the_revision_that_its_etag_says(self, ann: Person) -> None:
        for n in range(3):
            ann.add(f"Task {n}")
        ann.api.patch(at(ann.tasks()[1]), json={"completed": True})
        for task in ann.tasks():
            assert ann.api.get(at(task)).headers["etag"] == f'"{task["revision"]}"'

    def test_tasks_can_be_found_by_the_beginning_of_their_id(self, ann: Person, bob: Person) -> None:
        tasks = [ann.add(f"Task {n}") for n in range(3)][::-1]
        for length in (8, 13, 30, 36):
            prefix = tasks[0]["id"][:length]
            found = ann.api.get("/api/tasks", params={"id_prefix": prefix, "limit": 2})
            assert found.json() == [task for task in tasks if task["id"].startswith(prefix)][:2]
            assert bob.api.get("/api/tasks", params={"id_prefix": prefix}).json() == []
        for wrong in ("", "x", "01A2", "01a2-", f"{tasks[0]['id']}0"):
            problem = is_problem(ann.api.get("/api/tasks", params={"id_prefix": wrong}), 400)
            assert problem["errors"][0]["parameter"] == "id_prefix"

    def test_filters_work_alone_together_and_with_pages(self, ann: Person) -> None:
        for n, title in enumerate(["Call Ann", "Buy MILK & bread", "buy milk & eggs"]):
            task = ann.add(title)
            if n:
                ann.api.patch(at(task), json={"completed": True})

        def titles(**query: Any) -> list[str]:
            return [task["title"] for task in ann.api.get("/api/tasks", params=query).json()]

        assert titles(completed="false") == ["Call Ann"]
        assert titles(completed="true") == ["buy milk & eggs", "Buy MILK & bread"]
        assert titles(q="MILK & ") == ["buy milk & eggs", "Buy MILK & bread"]
        assert titles(q="call", completed="true") == []
        first = ann.api.get("/api/tasks", params={"q": "Milk & ", "completed": "true", "limit": 1})
        assert [task["title"] for task in first.json()] == ["buy milk & eggs"]
        second = ann.api.get(first.links["next"]["url"])
        assert [task["title"] for task in second.json()] == ["Buy MILK & bread"]
        assert "next" not in second.links

    @pytest.mark.parametrize(
        "limit", ["0", "1001", "-1", "+1", "01", "1.0", "1e1", " 1", "1 ", "", "x", "１", "1&limit=1", "9" * 400]
    )
    def test_a_limit_other_than_1_to_1000_is_400(self, ann: Person, limit: str) -> None:
        problem = is_problem(ann.api.get(f"/api/tasks?limit={limit}"), 400)
        assert [error["parameter"] for error in problem["errors"]] == ["limit"]

    @pytest.mark.parametrize("completed", ["", "1", "True", "null", "true&completed=true"])
    def test_a_completed_filter_other_than_true_or_false_is_400(self, ann: Person, completed: str) -> None:
        problem = is_problem(ann.api.get(f"/api/tasks?completed={completed}"), 400)
        assert [error["parameter"] for error in problem["errors"]] == ["completed"]

    @pytest.mark.parametrize("query", ["q=%00", "q=%ff", f"q={'x' * 501}", "cursor=", "cursor=x", "cursor=%ff"])
    def test_an_invalid_query_is_400(self, ann: Person, query: str) -> None:
        is_problem(ann.api.get(f"/api/tasks?{query}"), 400)

    def test_an_unknown_parameter_is_ignored(self, ann: Person) -> None:
        assert ann.api.get("/api/tasks?order=title&user_id=bob").json() == []

    def test_a_cursor_with_any_character_changed_is_400(self, ann: Person) -> None:
        for _ in range(2):
            ann.add()
        where = ann.api.get("/api/tasks?limit=1").links["next"]["url"]
        cursor = re.search("cursor=([^&]+)", where)
        assert cursor is not None
        for n, character in enumerate(cursor[1]):
            for other in {"A", "b", "-", character.swapcase()} - {character}:
                changed = cursor[1][:n] + other + cursor[1][n + 1 :]
                is_problem(ann.api.get(f"/api/tasks?limit=1&cursor={changed}"), 400)
        for changed in (cursor[1][:-1], cursor[1] + "A", cursor[1] + "=", cursor[1] + "%0a", cursor[1] * 2):
            is_problem(ann.api.get(f"/api/tasks?limit=1&cursor={changed}"), 400)

    def test_a_long_list_comes_whole_in_chunks_and_over_http_1_0_without(self, direct_server: Server) -> None:
        ann = direct_server.person()
        added = [ann.add(f"Task {n}")["id"] for n in range(1001)]
        response = ann.api.get("/api/tasks")
        assert [task["id"] for task in response.json()] == added[::-1]
        assert response.headers["transfer-encoding"] == "chunked"
        with socket.create_connection(direct_server.address, timeout=10) as old_client:
            old_client.sendall(f"GET /api/tasks HTTP/1.0\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode())
            head, _, body = old_client.makefile("rb").read().partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert json.loads(body) == response.json()


class TestChange:
    def test_patch_changes_completed_title_or_both(self, ann: Person) -> None:
        task = ann.add()
        done = ann.api.patch(at(task), json={"completed": True}).json()
        now = done["updated_at"]
        assert done == {**task, "completed": True, "completed_at": now, "updated_at": now, "revision": 2}
        assert done["updated_at"] > task["updated_at"]
        renamed = ann.api.patch(at(task), json={"title": " Buy oat milk "}).json()
        assert (renamed["title"], renamed["completed"]) == ("Buy oat milk", True)
        both = ann.api.patch(at(task), json={"title": "Buy milk", "completed": False}).json()
        assert (both["title"], both["completed"]) == ("Buy milk", False)
        assert ann.tasks() == [both]

    def test_put_renames_and_never_touches_completed(self, ann: Person) -> None:
        task = ann.add()
        ann.api.patch(at(task), json={"completed": True})
        for body in ({"title": "A"}, {"title": "B", "completed": False}, {"title": "C", "completed": "no"}):
            response = ann.api.put(at(task), json=body)
            assert (response.status_code, response.json()["title"], response.json()["completed"]) == (
                200,
                body["title"],
                True,
            )

    def test_a_concurrent_patch_and_put_both_take_effect(self, server: Server, ann: Person) -> None:
        same = server.person(ann.user_id)
        with ThreadPoolExecutor(2) as pool:
            for n in range(20):
                task = ann.add()
                patched = pool.submit(ann.api.patch, at(task), json={"completed": True})
                put = pool.submit(same.api.put, at(task), json={"title": f"Task {n}"})
                assert (patched.result().status_code, put.result().status_code) == (200, 200)
                both = ann.api.get(at(task)).json()
                assert (both["title"], both["completed"]) == (f"Task {n}", True)

    def test_of_twenty_concurrent_changes_with_the_same_etag_one_succeeds(self, server: Server, ann: Person) -> None:
        task = ann.add()
        etag = ann.api.get(at(task)).headers["etag"]
        same = [server.person(ann.user_id) for _ in range(20)]

        def rename(n: int) -> int:
            body = {"title": f"Writer {n}"}
            return same[n].api.put(at(task), json=body, headers={"If-Match": etag}).status_code

        with ThreadPoolExecutor(20) as pool:
            assert sorted(pool.map(rename, range(20))) == [200] + [412] * 19

    def test_a_client_may_echo_the_whole_task(self, ann: Person, bob: Person) -> None:
        task, theirs = ann.add(), bob.add()
        echo = {**theirs, "title": "Buy oat milk", "created_at": "2000-01-01T00:00:00Z", "updated_at": "x"}
        for change in (ann.api.put, ann.api.patch):
            changed = change(at(task), json=echo).json()
            new = {"updated_at": changed["updated_at"], "revision": changed["revision"]}
            assert changed == {**task, "title": "Buy oat milk", **new}
        assert bob.tasks() == [theirs]

    def test_a_change_that_changes_nothing_keeps_the_revision(self, ann: Person) -> None:
        task = ann.add()
        before = ann.api.get(at(task))
        response = ann.api.patch(at(task), json={"title": f" {task['title']} ", "completed": False})
        assert (response.json(), response.headers["etag"]) == (task, before.headers["etag"])

    def test_patch_without_any_field_is_400(self, ann: Person) -> None:
        task = ann.add()
        for body in ({}, {"user_id": "bob"}):
            is_problem(ann.api.patch(at(task), json=body), 400)

    @pytest.mark.parametrize("completed", ["true", 1, 0, None, [], {}, "", 1.0])
    def test_completed_other_than_true_or_false_is_400(self, ann: Person, completed: object) -> None:
        task = ann.add()
        problem = is_problem(ann.api.patch(at(task), json={"completed": completed}), 400)
        assert [error["pointer"] for error in problem["errors"]] == ["/completed"]
        assert ann.tasks() == [task]


class TestDelete:
    def test_it_is_204_without_a_body_and_the_task_is_gone(self, ann: Person) -> None:
        task = ann.add()
        response = ann.api.delete(at(task))
        assert (response.status_code, response.content) == (204, b"")
        is_problem(ann.api.get(at(task)), 404)
        is_problem(ann.api.delete(at(task)), 404)
        assert ann.tasks() == []


class TestTitles:
    @pytest.mark.parametrize(
        "title",
        [
            "שלום עולם",
            "👩‍👩‍👧‍👦",
            "Z̷̢a̸l̵g̶o̵",
            "e\u0301 é",
            "𝔸" * 500,
            "tab\tand\r\nline",
            "\ufeff\u202ex\uffff",
            "</script>",
        ],
    )
    def test_unusual_valid_titles_come_back_exactly(self, ann: Person, title: str) -> None:
        task = ann.add(title)
        assert (task["title"], ann.tasks()[0]["title"]) == (title, title)
        assert ann.api.put(at(task), json={"title": f"{title[:250]}!"}).json()["title"] == f"{title[:250]}!"

    @pytest.mark.parametrize(
        "title",
        ["", " ", "\u3000\t", "x" * 501, "𝔸" * 501, "\x00", "a\x00b", "\x1b[31m", "a\x7f", "\x85a", 1, None, []],
    )
    def test_invalid_titles_are_400_and_change_nothing(self, ann: Person, title: object) -> None:
        task = ann.add()
        for response in (
            ann.api.post("/api/tasks", json={"title": title}),
            ann.api.put(at(task), json={"title": title}),
            ann.api.patch(at(task), json={"title": title}),
        ):
            problem = is_problem(response, 400)
            assert [error["pointer"] for error in problem["errors"]] == ["/title"]
        assert ann.tasks() == [task]


class TestConditions:
    def test_an_etag_is_strong_and_changes_with_the_task(self, ann: Person) -> None:
        task = ann.add()
        first = ann.api.get(at(task)).headers["etag"]
        second = ann.api.patch(at(task), json={"completed": True}).headers["etag"]
        assert re.fullmatch('"[!-~]+"', first)
        assert first != second == ann.api.get(at(task)).headers["etag"]

    def test_if_match_accepts_only_the_latest_etag(self, ann: Person) -> None:
        task = ann.add()
        old = ann.api.get(at(task)).headers["etag"]
        new = ann.api.patch(at(task), json={"completed": True}, headers={"If-Match": old}).headers["etag"]
        for stale in (old, f"W/{old}", '"999"', '"x"', '""', f'{old}, "x"'):
            headers = {"If-Match": stale}
            is_problem(ann.api.patch(at(task), json={"completed": False}, headers=headers), 412)
            is_problem(ann.api.patch(at(task), json={"completed": True}, headers=headers), 412)
            is_problem(ann.api.put(at(task), json={"title": "Late"}, headers=headers), 412)
            is_problem(ann.api.delete(at(task), headers=headers), 412)
        for no_tags in ("x", new.strip('"'), f"{new},", new[:-1], ""):
            problem = is_problem(ann.api.delete(at(task), headers={"If-Match": no_tags}), 400)
            assert problem["errors"][0]["parameter"] == "If-Match"
        for number, wrapping in enumerate(('"{}"', 'W/"{}"', '"{}-gzip"', '"x", W/"{}"')):
            headers = {"If-Match": wrapping.format(new.strip('"'))}
            response = ann.api.put(at(task), json={"title": f"A{number}"}, headers=headers)
            assert response.status_code == 200
            new = response.headers["etag"]
        assert ann.api.put(at(task), json={"title": "A"}, headers={"If-Match": "*"}).status_code == 200
        new = ann.api.get(at(task)).headers["etag"]
        assert ann.api.delete(at(task), headers={"If-Match": f'"x", {new}'}).status_code == 204

    def test_if_none_match_is_304_while_a_task_is_unchanged(self, ann: Person) -> None:
        task = ann.add()
        etag = ann.api.get(at(task)).headers["etag"]
        for tag in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            response = ann.api.get(at(task), headers={"If-None-Match": tag})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
        ann.api.patch(at(task), json={"completed": True})
        assert ann.api.get(at(task), headers={"If-None-Match": etag}).status_code == 200

    def test_if_none_match_is_304_while_a_list_is_unchanged(self, ann: Person, bob: Person) -> None:
        changes: list[Callable[[], object]] = [
            ann.add,
            lambda: ann.api.patch(at(ann.tasks()[0]), json={"completed": True}),
            lambda: ann.api.delete(at(ann.tasks()[0])),
        ]
        etag = ""
        for change in changes:
            for path in ("/api/tasks", "/api/tasks?limit=1", "/api/tasks?completed=true"):
                etag = ann.api.get(path).headers["etag"]
                bob.add()
                response = ann.api.get(path, headers={"If-None-Match": etag})
                assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
            change()
            response = ann.api.get("/api/tasks?completed=true", headers={"If-None-Match": etag})
            assert response.status_code == 200

    def test_no_two_lists_share_an_etag(self, ann: Person, bob: Person) -> None:
        for person in (ann, bob):
            person.add("Buy milk")
            person.add("Buy bread")
        first = ann.api.get("/api/tasks?limit=1")
        paths = ["/api/tasks", "/api/tasks?q=buy", "/api/tasks?q=b", "/api/tasks?completed=false", "/api/tasks?limit=1"]
        paths += ["/api/tasks?limit=2", first.links["next"]["url"]]
        tags = [person.api.get(path).headers["etag"] for person in (ann, bob) for path in paths[:-1]]
        tags.append(ann.api.get(paths[-1]).headers["etag"])
        assert len(set(tags)) == len(tags)
        for path, tag in zip(paths[:-1], tags[1 : len(paths) - 1], strict=False):
            assert ann.api.get(path, headers={"If-None-Match": tag}).status_code == 200


async def test_no_list_after_an_erasure_has_an_etag_of_a_list_before() -> None:
    owner, store = somebody(), MemoryTaskStore()
    async with in_process(store, owner) as api:
        tags = []
        for _ in range(2):
            for _ in range(3):
                await api.post("/api/tasks", json={"title": "x"})
                tags.append((await api.get("/api/tasks")).headers["etag"])
            await store.erase(owner)
            for tag in tags:
                assert (await api.get("/api/tasks", headers={"If-None-Match": tag})).status_code == 200
    assert len(set(tags)) == len(tags)


class TestIdempotencyKeys:
    def test_a_repeat_returns_the_same_task_as_it_is_now(self, ann: Person) -> None:
        headers = {"Idempotency-Key": "key"}
        first = ann.api.post("/api/tasks", json={"title": "x"}, headers=headers)
        assert "idempotency-replayed" not in first.headers
        changed = ann.api.patch(at(first.json()), json={"completed": True})
        again = ann.api.post("/api/tasks", json={"title": "x"}, headers=headers)
        assert (again.status_code, again.json()) == (201, changed.json())
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["etag"] == changed.headers["etag"]
        assert again.headers["location"] == first.headers["location"]
        assert len(ann.tasks()) == 1

    def test_of_twenty_concurrent_creations_with_one_key_one_makes_a_task(self, server: Server, ann: Person) -> None:
        same = [server.person(ann.user_id) for _ in range(20)]

        def create(person: Person) -> tuple[int, str, bool]:
            response = person.api.post("/api/tasks", json={"title": "x"}, headers={"Idempotency-Key": "key"})
            return response.status_code, response.json()["id"], "idempotency-replayed" in response.headers

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(create, same))
        assert {status for status, _, _ in answers} == {201}
        assert len({task_id for _, task_id, _ in answers}) == 1
        assert sum(replayed for _, _, replayed in answers) == 19
        assert len(ann.tasks()) == 1

    def test_another_body_is_422(self, ann: Person) -> None:
        headers = {"Idempotency-Key": "key"}
        ann.api.post("/api/tasks", json={"title": "x"}, headers=headers)
        is_problem(ann.api.post("/api/tasks", json={"title": "y"}, headers=headers), 422)
        assert [task["title"] for task in ann.tasks()] == ["x"]

    def test_a_repeat_after_the_deletion_is_404_and_makes_no_second_one(self, ann: Person) -> None:
        headers = {"Idempotency-Key": "key"}
        task = ann.api.post("/api/tasks", json={"title": "x"}, headers=headers).json()
        ann.api.delete(at(task))
        is_problem(ann.api.post("/api/tasks", json={"title": "x"}, headers=headers), 404)
        assert ann.tasks() == []

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_key_has_1_to_255_characters(self, ann: Person, key: str) -> None:
        is_problem(ann.api.post("/api/tasks", json={"title": "x"}, headers={"Idempotency-Key": key}), 400)
        assert ann.tasks() == []

    def test_a_key_of_255_characters_works(self, ann: Person) -> None:
        headers = [(b"Idempotency-Key", "é".encode("latin-1") * 255)]
        answers = [ann.api.post("/api/tasks", json={"title": "x"}, headers=headers) for _ in range(2)]
        assert [response.status_code for response in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()

    def test_an_invalid_body_does_not_use_the_key(self, ann: Person) -> None:
        headers = {"Idempotency-Key": "key"}
        is_problem(ann.api.post("/api/tasks", json={"title": ""}, headers=headers), 400)
        assert ann.api.post("/api/tasks", json={"title": "x"}, headers=headers).status_code == 201


class TestTwoPeople:
    """Nobody reads or changes another person's tasks, however they refer to them."""

    def test_by_path(self, ann: Person, bob: Person) -> None:
        task = ann.add()
        etag = ann.api.get(at(task)).headers["etag"]
        for headers in ({}, {"If-Match": etag}, {"If-Match": "*"}, {"If-None-Match": etag}):
            for response in (
                bob.api.get(at(task), headers=headers),
                bob.api.patch(at(task), json={"completed": True}, headers=headers),
                bob.api.put(at(task), json={"title": "Mine"}, headers=headers),
                bob.api.delete(at(task), headers=headers),
            ):
                is_problem(response, 403)
                assert task["title"] not in response.text
                assert ann.user_id not in response.text
                assert "etag" not in response.headers
        assert bob.api.head(at(task)).status_code == 403
        assert (ann.tasks(), bob.tasks()) == ([task], [])

    def test_by_body(self, ann: Person, bob: Person) -> None:
        task, mine = ann.add(), bob.add("Bob's")
        body = {**task, "title": "Bob's", "completed": True}
        assert bob.api.post("/api/tasks", json=body).json()["id"] != task["id"]
        assert bob.api.put(at(mine), json=body).json()["user_id"] == bob.user_id
        assert bob.api.patch(at(mine), json=body).json()["id"] == mine["id"]
        assert ann.tasks() == [task]

    def test_by_query(self, ann: Person, bob: Person) -> None:
        ann.add("Ann's secret")
        for query in (f"user_id={ann.user_id}", "q=secret", "limit=1000", "completed=false"):
            assert bob.api.get(f"/api/tasks?{query}").json() == []

    def test_by_cursor(self, ann: Person, bob: Person) -> None:
        for person in (ann, bob):
            for _ in range(3):
                person.add()
        where = ann.api.get("/api/tasks?limit=1").links["next"]["url"]
        is_problem(bob.api.get(where), 400)
        assert ann.api.get(where).json() == ann.tasks()[1:2]

    def test_by_etag(self, ann: Person, bob: Person) -> None:
        ann.add()
        tag = ann.api.get("/api/tasks").headers["etag"]
        assert bob.api.get("/api/tasks", headers={"If-None-Match": tag}).json() == []
        for person in (ann, bob):
            headers = person.api.get("/api/tasks").headers
            assert "Authorization" in headers["vary"]
            assert headers["cache-control"] == "private, no-cache"

    def test_by_idempotency_key(self, ann: Person, bob: Person) -> None:
        headers = {"Idempotency-Key": "key"}
        first = ann.api.post("/api/tasks", json={"title": "x"}, headers=headers)
        second = bob.api.post("/api/tasks", json={"title": "x"}, headers=headers)
        third = bob.api.post("/api/tasks", json={"title": "y"}, headers=headers)
        assert first.json()["id"] != second.json()["id"]
        assert "idempotency-replayed" not in second.headers
        assert third.status_code == 422
        assert (len(ann.tasks()), len(bob.tasks())) == (1, 1)
