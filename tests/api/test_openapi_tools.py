"""Linters and generators of clients take the OpenAPI document as it is served."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.databases import sqlite_url
from tests.support.serving import serving

TOOLS = Path(__file__).parents[1] / "node_tools"
BINARIES = TOOLS / "node_modules" / ".bin"

pytestmark = pytest.mark.skipif(
    not os.environ.get("CI") and (shutil.which("node") is None or not BINARIES.is_dir()),
    reason="needs Node.js and `make tests/node_tools/node_modules`",
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        file.write_bytes(server.anybody.get("/openapi.json").content)
    (tmp_path / "node_modules").symlink_to(BINARIES.parent)
    return file


def run(directory: Path, program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [BINARIES / program, *arguments], cwd=directory, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_redocly_finds_no_error(document: Path) -> None:
    run(document.parent, "redocly", "lint", "--extends", "recommended", document)


def test_spectral_finds_nothing(document: Path) -> None:
    run(document.parent, "spectral", "lint", "--fail-severity", "hint", "-r", TOOLS / ".spectral.yaml", document)


def compile_strictly(directory: Path, *files: str) -> None:
    options = (
        "--strict --noEmit --target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom,dom.iterable"
    )
    run(directory, "tsc", *options.split(), *files)


def test_the_types_of_openapi_typescript_compile(document: Path) -> None:
    run(document.parent, "openapi-typescript", document, "-o", "types.ts")
    (document.parent / "use.ts").write_text(
        'import type { components } from "./types";\n'
        'export const title = (task: components["schemas"]["Task"]): string => task.title;\n'
    )
    compile_strictly(document.parent, "use.ts")


def test_the_client_of_hey_api_compiles(document: Path) -> None:
    run(document.parent, "openapi-ts", "-i", document, "-o", "client")
    (document.parent / "use.ts").write_text(
        'import { listTasks } from "./client";\n'
        "export const first = async () => (await listTasks({ query: { limit: 1 } })).data?.[0]?.title;\n"
    )
    compile_strictly(document.parent, "use.ts")
