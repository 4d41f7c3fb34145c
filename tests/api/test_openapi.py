"""The service behaves as /openapi.json says."""

import subprocess
import sys
from pathlib import Path

from tests.support.serving import Person, Server

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    person = server.person()
    # nginx answers TRACE by itself, without an Allow header.
    excluded = ["--exclude-checks=unsupported_method"] if server.url.startswith("https:") else []
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={CONFIGURATION}",
            "run",
            f"{server.url}/openapi.json",
            f"--header=Authorization: Bearer {person.token}",
            "--checks=all",
            "--exclude-operation-id=listen",  # which has no end
            *excluded,
            "--tls-verify=false",
            "--max-examples=15",
            "--generation-database=none",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert "Tested: 15" in run.stdout


def test_it_is_openapi_3_1_with_bearer_authentication(server: Server) -> None:
    document = server.anybody.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_operation_names_the_errors_of_the_contract(server: Server) -> None:
    document = server.anybody.get("/openapi.json").json()
    promised = {
        ("/api/tasks", "post"): "201 400 401 404 413 415 422 500 503",
        ("/api/tasks", "get"): "200 304 400 401 500 503",
        ("/api/tasks/{id}", "get"): "200 304 400 401 403 404 500 503",
        ("/api/tasks/{id}", "patch"): "200 400 401 403 404 412 413 415 500 503",
        ("/api/tasks/{id}", "put"): "200 400 401 403 404 412 413 415 500 503",
        ("/api/tasks/{id}", "delete"): "204 400 401 403 404 412 500 503",
        ("/api/batch", "post"): "200 400 401 403 404 409 412 413 415 422 500 503",
        ("/api/export", "get"): "200 400 401 500 503",
        ("/api/changes", "get"): "200 304 400 401 410 500 503",
        ("/api/events", "get"): "200 400 401 429 500 503",
        ("/api/trash", "get"): "200 400 401 500 503",
        ("/api/trash", "delete"): "204 401 500 503",
        ("/api/trash/{id}", "delete"): "204 400 401 403 404 500 503",
        ("/api/trash/{id}/restore", "post"): "200 400 401 403 404 500 503",
        ("/health/live", "get"): "200",
        ("/health/ready", "get"): "200 500 503",
    }
    found = {
        (path, method): " ".join(sorted(operation["responses"]))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    assert found == promised
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


def test_it_has_exactly_the_methods_of_the_service(server: Server) -> None:
    ann: Person = server.person()
    task = ann.add()
    for path, operations in server.anybody.get("/openapi.json").json()["paths"].items():
        allowed = ann.api.options(path.replace("{id}", task["id"])).headers["allow"].lower().split(", ")
        assert set(allowed) - {"head", "options"} == set(operations) - {"parameters"}
