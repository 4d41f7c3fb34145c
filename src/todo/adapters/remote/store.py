"""The TaskStore that calls a todo server: the client's end of the HTTP contract."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from todo.adapters.remote.server import TIMEOUT, Server
from todo.domain.ports import PAGE_LENGTH, Applied, Change, IdempotencyKey, Known, ListVersion, Page, Selection, Trash
from todo.domain.refusals import NotYours, TaskChanged, TaskNotFound
from todo.domain.task import Position, RemovedTask, Task, UserId
from todo.http_contract.batches import decode_results, operation_body
from todo.http_contract.documents import change_body, creation_body, decode_task, decode_tasks, decode_trash
from todo.http_contract.entity_tags import format_task_etag
from todo.http_contract.list_query import list_query, trash_query
from todo.http_contract.min_revision import format_min_revision, parse_versions


class RemoteTaskStore:
    """``get_token`` returns a person's token, from which the server knows whose tasks are meant.

    Of attempts see Server; additions are repeatable, because each has an Idempotency-Key. Every call may raise
    NotATodoServer and Untrusted.
    """

    def __init__(
        self, url: str, get_token: Callable[[UserId], str], *, timeout: float = TIMEOUT, attempts: int | None = None
    ) -> None:
        self._server = Server(url, get_token, timeout=timeout, attempts=attempts)

    async def close(self) -> None:
        await self._server.close()

    async def get(self, owner: UserId, task_id: UUID, *, at_least: ListVersion | None = None) -> Task:
        headers = {"Min-Revision": format_min_revision(at_least)}
        response = await self._server.request(owner, "GET", f"/tasks/{task_id}", headers=headers, is_repeatable=True)
        return self._server.decode(response, decode_task)

    async def list(
        self,
        owner: UserId,
        wanted: Selection,
        *,
        after: Position | None = None,
        limit: int = PAGE_LENGTH,
        at_least: ListVersion | None = None,
    ) -> Page:
        headers = {"Min-Revision": format_min_revision(at_least)}
        query = list_query(owner, wanted, limit, after)
        response = await self._server.request(owner, "GET", "/tasks", headers=headers, params=query, is_repeatable=True)
        return Page(
            self._server.decode(response, decode_tasks), "next" in response.links, self._read_version(owner, response)
        )

    async def find(self, owner: UserId, ids: Collection[UUID], new: Collection[UUID], *, now: datetime) -> Known:
        """One request for each id that is not new; the server looks for those that are when it adds them."""
        tasks: dict[UUID, Task] = {}
        missing: set[UUID] = set()
        others: set[UUID] = set()

        async def find_one(task_id: UUID) -> None:
            try:
                async with at_once:
                    tasks[task_id] = await self.get(owner, task_id)
            except TaskNotFound:
                missing.add(task_id)
            except NotYours:
                others.add(task_id)

        at_once = asyncio.Semaphore(8)
        await asyncio.gather(*(find_one(task_id) for task_id in ids if task_id not in new))
        trash = self._read_trash(owner, now)
        removed = {one.task.id: one async for one in trash if one.task.id in missing} if missing else {}
        return Known(tasks, removed, others)

    async def version(self, owner: UserId, *, at_least: ListVersion | None = None) -> ListVersion:
        # Not HEAD: a refusal would have no sentence.
        return (await self.list(owner, Selection(), limit=1, at_least=at_least)).version

    async def apply(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None = None) -> Applied:
        if len(changes) > 1 or (key is not None and key.note is not None):
            return await self._apply_all(owner, changes, key)
        [(before, after)] = changes
        if before is None:
            assert isinstance(after, Task)
            return await self._add(owner, after, key)
        try:
            if isinstance(before, RemovedTask):
                response = await self._server.request(owner, "POST", f"/trash/{before.task.id}/restore")
                return self._decode_applied(response)
            headers = {"If-Match": format_task_etag(before.revision)}
            if isinstance(after, RemovedTask):
                response = await self._server.request(owner, "DELETE", f"/tasks/{before.id}", headers=headers)
                return Applied([], self._read_version(owner, response).revision)
            body = change_body(before, after)
            response = await self._server.request(owner, "PATCH", f"/tasks/{before.id}", headers=headers, json=body)
        except TaskNotFound:
            raise TaskChanged from None
        return self._decode_applied(response)

    async def trash(
        self,
        owner: UserId,
        *,
        now: datetime,  # noqa: ARG002 - the server has its own
        before: int | None = None,
        limit: int = PAGE_LENGTH,
    ) -> Trash:
        query = trash_query(owner, limit, before)
        response = await self._server.request(owner, "GET", "/trash", params=query, is_repeatable=True)
        return Trash(self._server.decode(response, decode_trash), "next" in response.links)

    async def get_removed(self, owner: UserId, task_id: UUID, *, now: datetime) -> RemovedTask:
        async for one in self._read_trash(owner, now):
            if one.task.id == task_id:
                return one
        raise TaskNotFound

    async def _read_trash(self, owner: UserId, now: datetime) -> AsyncIterator[RemovedTask]:
        before, more = None, True
        while more:
            removed, more = await self.trash(owner, now=now, before=before)
            for one in removed:
                yield one
                before = one.task.revision

    async def recall(self, owner: UserId, key: IdempotencyKey, *, now: datetime) -> str | None:  # noqa: ARG002 - the server does
        return None

    async def purge(self, owner: UserId, task_id: UUID | None = None) -> None:
        await self._server.request(owner, "DELETE", "/trash" if task_id is None else f"/trash/{task_id}")

    async def _add(self, owner: UserId, task: Task, key: IdempotencyKey | None) -> Applied:
        headers = {"Idempotency-Key": str(uuid4()) if key is None else key.text}
        body = creation_body(task)
        response = await self._server.request(owner, "POST", "/tasks", headers=headers, json=body, is_repeatable=True)
        # With a key of our own, a replay only means that an earlier response was lost.
        replayed = key is not None and response.headers.get("Idempotency-Replayed") == "true"
        return self._decode_applied(response, replayed=replayed)

    async def _apply_all(self, owner: UserId, changes: Sequence[Change], key: IdempotencyKey | None) -> Applied:
        headers = {} if key is None else {"Idempotency-Key": key.text}
        body = {"operations": [operation_body(change) for change in changes]}
        # Sent again, additions change nothing; a change that names a revision would be refused, although it was made.
        is_repeatable = key is not None or all(change.before is None for change in changes)
        options: dict[str, Any] = {"headers": headers, "json": body, "is_repeatable": is_repeatable}
        try:
            response = await self._server.request(owner, "POST", "/batch", **options)
        except (NotYours, TaskNotFound):
            raise TaskChanged from None
        results = self._server.decode(response, decode_results)
        repeated = {task.id for status, task in results if task is not None and status == 200}
        tasks = [task for _, task in results if task is not None]
        return Applied(tasks, self._read_version(owner, response).revision, repeated=repeated)

    def _decode_applied(self, response: httpx.Response, *, replayed: bool = False) -> Applied:
        task = self._server.decode(response, decode_task)
        return Applied([task], task.revision, replayed)

    def _read_version(self, owner: UserId, response: httpx.Response) -> ListVersion:
        versions = parse_versions(owner, response.headers.get("ETag", ""))
        if not versions:
            raise self._server.explain_no_contract(response)
        return versions[0]
