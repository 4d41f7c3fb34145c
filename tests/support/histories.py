"""Random histories of people who each change a list of their own, and follow the ETags of what they are answered.

Each person knows every state that their list has had, by its revision. So each answer can be judged: it must show the
list exactly as it was at some revision, and at none before that which the request has named.
"""

import asyncio
import random
import re
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx

from tests.support.serving import Server, signed
from todo.domain.task import UserId
from todo.http_contract.sealed_tokens import parse_sync_token

AT_ONCE = 16
ATTEMPTS = 40
PAUSE = 0.25  # seconds between two attempts

State = dict[str, tuple[str, bool, int]]
"""Of each task by its id: its title, whether it is completed, and its revision."""


class Person:
    def __init__(self, api: httpx.AsyncClient, dice: random.Random, statuses: Counter[int]) -> None:
        self._api = api
        self._dice = dice
        self._statuses = statuses
        self._user = UserId(f"history-{uuid4()}")
        self._authorization = {"Authorization": f"Bearer {signed({'sub': self._user})}"}
        self._states: list[State] = [{}]
        self._etag = "0"
        self._since: str | None = None
        self._copy: State = {}
        self._removed: list[str] = []

    async def step(self) -> None:
        writes = [self._add, self._change, self._change, self._remove, self._restore, self._batch]
        reads = [self._read, self._list, self._list_what_is_known, self._walk, self._follow, self._read_anything]
        chosen = self._dice.choice(writes if self._dice.random() < 0.4 else reads)
        await (chosen if self._states[-1] else self._add)()

    async def _add(self) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        answer = await self._send("POST", "/api/tasks", json={"title": _title()}, headers=key)
        self._record(answer.headers["etag"], _read_tasks([answer.json()]))

    async def _change(self) -> None:
        changes = {"title": _title(), "completed": self._dice.random() < 0.5}
        answer = await self._send("PATCH", f"/api/tasks/{self._choose()}", json=changes)
        self._record(answer.headers["etag"], _read_tasks([answer.json()]))

    async def _remove(self) -> None:
        task_id = self._choose()
        answer = await self._send("DELETE", f"/api/tasks/{task_id}", accepts=(204, 404))
        # A 404 says that an earlier attempt, which seemed to fail, has removed it.
        self._record(answer.headers.get("etag") or f'"{len(self._states)}"', {}, task_id)
        self._removed.append(task_id)

    async def _restore(self) -> None:
        if self._removed:
            task_id = self._removed.pop()
            answer = await self._send("POST", f"/api/trash/{task_id}/restore", accepts=(200, 404))
            if answer.status_code == 404:
                answer = await self._send("GET", f"/api/tasks/{task_id}", headers={"Min-Revision": str(2**63 - 1)})
            self._record(answer.headers["etag"], _read_tasks([answer.json()]))

    async def _batch(self) -> None:
        changed = self._choose()
        operations = [
            {"op": "change", "id": changed, "task": {"title": _title()}},
            {"op": "create", "task": {"title": _title()}},
        ]
        key = {"Idempotency-Key": str(uuid4())}
        answer = await self._send("POST", "/api/batch", json={"operations": operations}, headers=key)
        changed_task, new_task = (one["task"] for one in answer.json()["results"])
        self._record(f'"{changed_task["revision"]}"', _read_tasks([changed_task]))
        self._record(answer.headers["etag"], _read_tasks([new_task]))

    async def _read(self) -> None:
        task_id = self._choose()
        answer = await self._send("GET", f"/api/tasks/{task_id}", headers={"Min-Revision": self._etag})
        assert _read_tasks([answer.json()]) == {task_id: self._states[-1][task_id]}, "a stale task"

    async def _list(self) -> None:
        answer = await self._send("GET", "/api/tasks", headers={"Min-Revision": self._etag})
        self._check_list(answer, len(self._states) - 1)
        self._etag = answer.headers["etag"]

    async def _list_what_is_known(self) -> None:
        """With the tag of a list that this person has seen, which the answer must not be older than."""
        first = await self._send("GET", "/api/tasks", headers={"Min-Revision": self._etag})
        if self._dice.random() < 0.5:
            await self._add()
        known = first.headers["etag"]
        answer = await self._send("GET", "/api/tasks", headers={"If-None-Match": known}, accepts=(200, 304))
        if answer.status_code == 200:
            self._check_list(answer, _read_revision(known))

    async def _walk(self) -> None:
        """In pages, of which none may be from before the last."""
        path: str | None = "/api/tasks?limit=2"
        headers = {"Min-Revision": self._etag}
        found: State = {}
        while path is not None:
            answer = await self._send("GET", path, headers=headers)
            found |= _read_tasks(answer.json())
            headers = {}  # the cursor names it
            path = answer.links.get("next", {}).get("url")
        assert found == self._states[-1], "a stale page"

    async def _follow(self) -> None:
        more, headers = True, {"Min-Revision": self._etag} if self._dice.random() < 0.5 else {}
        while more:
            query = "" if self._since is None else f"?since={self._since}"
            answer = await self._send("GET", f"/api/changes{query}", headers=headers)
            page = answer.json()
            self._copy |= _read_tasks(page["changed"])
            for task_id in page["removed"]:
                self._copy.pop(task_id, None)
            before = self._get_revision(self._since)
            self._since, more = page["next"], page["more"]
            assert self._get_revision(self._since) >= before, "changes from before the last"
        revision = self._get_revision(self._since)
        assert not headers or revision == len(self._states) - 1, "stale changes"
        assert self._copy == self._states[revision], "a copy that never was"

    async def _read_anything(self) -> None:
        """Without naming a revision: no error, and a state that the list has had."""
        self._check_list(await self._send("GET", "/api/tasks"), 0)

    def _check_list(self, answer: httpx.Response, least: int) -> None:
        revision = _read_revision(answer.headers["etag"])
        assert revision >= least, "a stale list"
        assert _read_tasks(answer.json()) == self._states[revision], "a list that never was"

    def _choose(self) -> str:
        return self._dice.choice(list(self._states[-1]))

    def _record(self, etag: str, changed: State, removed: str = "") -> None:
        self._etag = etag
        if _read_revision(etag) == len(self._states):
            kept = {task_id: task for task_id, task in self._states[-1].items() if task_id != removed}
            self._states.append(kept | changed)
        assert _read_revision(etag) == len(self._states) - 1, "a change that nobody made"

    def _get_revision(self, token: str | None) -> int:
        point = parse_sync_token(self._user, token) if token else None
        return point.version.revision if point else 0

    async def _send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, accepts: Any = (200, 201), **rest: Any
    ) -> httpx.Response:
        """Tries again while there is no primary, as clients do. A read that names nothing must succeed at once."""
        is_unnamed_read = (method, path, headers) == ("GET", "/api/tasks", None)
        for last in range(ATTEMPTS, 0, -1):
            answer = await self._api.request(method, path, headers={**self._authorization, **(headers or {})}, **rest)
            self._statuses[answer.status_code] += 1
            if answer.status_code in accepts:
                return answer
            assert answer.status_code == 503, f"{method} {path}: {answer.status_code}"
            assert last > 1, "the primary stays away"
            assert not is_unnamed_read, "the standby was to answer"
            await asyncio.sleep(PAUSE)
        raise AssertionError


def _title() -> str:
    return f"task {uuid4()}"


def _read_tasks(tasks: list[dict[str, Any]]) -> State:
    return {task["id"]: (task["title"], task["completed"], task["revision"]) for task in tasks}


def _read_revision(etag: str) -> int:
    found = re.match(r'(?:W/)?"(\d+)[."]', etag)
    assert found is not None, etag
    return int(found[1])


async def run_histories(server: Server, people: int, steps: int, seed: int = 0) -> Counter[int]:
    """``steps`` of each person, interleaved. Returns the statuses of all answers."""
    dice, statuses = random.Random(seed), Counter[int]()
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, timeout=20, limits=limits) as api:
        turns = [person for person in (Person(api, dice, statuses) for _ in range(people)) for _ in range(steps)]
        dice.shuffle(turns)
        busy: set[Person] = set()

        async def work() -> None:
            while turns:
                person = turns.pop()
                if person in busy:
                    turns.insert(dice.randrange(len(turns) + 1), person)
                    await asyncio.sleep(0)
                    continue
                busy.add(person)
                try:
                    await person.step()
                finally:
                    busy.discard(person)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return statuses
