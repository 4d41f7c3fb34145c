"""Runs the program as a shell does, in a process of its own."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.serving import TODO, environment

Run = subprocess.CompletedProcess[str]
Todo = Callable[..., Run]


def run_todo(directory: Path, *arguments: str, stdin: str = "", **settings: str) -> Run:
    """Runs a command in ``directory``, below which its data are, until it ends."""
    return subprocess.run(
        [TODO, *arguments],
        cwd=directory,
        env=environment(**{"XDG_DATA_HOME": str(directory / "data"), **settings}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def get_id(run: Run) -> str:
    """Of the task that a command printed."""
    assert run.returncode == 0, run.stderr
    return run.stdout.split()[0]


def get_error(run: Run, status: int = 1) -> str:
    """The one line that a command printed when it failed; it printed nothing else."""
    assert (run.returncode, run.stdout) == (status, ""), run.stderr
    line = re.fullmatch("todo: ([^\n]+)\n", run.stderr)
    assert line is not None, run.stderr
    return line[1]
