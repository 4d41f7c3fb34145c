import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Run, Todo
from tests.support.databases import sqlite_url
from tests.support.serving import Server, environment, serving
from todo.__main__ import main


@pytest.fixture
def todo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Todo:
    """As ``run_todo`` in ``tmp_path``, but in this process, which is much faster."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> Run:
        settings = {"XDG_DATA_HOME": str(tmp_path / "data"), **settings}
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(os, "environ", environment(**settings))
            patch.setattr(sys, "argv", ["todo", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode(errors="surrogateescape"))))
            with pytest.raises(SystemExit) as end:
                main()
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(arguments, end.value.code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def file_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests; each brings its own people."""
    directory = tmp_path_factory.mktemp("file-server")
    with serving(directory, sqlite_url(directory / "todo.db")) as server:
        yield server
