"""The process `todo mcp`: what it lists, what it prints, when it ends, and what it needs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import get_error, run_todo
from tests.mcp.assistant import assisting, make_environment
from tests.support.secrets import found_in
from tests.support.serving import TODO, Server, run_python, signed

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}


@contextmanager
def talking(directory: Path, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has answered a call."""
    with subprocess.Popen(
        [TODO, "mcp"],
        cwd=directory,
        env=make_environment(directory, settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (INITIALIZE, INITIALIZED, LIST):
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        for message_id in (1, 2):
            assert json.loads(process.stdout.readline())["id"] == message_id
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_clients_of_both_eras_are_served(tmp_path: Path, mode: str, version: str) -> None:
    async with assisting(tmp_path, mode=mode) as assistant:
        assert assistant.client.protocol_version == version
        assert assistant.client.server_info is not None
        assert assistant.client.server_info.name == "todo"
        await assistant.add("Buy milk")


async def test_the_list_of_tools_is_short_and_says_what_they_do(tmp_path: Path) -> None:
    async with assisting(tmp_path) as assistant:
        listed = await assistant.client.list_tools()
    document = listed.model_dump_json(by_alias=True, exclude_none=True)
    assert len(document) / 4 < 2000  # about as many tokens
    hints = {}
    for tool in listed.tools:
        assert tool.description
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        known = tool.annotations
        hints[tool.name] = (known.read_only_hint, known.destructive_hint, known.idempotent_hint)
    assert hints == {
        "list_tasks": (True, None, None),
        "add_tasks": (None, False, False),
        "change_tasks": (None, True, True),
        "complete_tasks": (None, False, True),
        "remove_tasks": (None, True, True),
        "restore_tasks": (None, False, True),
    }


def test_the_end_of_standard_input_ends_it(tmp_path: Path) -> None:
    with talking(tmp_path) as process:
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0
    run = run_todo(tmp_path, "mcp")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN], ids=["in the foreground", "in the background"])
def _job(request: pytest.FixtureRequest) -> Iterator[None]:
    """A shell without job control starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_job")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_although_standard_input_is_open(tmp_path: Path, number: signal.Signals) -> None:
    with talking(tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - began < 5
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_client_that_goes_away_ends_it(tmp_path: Path) -> None:
    with talking(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(json.dumps(LIST | {"id": 3}) + "\n")
        process.stdin.flush()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def test_standard_output_carries_the_protocol_alone(tmp_path: Path) -> None:
    with talking(tmp_path) as process:
        call = LIST | {"id": 3, "params": {"name": "add_tasks", "arguments": {"tasks": [{"title": "Buy milk"}]}}}
        printed, errors = process.communicate(f"rubbish\n\n[]\n{json.dumps(call)[:-9]}\n", timeout=20)
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in printed.splitlines())
    assert "Buy milk" not in errors


class TestErrors:
    async def test_the_database_is_away(self, tmp_path: Path) -> None:
        async with assisting(tmp_path, DATABASE_URL="postgresql://127.0.0.1:1/x") as assistant:
            assert "can't be reached" in await assistant.get_refusal("list_tasks")

    async def test_the_server_is_away(self, tmp_path: Path) -> None:
        settings = {"TODO_SERVER": "http://127.0.0.1:1", "TODO_TOKEN": signed()}
        async with assisting(tmp_path, **settings) as assistant:
            assert "is away" in await assistant.get_refusal("list_tasks")

    async def test_the_token_is_rejected(self, tmp_path: Path, sqlite_server: Server) -> None:
        for token, sentence in ((signed({"exp": 0}), "has expired"), ("x", "not a signed JWT")):
            async with assisting(tmp_path, "--server", sqlite_server.url, TODO_TOKEN=token) as assistant:
                refusal = await assistant.get_refusal("list_tasks")
                assert sentence in refusal
                assert not found_in(refusal)

    async def test_the_database_is_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "todo.db").write_text("This is no database. " * 1000)
        async with assisting(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/todo.db") as assistant:
            assert await assistant.get_refusal("list_tasks")

    def test_a_setting_is_wrong(self, tmp_path: Path) -> None:
        assert get_error(run_todo(tmp_path, "mcp", "--server", "ftp://x"), status=2).startswith("--server ")


def test_it_says_which_extra_it_needs(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["mcp"] = None  # as if it were not installed
sys.argv = ["todo", "mcp"]
from todo.__main__ import main
main()
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert get_error(run, status=2) == "todo mcp needs the package mcp, which comes with the extra todo[mcp]"


def test_no_other_command_imports_the_package(tmp_path: Path) -> None:
    program = """
import sys
from todo.__main__ import main
for arguments in (["--help"], ["mcp", "--help"], ["list"]):
    sys.argv = ["todo", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code
assert not {"mcp", "mcp_types", "pydantic"} & set(sys.modules)
"""
    run_python(program, tmp_path, XDG_DATA_HOME=str(tmp_path))
