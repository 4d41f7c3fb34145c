"""An assistant: a client of the protocol, which runs `todo mcp` in a process of its own."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from mcp import Client, StdioServerParameters
from tests.support.serving import TODO, environment


class Assistant:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def use(self, tool: str, **arguments: Any) -> Any:
        """The result of a tool, which has to succeed."""
        result = await self.client.call_tool(tool, arguments)
        [content] = result.content
        assert isinstance(content, TextContent)
        assert not result.is_error, content.text
        assert json.loads(content.text) == result.structured_content
        return result.structured_content

    async def get_refusal(self, tool: str, **arguments: Any) -> str:
        """What a tool says that fails."""
        result = await self.client.call_tool(tool, arguments)
        [content] = result.content
        assert result.is_error
        assert isinstance(content, TextContent)
        assert "\n" not in content.text
        return content.text

    async def add(self, *titles: str) -> list[str]:
        """The ids of new tasks."""
        added = await self.use("add_tasks", tasks=[{"title": title} for title in titles])
        return [task["id"] for task in added["results"]]


@asynccontextmanager
async def assisting(directory: Path, *options: str, mode: str = "auto", **settings: str) -> AsyncIterator[Assistant]:
    """On the database below ``directory``, unless the settings or options say otherwise. Nothing may be on standard
    error in the end."""
    command = StdioServerParameters(
        command=str(TODO), args=["mcp", *options], env=make_environment(directory, settings), cwd=directory
    )
    printed = directory / "mcp.log"
    with printed.open("w") as log:
        async with Client(stdio_client(command, errlog=log), mode=mode) as client:
            yield Assistant(client)
    assert printed.read_text() == ""


def make_environment(directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return environment(**{"XDG_DATA_HOME": str(directory / "data"), "TODO_USER": "ann", **settings})
