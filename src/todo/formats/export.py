"""Everything of a person as one file, sent part by part as it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.json import encode

from todo.domain.ports import Page, Trash
from todo.domain.task import Task
from todo.formats.own import FORMAT
from todo.formats.writing import WRITERS
from todo.http_contract.documents import encode_pages, encode_trash


class Form(NamedTuple):
    media_type: str
    suffix: str  # of a file's name


FORMS: Final[Mapping[str, Form]] = {
    "json": Form("application/json", "json"),
    "csv": Form("text/csv; charset=utf-8; header=present", "csv"),
    "ics": Form("text/calendar; charset=utf-8", "ics"),
    "todotxt": Form("text/plain; charset=utf-8", "txt"),
}
"""By the names of the HTTP contract."""


def export(
    form: str, tasks: AsyncIterator[Page], trash: AsyncIterator[Trash], exported_at: datetime
) -> AsyncGenerator[bytes, None]:
    """The parts of the file. Only JSON has the trash; for the others it is not read."""
    return _export_json(tasks, trash, exported_at) if form == "json" else _export_text(form, tasks)


async def _export_json(
    tasks: AsyncIterator[Page], trash: AsyncIterator[Trash], exported_at: datetime
) -> AsyncGenerator[bytes, None]:
    head = encode({"format": FORMAT, "exported_at": exported_at})
    yield head.removesuffix(b"}") + b',"tasks":'
    async for part in encode_pages(tasks):
        yield part
    yield b',"trash":'
    async for part in encode_pages(trash, encode_trash):
        yield part
    yield b"}"


async def _export_text(form: str, pages: AsyncIterator[Page]) -> AsyncGenerator[bytes, None]:
    """The writers take an iterator and do not wait, so they run in a thread, which gets the pages from here. A calendar
    takes 0.2 ms for each task, for which no other request should wait."""
    loop = asyncio.get_running_loop()

    async def read_page() -> Page | None:
        return await anext(pages, None)

    def read_tasks() -> Iterator[Task]:
        while (page := asyncio.run_coroutine_threadsafe(read_page(), loop).result()) is not None:
            yield from page.tasks

    parts = WRITERS[form](read_tasks())
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part
