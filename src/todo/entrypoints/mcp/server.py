"""Serves the tools over standard input and output, which carry the protocol alone."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib.metadata import version
from typing import Any

import anyio
import msgspec
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations

from todo.domain.refusals import Refusal
from todo.domain.task import UserId
from todo.domain.use_cases import Tasks
from todo.entrypoints.mcp.tools import TOOLS, AddTasks, make_schema, read_arguments
from todo.settings import InvalidSetting

OpenSession = Callable[..., AbstractAsyncContextManager[tuple[Tasks, UserId]]]
"""Takes ``may_create``: whether a database without a schema gets one."""

_logger = logging.getLogger(__name__)


def run(open_session: OpenSession) -> None:
    """Until the client closes standard input, or a signal ends the process."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")  # to standard error
    try:
        asyncio.run(_serve(open_session))
    except* (KeyboardInterrupt, asyncio.CancelledError, BrokenPipeError):
        pass


async def _serve(open_session: OpenSession) -> None:
    """Each call has a session of its own: an assistant calls rarely, and a database that can't be reached now may be
    there for the next call."""

    async def list_tools(*_: Any) -> ListToolsResult:
        return ListToolsResult(tools=_TOOLS)

    async def call_tool(_: Any, call: CallToolRequestParams) -> CallToolResult:
        try:
            arguments = read_arguments(call.name, call.arguments or {})
            async with open_session(may_create=isinstance(arguments, AddTasks)) as (tasks, user):
                result = await arguments.use(tasks, user)
        except (Refusal, InvalidSetting) as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
        except Exception as error:  # noqa: BLE001 - a stack would show titles
            sentence = f"This is a bug in todo, please report it: {type(error).__name__}"
            _logger.error(sentence)  # noqa: TRY400 - as above
            return CallToolResult(content=[TextContent(text=sentence)], is_error=True)
        text = msgspec.json.encode(result).decode()  # for clients that do not know structured content
        return CallToolResult(content=[TextContent(text=text)], structured_content=result)

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):  # not as asyncio does: a job in the background ignores SIGINT
        signal.signal(number, lambda *_: task.get_loop().call_soon_threadsafe(task.cancel))
    server = Server("todo", version=version("todo"), on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server(stdin=_StandardInput()) as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


_TOOLS = [
    Tool(
        name=name,
        description=kind.__doc__,
        input_schema=make_schema(kind),
        annotations=ToolAnnotations(**kind.hints, open_world_hint=False),
    )
    for name, kind in TOOLS.items()
]


class _StandardInput(anyio.AsyncFile[str]):
    """Read by a daemon thread. The SDK's own reader can't be cancelled, so that a signal would end nothing until the
    client sends another line."""

    def __init__(self) -> None:
        super().__init__(open(0, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115 - open to the end
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        threading.Thread(target=self._read, args=[asyncio.get_running_loop()], daemon=True).start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop has ended
            for line in self.wrapped:
                loop.call_soon_threadsafe(self._lines.put_nowait, line)
            loop.call_soon_threadsafe(self._lines.put_nowait, "")

    async def readline(self) -> str:
        return await self._lines.get()
