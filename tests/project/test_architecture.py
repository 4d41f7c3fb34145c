"""Rules of the architecture that the linters can't express."""

import ast
import dataclasses
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from typing import get_type_hints

import pytest

import todo
from todo.domain import refusals
from todo.domain.fields import Unset
from todo.domain.refusals import Refusal
from todo.domain.task import FIELDS, Edit
from todo.http_contract.documents import STATUSES
from todo.settings import ClientSettings, ServerSettings

PACKAGE = Path(todo.__file__).parent
DOMAIN = sorted((PACKAGE / "domain").glob("*.py"))
ROOT = PACKAGE.parent.parent

# What the domain may import of the standard library: modules, and of some only these names.
PURE_MODULES = {"collections.abc", "dataclasses", "enum", "hashlib", "json", "re", "typing", "unicodedata"}
PURE_NAMES = {"datetime": {"date", "datetime", "time", "timedelta", "UTC"}, "uuid": {"UUID"}}
# Attributes that read a clock or make random values, and functions that do I/O.
IMPURE_ATTRIBUTES = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "getrandom", "urandom"}
IMPURE_FUNCTIONS = {"open", "print", "input", "exec", "eval", "__import__"}


def find_impurities(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [name.name for name in names if name.name not in PURE_MODULES]
            case ast.ImportFrom(module=str(module), names=names) if not module.startswith("todo.domain"):
                allowed = PURE_NAMES.get(module, set())
                found += [f"{module}.{name.name}" for name in names if name.name not in allowed]
                if module in PURE_MODULES:
                    found = [name for name in found if not name.startswith(f"{module}.")]
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                found.append(name)
            case ast.Name(id=name) if name in IMPURE_FUNCTIONS:
                found.append(name)
    return found


@pytest.mark.parametrize("file", DOMAIN, ids=lambda file: file.name)
def test_the_domain_is_pure(file: Path) -> None:
    assert find_impurities(file.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from uuid import uuid4",
        "from uuid import UUID, uuid7 as new_id",
        "import uuid",
        "import random",
        "from os import urandom",
        "from time import time",
        "from datetime import datetime\ndatetime.now()",
        "open('file')",
        "print('here')",
        "import msgspec",
        "from todo.http_contract import lists",
        "from todo.adapters.memory import MemoryTaskStore",
    ],
)
def test_an_impure_domain_would_be_noticed(source: str) -> None:
    assert find_impurities(source)


def test_the_domain_was_found() -> None:
    assert {file.name for file in DOMAIN} >= {"fields.py", "ports.py", "refusals.py", "task.py", "use_cases.py"}


def test_every_refusal_of_the_domain_has_a_status() -> None:
    named = {kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)}
    assert set(STATUSES) == named - {Refusal}


def test_an_edit_can_set_each_field_that_has_a_rule_and_no_other() -> None:
    types = get_type_hints(Edit)
    assert {field.name: types[field.name] for field in dataclasses.fields(Edit) if field.init} == {
        name: (kind | None if rule.is_clearable else kind) | Unset for name, kind, rule in FIELDS
    }


def test_a_parametrised_test_without_cases_fails(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "tests").mkdir()
    case = 'import pytest\n\n@pytest.mark.parametrize("case", [])\ndef test_it(case): ...\n'
    (tmp_path / "tests" / "test_nothing.py").write_text(case)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "Empty parameter set" in run.stdout


def test_the_example_of_env_names_every_setting_and_no_other() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    fields = (*ServerSettings.__struct_fields__, *ClientSettings.__struct_fields__)
    assert sorted(named) == sorted(field.upper() for field in fields)


def read_lock(name: str) -> list[str]:
    """Its requirements, each of which has a version and a hash."""
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    requirements = re.findall(r"^([a-z0-9-]+==\S+).*\\\n    --hash=sha256:", lock, re.MULTILINE)
    assert len(requirements) == len(re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE))
    return requirements


def test_what_is_deployed_has_the_versions_of_what_is_tested() -> None:
    deployed, tested = read_lock("requirements.lock"), read_lock("requirements-dev.lock")
    assert len(deployed) > 20
    assert set(deployed) < set(tested)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300


def test_every_package_in_a_rule_of_the_import_linter_exists() -> None:
    """It checks the names of this package's modules itself, but accepts any other name."""
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
