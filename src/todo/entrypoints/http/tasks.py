"""The routes of tasks. They translate, and call the use cases."""

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

import msgspec
from litestar import Controller, HttpMethod, Response, delete, get, patch, post, put, route
from litestar.di import NamedDependency
from litestar.response import Stream

from todo.domain.ports import PAGE_LENGTH
from todo.domain.task import Task
from todo.domain.tasks import Tasks
from todo.entrypoints.http.requests import (
    ApiRequest,
    NewTask,
    TaskChange,
    bad_body,
    body_of,
    header_of,
    idempotency_key_of,
    list_query_of,
    task_id_of,
)
from todo.wire import TaskDocument, etag, if_none_match_holds, json_array, revisions_of_if_match

# A task is its owner's: no shared cache keeps it, and a browser asks again before it shows it to whoever signed in.
_PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}

_encode = msgspec.json.Encoder().encode


class TaskController(Controller):
    path = "/tasks"

    @post()
    async def create(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> Response[bytes]:
        key = idempotency_key_of(request)
        body = await body_of(request, NewTask)
        added = await tasks.add(request.user, body.title, key=key)
        headers = {"Location": f"{_path(request)}/{added.task.id}"}
        if added.replayed:
            headers["Idempotency-Replayed"] = "true"
        return _document(added.task, status=HTTPStatus.CREATED, headers=headers)

    @get()
    async def list(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> Response[bytes] | Stream:
        query = list_query_of(request)
        # Read before the tasks: a change in between makes the tag too old, which costs one answer, never too new.
        revision = await tasks.revision(request.user)
        headers = {"ETag": etag(revision), **_PRIVATE}
        if if_none_match_holds(header_of(request, "if-none-match"), revision):
            return _not_modified(headers)
        page = await tasks.page(request.user, query.wanted, after=query.after, limit=query.limit or PAGE_LENGTH)
        if page.more and query.limit is None:
            rest = tasks.chunks(request.user, query.wanted, after=page.tasks[-1].position)
            array = json_array(_all(page.tasks, rest))
            if request.scope["http_version"] != "1.0":
                return Stream(array, media_type="application/json", headers=headers)
            # HTTP/1.0 knows no chunks.
            return Response(b"".join([part async for part in array]), media_type="application/json", headers=headers)
        if page.more:
            next_page = query.next_page(request.user, page.tasks[-1].position)
            headers["Link"] = f'<{_path(request)}?{next_page}>; rel="next"'
        return Response(_encode(_documents(page.tasks)), media_type="application/json", headers=headers)

    @get("/{task_id:str}")
    async def read(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> Response[bytes]:
        task = await tasks.read(request.user, task_id_of(request))
        if if_none_match_holds(header_of(request, "if-none-match"), task.revision):
            return _not_modified({"ETag": etag(task.revision), **_PRIVATE})
        return _document(task)

    @patch("/{task_id:str}")
    async def change(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> Response[bytes]:
        task_id = task_id_of(request)
        body = await body_of(request, TaskChange)
        title = None if body.title is msgspec.UNSET else body.title
        completed = None if body.completed is msgspec.UNSET else body.completed
        if title is None and completed is None:
            raise bad_body("Send title, completed, or both.")
        expected = revisions_of_if_match(header_of(request, "if-match"))
        return _document(await tasks.change(request.user, task_id, title=title, completed=completed, expected=expected))

    @put("/{task_id:str}")
    async def rename(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> Response[bytes]:
        task_id = task_id_of(request)
        body = await body_of(request, NewTask)
        expected = revisions_of_if_match(header_of(request, "if-match"))
        return _document(await tasks.change(request.user, task_id, title=body.title, expected=expected))

    @delete("/{task_id:str}")
    async def remove(self, request: ApiRequest, tasks: NamedDependency[Tasks]) -> None:
        expected = revisions_of_if_match(header_of(request, "if-match"))
        await tasks.remove(request.user, task_id_of(request), expected=expected)


# Registered before the controller: of several handlers at one path, Litestar's own OPTIONS names one method alone.
@route("/tasks", http_method=HttpMethod.OPTIONS, status_code=HTTPStatus.NO_CONTENT)
async def options_of_list() -> Response[None]:
    return Response(None, headers={"Allow": "GET, OPTIONS, POST"})


@route("/tasks/{task_id:str}", http_method=HttpMethod.OPTIONS, status_code=HTTPStatus.NO_CONTENT)
async def options_of_task() -> Response[None]:
    return Response(None, headers={"Allow": "DELETE, GET, OPTIONS, PATCH, PUT"})


def _path(request: ApiRequest) -> str:
    """The list's path, also where the service is mounted below another."""
    return f"{request.scope.get('root_path', '')}/api/tasks"


def _documents(tasks: Sequence[Task]) -> "list[TaskDocument]":
    return [TaskDocument.of(task) for task in tasks]


def _document(task: Task, *, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(
        _encode(TaskDocument.of(task)),
        status_code=status,
        media_type="application/json",
        headers={"ETag": etag(task.revision), **_PRIVATE, **(headers or {})},
    )


def _not_modified(headers: dict[str, str]) -> Response[bytes]:
    return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)


async def _all(first: Sequence[Task], rest: AsyncIterator[Sequence[Task]]) -> AsyncIterator[Sequence[Task]]:
    yield first
    async for tasks in rest:
        yield tasks
