"""What the service uses of libraries beyond their documented API. A test fails by name when it is gone."""

import inspect
import tomllib
from pathlib import Path

import pytest
import uvicorn
from litestar import get
from uvicorn.server import ServerState

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_litestars_function_of_a_route_handler() -> None:
    async def handle() -> str:
        return ""

    assert get("/")(handle).fn is handle


def test_uvicorns_call_of_its_setting_http() -> None:
    assert {"connections", "tasks", "total_requests", "default_headers"} <= set(vars(ServerState()))
    assert inspect.signature(uvicorn.Server.shutdown).parameters.keys() == {"self", "sockets"}
    config = uvicorn.Config(lambda: None, http=object, log_config=None)  # type: ignore[arg-type] # any class will do
    config.load()
    assert config.http_protocol_class is object
    assert callable(config.loaded_app)


@pytest.mark.parametrize("name", ["litestar", "uvicorn"])
def test_a_library_whose_private_api_is_used_is_bound_to_its_minor_release(name: str) -> None:
    [bounds] = [need.removeprefix(name) for need in PROJECT["dependencies"] if need.startswith(f"{name}>=")]
    lowest, upper = bounds.removeprefix(">=").split(",<")
    major, minor = map(int, lowest.split(".")[:2])
    assert upper == f"{major}.{minor + 1}"
