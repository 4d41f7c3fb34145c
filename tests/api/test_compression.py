"""Long lists come compressed to those who say that they understand it."""

import json
import zlib

import httpx
import pytest
from backports import zstd

from tests.support.builders import a_task, somebody
from tests.support.serving import Server, in_process
from todo.adapters.memory import MemoryTaskStore
from todo.domain.ports import PAGE_LENGTH
from todo.entrypoints.http.compression import coding_for
from todo.entrypoints.http.tasks import FIRST_STRETCH


def decoded(answer: httpx.Response, raw: bytes) -> bytes:
    match answer.headers.get("content-encoding"):
        case "gzip":
            return zlib.decompress(raw, wbits=31)
        case "zstd":
            return zstd.decompress(raw)
        case None:
            return raw
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0.1, gzip;q=0", "zstd"),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("*", "gzip"),
        ("*;q=0", None),
        ("br", None),
        ("gzip;q=nonsense", None),
        ("x-gzip-not", None),
    ],
)
def test_the_coding_is_what_the_client_likes_best(accepted: str | None, coding: str | None) -> None:
    assert coding_for(accepted) == coding


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("tasks", [10, FIRST_STRETCH, FIRST_STRETCH + 1, FIRST_STRETCH + 2 * PAGE_LENGTH + 1])
async def test_a_list_is_the_same_compressed_whether_at_once_or_streamed(coding: str, tasks: int) -> None:
    owner, store = somebody(), MemoryTaskStore()
    for number in range(tasks):
        await store.add(a_task(owner, f"Task number {number}"))
    async with in_process(store, owner) as api:
        plain = await api.get("/api/tasks", headers={"Accept-Encoding": "identity"})
        async with api.stream("GET", "/api/tasks", headers={"Accept-Encoding": coding}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == coding
    assert decoded(answer, raw) == plain.content
    assert len(json.loads(plain.content)) == tasks
    assert len(raw) < len(plain.content) / 3
    assert answer.headers["etag"] == f"W/{plain.headers['etag']}"
    assert "Accept-Encoding" in answer.headers["vary"]
    assert "Accept-Encoding" in plain.headers["vary"]


def test_what_is_short_is_sent_as_it_is(server: Server) -> None:
    ann = server.person()
    task = ann.add()
    for path in ("/api/tasks", f"/api/tasks/{task['id']}"):
        answer = ann.api.get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers
        assert not answer.headers["etag"].startswith("W/")


def test_the_tag_of_a_compressed_list_spares_the_next_one(server: Server) -> None:
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
