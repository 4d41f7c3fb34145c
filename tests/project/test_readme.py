"""The README's commands print what it says."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.databases import sqlite_url
from tests.support.serving import SECRET, TODO, environment, serving

README = Path(__file__).parents[2] / "README.md"

VARIABLE = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "LOCAL TIME"),
]


def normalise(line: str) -> str:
    for pattern, name in VARIABLE:
        line = re.sub(pattern, name, line)
    return line.strip()


def read_commands() -> list[tuple[str, list[str]]]:
    """Each command of the README with its output, line by line."""
    section = re.search(r"<!-- A test runs.*?-->(.*)<!-- Here the test ends", README.read_text(), re.DOTALL)
    assert section is not None
    commands: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", section[1], re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(normalise(line))
    return commands


@pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="no curl on this machine")
def test_each_command_prints_what_the_readme_says(tmp_path: Path) -> None:
    database = sqlite_url(tmp_path / "todo.db")
    with serving(tmp_path, database) as server:
        script = ["set -eu"]
        for command, _ in read_commands():
            script += [
                command.replace(".venv/bin/todo", shlex.quote(str(TODO))).replace("http://127.0.0.1:8000", server.url),
                "printf '\\n\\036\\n'",
            ]
        run = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=tmp_path,
            env=environment(BETTER_AUTH_SECRET=SECRET, DATABASE_URL=database),
            capture_output=True,
            text=True,
            check=True,
        )
    outputs = run.stdout.split("\036\n")
    commands = read_commands()
    assert len(commands) > 12
    for (command, expected), output in zip(commands, outputs, strict=False):
        printed = [normalise(line) for line in output.splitlines() if line.strip()]
        # Of the headers, the README shows only some.
        assert [line for line in printed if line in expected] == expected, (command, output)
        if " -i " not in command:
            assert printed == expected, command


@pytest.mark.parametrize("page", [README, *README.parent.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_each_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)|<img src=\"([^\"]+)\"", page.read_text())
    assert [link for link in map("".join, links) if not (page.parent / link).exists()] == []


def test_the_readme_names_every_setting() -> None:
    from todo.settings import ClientSettings, ServerSettings

    for field in (*ServerSettings.__struct_fields__, *ClientSettings.__struct_fields__):
        assert f"`{field.upper()}`" in README.read_text()
