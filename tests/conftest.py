import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser

from tests.support import browser
from tests.support.certificates import Certificate, self_signed
from tests.support.databases import (
    OwnPostgres,
    PostgresServer,
    migrated,
    own_postgres,
    postgres_database,
    postgres_server,
    sqlite_url,
)
from tests.support.reverse_proxies import NGINX, nginx
from tests.support.serving import Server, serving

settings.register_profile("todo", deadline=None)  # a slow machine is not a failure
settings.load_profile("todo")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: CI has to install what the test needs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """A server that a test may stop without disturbing others."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def empty_postgres(postgres: PostgresServer) -> Iterator[str]:
    with postgres_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> Iterator[str]:
    """Shared by all tests; each uses people of its own."""
    with postgres_database(postgres) as url:
        yield migrated(url)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shared by all tests; each uses people of its own."""
    return migrated(sqlite_url(tmp_path_factory.mktemp("sqlite") / "todo.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "todo.db")
    url: str = request.getfixturevalue("empty_postgres")
    return url


ORIGINS = "https://app.example.com"


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    with serving(directory, sqlite_url(directory / "todo.db"), CORS_ORIGINS=ORIGINS) as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_server(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with (
        postgres_database(postgres) as url,
        serving(tmp_path_factory.mktemp("server"), url, CORS_ORIGINS=ORIGINS) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.launch() as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def nginx_server(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """TLS, HTTP/2, compression, and a path; needs nginx."""
    if NGINX is None and not os.environ.get("CI"):
        pytest.skip("needs nginx")
    directory = tmp_path_factory.mktemp("nginx")
    url = sqlite_url(directory / "todo.db")
    with (
        serving(directory, url, "--root-path", "/todo", CORS_ORIGINS=ORIGINS) as running,
        nginx(directory, certificate, running) as address,
        running.behind(address) as seen,
    ):
        yield seen


@pytest.fixture(scope="session", params=["sqlite", "postgresql", "nginx"])
def server(request: pytest.FixtureRequest) -> Server:
    """Shared by all tests, one on each database and one behind a proxy; each test uses people of its own."""
    running: Server = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def direct_server(request: pytest.FixtureRequest) -> Server:
    """For what a proxy would do in its own way."""
    running: Server = request.getfixturevalue(f"{request.param}_server")
    return running
