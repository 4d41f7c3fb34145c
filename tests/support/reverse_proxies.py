"""Real proxies in front of the service, as docs/deploy.md configures them."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.certificates import Certificate
from tests.support.databases import free_port
from tests.support.serving import Server

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()
PATH = f"{os.environ['PATH']}:/usr/sbin"
NGINX, APACHE, CADDY = (shutil.which(name, path=PATH) for name in ("nginx", "apache2", "caddy"))
SYSTEMD = shutil.which("systemd-analyze")


@contextmanager
def running(port: int, *command: str | Path) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for _ in range(500):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert process.poll() is None, process.stdout and process.stdout.read()
                time.sleep(0.02)  # there is no event for it
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextmanager
def nginx(directory: Path, certificate: Certificate, *servers: Server) -> Iterator[str]:
    """The URL of a service behind nginx: TLS, HTTP/2, compression, and a path."""
    port = free_port()
    [site] = re.findall(r"```nginx\n(.*?)```", DEPLOY, re.DOTALL)
    [line] = re.findall("server 127.0.0.1:8000.*", site)
    copies = (line.replace("127.0.0.1:8000", f"{server.address[0]}:{server.address[1]}") for server in servers)
    site = site.replace(line, "\n".join(copies))
    site = site.replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/ssl/", f"{certificate.file.parent}/")
    with run_nginx(directory, port, f"types {{}} {site}"):
        yield f"https://127.0.0.1:{port}/todo"


@contextmanager
def run_nginx(directory: Path, port: int, http: str) -> Iterator[None]:
    """``port``: one that ``http``, the block of that name, listens at."""
    assert NGINX is not None
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    log, configuration = directory / "nginx.log", directory / "nginx.conf"
    configuration.write_text(
        f"{user} daemon off; pid {directory}/pid; error_log {log}; events {{}}"
        f" http {{ access_log off; {folders} {http} }}"
    )
    with running(port, NGINX, "-p", directory, "-e", log, "-c", configuration):
        yield
