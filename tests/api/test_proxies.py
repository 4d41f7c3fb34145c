"""Behind real proxies and in other servers, as docs/deploy.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Certificate
from tests.support.databases import free_port, migrated, sqlite_url
from tests.support.load import Load
from tests.support.reverse_proxies import APACHE, CADDY, DEPLOY, ROOT, SYSTEMD, nginx, running
from tests.support.serving import SECRET, TODO, Server, client, run_python, serving, signed


@contextmanager
def open_client() -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {signed()}", "Accept-Encoding": "gzip"}
    with httpx.Client(headers=headers, verify=False, timeout=20) as api:
        yield api


def check_tags_of_compressed_tasks(url: str, tag: str) -> None:
    """A task can be changed and revalidated with the tag that a compressing proxy made of the service's."""
    with open_client() as api:
        task = api.post(f"{url}/api/tasks", json={"title": "Buy milk " * 50})
        where = f"{url}/api/tasks/{task.json()['id']}"
        read = api.get(where)
        assert read.headers["content-encoding"] == "gzip"
        assert read.headers["etag"] == tag.replace("N", str(task.json()["revision"]))
        assert api.get(where, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
        changed = api.patch(where, json={"completed": True}, headers={"If-Match": read.headers["etag"]})
        assert changed.status_code == 200
        stale = api.patch(where, json={"completed": False}, headers={"If-Match": read.headers["etag"]})
        assert stale.status_code == 412


def test_nginx_makes_tags_weak(nginx_server: Server) -> None:
    check_tags_of_compressed_tasks(nginx_server.url, 'W/"N"')


@pytest.mark.skipif(APACHE is None and not os.environ.get("CI"), reason="needs apache2")
def test_apache_adds_to_tags(tmp_path: Path) -> None:
    assert APACHE is not None
    port, modules = free_port(), ("mpm_event", "authz_core", "filter", "deflate", "proxy", "proxy_http")
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db")) as server:
        lines = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules]
        lines += [f"ServerRoot {tmp_path}", f"PidFile {tmp_path}/pid", f"Listen 127.0.0.1:{port}", "ServerName x"]
        lines += [f"ErrorLog {tmp_path}/log", "User www-data", "Group www-data", "SetOutputFilter DEFLATE"]
        lines += [f"ProxyPass / {server.url}/", f"DefaultRuntimeDir {tmp_path}"]
        (tmp_path / "apache.conf").write_text("\n".join(lines) + "\n")
        with running(port, APACHE, "-D", "FOREGROUND", "-f", tmp_path / "apache.conf"):
            check_tags_of_compressed_tasks(f"http://127.0.0.1:{port}", '"N-gzip"')


def test_addresses_lead_through_the_proxy(nginx_server: Server) -> None:
    origin = nginx_server.url.removesuffix("/todo")
    with open_client() as api:
        made = [api.post(f"{nginx_server.url}/api/tasks", json={"title": "x"}) for _ in range(3)]
        assert api.get(origin + made[0].headers["location"]).json() == made[0].json()
        page = api.get(f"{nginx_server.url}/api/tasks?limit=2")
        assert api.get(origin + page.links["next"]["url"]).status_code == 200
        assert api.get(f"{nginx_server.url}/openapi.json").json()["servers"] == [{"url": "/todo"}]
        assert api.get(f"{nginx_server.url}/api//tasks").status_code == 200  # nginx merges slashes


@pytest.mark.skipif(CADDY is None and not os.environ.get("CI"), reason="needs Caddy")
def test_caddy_works_with_the_configuration_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CADDY is not None
    port = free_port()
    [site] = re.findall(r"```caddyfile\n(.*?)```", DEPLOY, re.DOTALL)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--root-path", "/todo") as server:
        site = site.replace("127.0.0.1:8000", f"{server.address[0]}:{server.address[1]}")
        site = site.replace("todo.example.com", f"http://127.0.0.1:{port}")
        (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site)
        with running(port, CADDY, "run", "--config", tmp_path / "Caddyfile"), open_client() as api:
            url = f"http://127.0.0.1:{port}"
            made = api.post(f"{url}/todo/api/tasks", json={"title": "x" * 400})
            assert api.get(url + made.headers["location"]).json() == made.json()
            changed = {"If-Match": made.headers["etag"]}
            assert api.patch(url + made.headers["location"], json={"completed": True}, headers=changed).is_success


def test_it_is_http_2(nginx_server: Server) -> None:
    command = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version}", f"{nginx_server.url}/health/live"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2"


@pytest.mark.skipif(SYSTEMD is None and not os.environ.get("CI"), reason="needs systemd-analyze")
def test_the_systemd_unit_is_valid(tmp_path: Path) -> None:
    assert SYSTEMD is not None
    [unit] = re.findall(r"```ini\n(.*?)```", DEPLOY, re.DOTALL)
    (tmp_path / "todo.service").write_text(unit.replace("/opt/todo/.venv/bin/todo", str(TODO)))
    command = [SYSTEMD, "verify", "--man=no", str(tmp_path / "todo.service")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_commands_of_the_container_file_make_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a container: in an empty folder, and with an empty virtual environment."""
    [file] = re.findall(r"```dockerfile\n(.*?)```", DEPLOY, re.DOTALL)
    lines = re.findall(r"^([A-Z]+) (.*)$", file.replace("\\\n", ""), re.MULTILINE)
    app = tmp_path / "app"
    app.mkdir()
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'python' / 'bin'}:{os.environ['PATH']}")
    for instruction, arguments in lines:
        if instruction == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                path = ROOT / source
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, app / target)
        elif instruction == "RUN":
            subprocess.run(arguments, shell=True, cwd=app, check=True)
    port = free_port()
    command = json.loads(dict(lines)["CMD"].replace("8000", str(port)))
    monkeypatch.setenv("DATABASE_URL", sqlite_url(tmp_path / "todo.db"))
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    with running(port, *command), open_client() as api:
        assert api.post(f"http://127.0.0.1:{port}/api/tasks", json={"title": "x"}).status_code == 201


HOSTS = {
    "hypercorn": ["-b", "127.0.0.1:{port}", "--certfile", "{certificate}", "--keyfile", "{key}"],
    "granian": [
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--ssl-certificate",
        "{certificate}",
        "--ssl-keyfile",
        "{key}",
    ],
}


@pytest.mark.parametrize("host", HOSTS)
def test_other_servers_can_host_the_application_over_http_2(
    tmp_path: Path, certificate: Certificate, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, database = free_port(), sqlite_url(tmp_path / "todo.db")
    with serving(tmp_path, database) as server:
        server.person("ann").add("first")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    [command] = re.findall(rf"^\| \w+ \| `({host} .*)` \|$", DEPLOY, re.MULTILINE)
    program, *arguments = command.split()
    options = [part.format(port=port, certificate=certificate.file, key=certificate.key) for part in HOSTS[host]]
    with (
        running(port, Path(sys.executable).with_name(program), *options, *arguments),
        client(f"https://127.0.0.1:{port}/todo", f"Bearer {signed()}") as api,
    ):
        listed = api.get("/api/tasks")
        assert listed.http_version == "HTTP/2"
        assert [task["title"] for task in listed.json()] == ["first"]
        made = api.post("/api/tasks", json={"title": "second"})
        assert made.headers["location"].startswith("/todo/api/tasks/")
        assert api.get(made.headers["location"]).json() == made.json()
        assert api.get("/api/t%61sks").status_code == 404
        for path in ("/api/tasks", made.headers["location"], "/docs", "/health/live"):
            head = api.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(api.get(path, headers={"Accept-Encoding": ""}).content))


def test_nginx_says_as_the_service_would_that_it_is_away(tmp_path: Path, certificate: Certificate) -> None:
    with ExitStack() as proxy:
        with serving(tmp_path, sqlite_url(tmp_path / "todo.db"), "--root-path", "/todo") as server:
            url = proxy.enter_context(nginx(tmp_path, certificate, server))
        api = proxy.enter_context(client(url))
        response = api.get("/api/tasks")
        assert (response.status_code, response.json()["status"]) == (503, 503)
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.headers["retry-after"], response.headers["access-control-allow-origin"]) == ("1", "*")
        assert api.get("/metrics").status_code == 403


def test_a_rolling_restart_behind_nginx_fails_no_request(
    tmp_path: Path, certificate: Certificate, empty_postgres: str
) -> None:
    """Each of two copies is replaced by another one at its port, under load."""
    url = migrated(empty_postgres, partitions=2)
    ports = [free_port(), free_port()]
    with ExitStack() as everything:
        copies = [everything.enter_context(ExitStack()) for _ in ports]

        def start(number: int) -> Server:
            options = ("--root-path", "/todo", "--port", str(ports[number]))
            return copies[number].enter_context(serving(tmp_path, url, *options))

        servers = [start(number) for number in range(len(ports))]
        address = everything.enter_context(nginx(tmp_path, certificate, *servers))
        load = Load(everything.enter_context(servers[0].behind(address)))
        with load:
            load.wait_for(200)
            for number, copy in enumerate(copies):
                copy.close()
                start(number)
                load.wait_for(200)
        load.check()
        assert {status for _, status in load.statuses} == {200, 201}


LAMBDA = """
import json, os, sys

token = os.environ["TOKEN"]

def call(method, path, body=None, query="", **headers):
    event = {
        "version": "2.0", "routeKey": "$default", "rawPath": f"/prod{path}", "rawQueryString": query,
        "headers": {"host": "x", "authorization": f"Bearer {token}", "content-type": "application/json", **headers},
        "requestContext": {"http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}},
        "body": body, "isBase64Encoded": False,
    }
    return handler(event, None)

made = call("POST", "/api/tasks", json.dumps({"title": "Buy milk"}))
assert made["statusCode"] == 201, made
location = made["headers"]["location"]
assert location.startswith("/prod/api/tasks/")
assert json.loads(call("GET", location.removeprefix("/prod"))["body"]) == json.loads(made["body"])
assert len(json.loads(call("GET", "/api/tasks", query="limit=1&q=MILK")["body"])) == 1
assert not call("HEAD", "/api/tasks")["body"]
missing = call("GET", "/api//tasks")
assert (missing["statusCode"], json.loads(missing["body"])["status"]) == (404, 404)
assert call("GET", "/api/tasks", **{"if-none-match": call("GET", "/api/tasks")["headers"]["etag"]})["statusCode"] == 304
sys.stdout.flush()
os._exit(0)  # as a sandbox ends
"""


def test_mangum_can_host_the_application(tmp_path: Path) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", DEPLOY, re.DOTALL)
    database = migrated(sqlite_url(tmp_path / "todo.db"))
    run = run_python(snippet + LAMBDA, tmp_path, DATABASE_URL=database, BETTER_AUTH_SECRET=SECRET, TOKEN=signed())
    logged = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["status"] for line in logged] == [201, 200, 200, 200, 404, 200, 304]
