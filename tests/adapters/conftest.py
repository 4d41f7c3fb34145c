import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

Loop = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Loop]:
    """What watches sockets is tried on the command line's loop and on a server's."""
    if "test_pool" in item.nodeid:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
