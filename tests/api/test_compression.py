"""Long lists are compressed for clients that accept gzip."""

import json
import zlib

import pytest

from tests.support.builders import a_task, add_task, somebody
from tests.support.serving import Server, in_process
from todo.adapters.memory import MemoryTaskStore
from todo.domain.ports import PAGE_LENGTH
from todo.entrypoints.http.compression import accepts_gzip
from todo.entrypoints.http.tasks import FIRST_PAGE


@pytest.mark.parametrize(
    ("accept_encoding", "is_accepted"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZip", True),
        ("gzip, deflate, br, zstd", True),
        ("zstd, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("br", False),
        ("gzip;q=nonsense", False),
        ("x-gzip-not", False),
    ],
)
def test_gzip_is_used_where_the_client_accepts_it(accept_encoding: str | None, is_accepted: bool) -> None:
    assert accepts_gzip(accept_encoding) == is_accepted


@pytest.mark.parametrize("tasks", [10, FIRST_PAGE, FIRST_PAGE + 1, FIRST_PAGE + 2 * PAGE_LENGTH + 1])
async def test_a_list_is_the_same_compressed_whether_at_once_or_streamed(tasks: int) -> None:
    owner, store = somebody(), MemoryTaskStore()
    for number in range(tasks):
        await add_task(store, a_task(owner, f"Task number {number}"))
    async with in_process(store, owner) as api:
        plain = await api.get("/api/tasks", headers={"Accept-Encoding": "identity"})
        async with api.stream("GET", "/api/tasks", headers={"Accept-Encoding": "gzip"}) as response:
            raw = b"".join([part async for part in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert zlib.decompress(raw, wbits=31) == plain.content
    assert len(json.loads(plain.content)) == tasks
    assert len(raw) < len(plain.content) / 3
    assert response.headers["etag"] == f"W/{plain.headers['etag']}"
    assert "Accept-Encoding" in response.headers["vary"]
    assert "Accept-Encoding" in plain.headers["vary"]


def test_a_short_response_is_not_compressed(server: Server) -> None:
    ann = server.person()
    task = ann.add()
    for path in ("/api/tasks", f"/api/tasks/{task['id']}"):
        response = ann.api.get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in response.headers
        assert not response.headers["etag"].startswith("W/")


def test_the_etag_of_a_compressed_list_gets_304(server: Server) -> None:
    ann = server.person()
    for number in range(20):
        ann.add(f"Task number {number}")
    first = ann.api.get("/api/tasks", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert len(first.json()) == 20
    tag = {"If-None-Match": first.headers["etag"]}
    unchanged = ann.api.get("/api/tasks", headers=tag)
    assert (unchanged.status_code, unchanged.headers["etag"]) == (304, first.headers["etag"])
    ann.add()
    assert ann.api.get("/api/tasks", headers=tag).status_code == 200
