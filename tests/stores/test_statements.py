"""How many commands each call sends to PostgreSQL, counted on the wire: BEGIN, COMMIT and pings would count too."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection
from psycopg.pq import Trace

from tests.support.builders import a_task, add_task, later, removal, somebody
from tests.support.serving import in_process
from todo.adapters.sql.postgresql.database import PostgresqlDatabase
from todo.adapters.sql.store import SqlTaskStore
from todo.adapters.time_zones import is_time_zone
from todo.domain.ports import Change, Selection
from todo.domain.refusals import NotYours, TaskNotFound
from todo.domain.task import Edit, Task, UserId
from todo.domain.use_cases import Tasks

OWNER = somebody()


class Wire:
    """What libpq sends, as it traces it itself."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = file
        self._opened = file.open("w")
        connect = AsyncConnection.connect

        async def connect_traced(*arguments: Any, **named: Any) -> "AsyncConnection[Any]":
            connection = await connect(*arguments, **named)
            connection.pgconn.trace(self._opened.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            return connection

        monkeypatch.setattr(AsyncConnection, "connect", connect_traced)

    def close(self) -> None:
        self._opened.close()

    def commands(self) -> int:
        """So far: of the simple and of the extended protocol."""
        lines = [line.split("\t") for line in self._file.read_text().splitlines()]
        return sum(line[0] == "F" and line[2] in ("Query", "Execute") for line in lines)


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire(tmp_path / "wire", monkeypatch)
    yield wire
    wire.close()


Act = Callable[[Tasks, Task], Awaitable[object]]


async def _whole_list(tasks: Tasks) -> int:
    return sum([len(page.tasks) async for page in tasks.pages(OWNER, Selection())])


async def _get_nothing(tasks: Tasks, actor: UserId, task_id: UUID | None = None) -> None:
    with pytest.raises((TaskNotFound, NotYours)):
        await tasks.read(actor, task_id or uuid4())


@pytest.mark.parametrize(
    ("act", "commands"),
    [
        pytest.param(lambda tasks, _: tasks.add(OWNER, Edit(title="x")), 1, id="create"),
        pytest.param(
            lambda tasks, _: tasks.add(OWNER, Edit(title="x"), key=str(uuid4())), 1, id="create with a new key"
        ),
        pytest.param(
            lambda tasks, _: tasks.add(OWNER, Edit(title="Buy milk"), key="used"), 2, id="create with a used key"
        ),
        pytest.param(lambda tasks, task: tasks.read(OWNER, task.id), 1, id="get"),
        pytest.param(lambda tasks, _: _get_nothing(tasks, OWNER), 2, id="get of a missing task"),
        pytest.param(lambda tasks, task: _get_nothing(tasks, somebody(), task.id), 2, id="get of another's task"),
        pytest.param(lambda tasks, _: tasks.page(OWNER, Selection(), after=None, limit=10), 1, id="page"),
        pytest.param(lambda tasks, _: tasks.version(OWNER), 1, id="unchanged list"),
        pytest.param(lambda tasks, _: _whole_list(tasks), 1, id="whole list"),
        pytest.param(lambda tasks, task: tasks.change(OWNER, task.id, Edit(completed=True)), 2, id="change"),
        pytest.param(lambda tasks, task: tasks.change(OWNER, task.id, Edit(completed=False)), 1, id="change nothing"),
        pytest.param(lambda tasks, task: tasks.remove(OWNER, task.id), 2, id="delete"),
    ],
)
async def test_each_use_case_costs_exactly_so_many_commands(
    postgresql: PostgresqlDatabase, wire: Wire, act: Act, commands: int
) -> None:
    store = SqlTaskStore(postgresql)
    tasks = Tasks(store, clock=lambda: later(1), new_id=uuid4, is_time_zone=is_time_zone)
    task = (await add_task(store, a_task(OWNER))).task
    await add_task(store, a_task(OWNER), "used")
    before = wire.commands()
    await act(tasks, task)
    assert wire.commands() - before == commands


async def test_each_request_costs_exactly_so_many_commands(postgresql: PostgresqlDatabase, wire: Wire) -> None:
    person = somebody()
    async with in_process(SqlTaskStore(postgresql), person) as api:
        task = (await api.post("/api/tasks", json={"title": "Buy milk"})).json()
        at = f"/api/tasks/{task['id']}"
        tag = (await api.get("/api/tasks")).headers["etag"]
        for method, path, body, headers, status, commands in [
            ("POST", "/api/tasks", {"title": "x"}, {}, 201, 1),
            ("GET", at, None, {}, 200, 1),
            ("GET", "/api/tasks?limit=1", None, {}, 200, 1),
            ("GET", "/api/tasks", None, {"If-None-Match": tag}, 200, 2),
            ("GET", "/api/tasks", None, {"If-None-Match": "of the list"}, 304, 1),
            ("PATCH", at, {"completed": True}, {}, 200, 2),
            ("PUT", at, {"title": "y"}, {"If-Match": "*"}, 200, 2),
            ("PUT", at, {"title": ""}, {}, 400, 0),
            ("DELETE", at, None, {}, 204, 2),
        ]:
            if headers == {"If-None-Match": "of the list"}:
                headers = {"If-None-Match": (await api.get("/api/tasks")).headers["etag"]}
            before = wire.commands()
            answer = await api.request(method, path, json=body, headers=headers)
            assert (method, path, answer.status_code, wire.commands() - before) == (method, path, status, commands)


async def test_several_changes_cost_one_command(postgresql: PostgresqlDatabase, wire: Wire) -> None:
    store, owner = SqlTaskStore(postgresql), somebody()
    first, second = [(await add_task(store, a_task(owner))).task for _ in range(2)]
    done = second.edit(Edit(completed=True), now=later(1))
    before = wire.commands()
    await store.apply(owner, [Change(None, a_task(owner)), removal(first), Change(second, done)])
    assert wire.commands() - before == 1
