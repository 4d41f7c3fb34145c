"""A new field touches six files: the four edited here, one of the documents, and a test. This is the recipe."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.serving import environment

ROOT = Path(__file__).parents[2]

EDITS: dict[str, list[tuple[str, str]]] = {
    "src/todo/domain/task.py": [
        ("    owner: UserId\n", "    example_note: Annotated[str | None, Text(max_length=200)]\n    owner: UserId\n"),
        ("    named: dict", "    example_note: str | None | Unset = UNSET\n    named: dict"),
    ],
    "src/todo/adapters/sql/tables.py": [
        ('SCHEMA_VERSION = "0001"', 'SCHEMA_VERSION = "0002"'),
        ('    Column("completed", ', '    Column("example_note", Text),\n    Column("completed", '),
    ],
    "src/todo/entrypoints/cli/output.py": [
        ('        ("done", ', '        ("note", escape(task.example_note or "")),\n        ("done", '),
    ],
}

MIGRATION = "src/todo/adapters/sql/migrations/versions/0002_example_note.py"

MIGRATION_TEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("example_note", sa.Text()))


def downgrade() -> None:
    op.drop_column("tasks", "example_note")
"""

USE = """
import asyncio, os
import httpx
from todo.composition import open_database, sign_token
from todo.domain.task import Edit, UserId
from todo.entrypoints.http import openapi
from todo.entrypoints.http.application import make_app_from_settings
from todo.http_contract.documents import change_body, creation_body, decode_task
from todo.settings import ServerSettings, load_settings

async def use():
    settings = load_settings(ServerSettings, os.environ, None)
    async with open_database(settings) as database:
        await database.upgrade()
    token = sign_token(settings, UserId("ann"), __import__("datetime").timedelta(hours=1))
    transport = httpx.ASGITransport(make_app_from_settings(settings))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as api:
        plain = (await api.post("/api/tasks", json={"title": "Plain"})).json()
        assert plain["example_note"] is None, plain
        noted = (await api.post("/api/tasks", json={"title": "Noted", "example_note": " two pints "})).json()
        path = f"/api/tasks/{noted['id']}"
        assert noted["example_note"] == " two pints ", noted
        assert (await api.get(path)).json() == noted
        assert (await api.get("/api/tasks")).json() == [noted, plain]
        renamed = (await api.put(path, json={"title": "Renamed", "example_note": "ignored"})).json()
        assert renamed["example_note"] == " two pints ", renamed
        refused = await api.patch(path, json={"example_note": "x" * 201})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/example_note"), refused.json()
        refused = await api.patch(path, json={"example_note": 7})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/example_note"), refused.json()
        cleared = (await api.patch(path, json={"example_note": None})).json()
        assert (cleared["title"], cleared["example_note"]) == ("Renamed", None), cleared
        changed = await api.patch(path, json={"example_note": "one pint"})
    task = decode_task(changed.content)
    assert creation_body(task)["example_note"] == "one pint"
    assert change_body(task._replace(example_note=None), task) == {"example_note": "one pint"}
    schemas = openapi.make_document("/")["components"]["schemas"]
    assert all("example_note" in schemas[name]["properties"] for name in ("Task", "NewTask", "TaskChange"))
    assert "example_note" not in schemas["Rename"]["properties"]

asyncio.run(use())
"""


def test_a_field_is_added_in_six_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in EDITS.items():
        text = (tmp_path / name).read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{name}: {old}"
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    (tmp_path / MIGRATION).write_text(MIGRATION_TEXT)
    settings = environment(
        PYTHONPATH=str(tmp_path / "src"),
        DATABASE_URL=f"sqlite:///{tmp_path}/todo.db",
        BETTER_AUTH_SECRET="a secret that only this test knows",
        TODO_USER="ann",
    )

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-c", USE)
    newest = run("-m", "todo", "list", "--search", "Renamed").split()[0]
    assert "note      one pint" in run("-m", "todo", "show", newest)
    document, test = 1, 1
    assert len({*EDITS, MIGRATION}) + document + test <= 6
