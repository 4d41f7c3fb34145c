"""The rules that the linters can't express."""

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest

import todo
from todo import wire
from todo.domain import refusals
from todo.domain.refusals import Refusal
from todo.settings import Settings

PACKAGE = Path(todo.__file__).parent
DOMAIN = sorted((PACKAGE / "domain").glob("*.py"))
ROOT = PACKAGE.parent.parent

# Of the standard library, what would let the world in.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "sys", "time"}


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("file", DOMAIN, ids=lambda file: file.name)
def test_the_domain_imports_the_pure_part_of_the_standard_library_alone(file: Path) -> None:
    for name in imports_of(file):
        top = name.split(".")[0]
        assert name.startswith("todo.domain.") or (top in sys.stdlib_module_names and top not in IMPURE), name


@pytest.mark.parametrize("file", DOMAIN, ids=lambda file: file.name)
def test_the_domain_asks_no_clock_and_no_dice(file: Path) -> None:
    called = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
    assert not called & {"now", "utcnow", "today", "uuid1", "uuid4", "uuid7", "getrandom"}


def test_the_domain_was_looked_at() -> None:
    assert {file.name for file in DOMAIN} >= {"task.py", "tasks.py", "ports.py", "refusals.py"}


def test_every_refusal_of_the_domain_has_a_status() -> None:
    named = {kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)}
    assert set(wire.STATUSES) == named - {Refusal}


def test_the_example_of_env_names_every_setting_and_no_other() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(field.upper() for field in Settings.__struct_fields__)


def test_the_lock_file_has_hashes_and_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    requirements = re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)
    assert len(requirements) > 50
    assert len(re.findall(r"^[a-z0-9-]+==[^\n]*\\\n    --hash=sha256:", lock, re.MULTILINE)) == len(requirements)
    assert "://" not in lock


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 350


def test_every_rule_of_the_import_linter_matches_something() -> None:
    """It sees to its own package's modules by itself, and takes any name of another one."""
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    forbidden = {
        name
        for section in contracts.sections()
        for name in contracts[section].get("forbidden_modules", "").split()
        if not name.startswith("todo.")
    }
    assert forbidden
    for name in forbidden:
        assert find_spec(name) is not None, name
