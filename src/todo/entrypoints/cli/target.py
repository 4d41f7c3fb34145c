"""What a command works on: the database, or a server."""

import getpass
import ipaddress
import os
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import rich_click as click
from click import get_current_context

from todo.domain.task import UserId, parse_user_id
from todo.entrypoints.cli.output import print_error
from todo.settings import ClientSettings, EnvFile, InvalidSetting, ServerSettings, find_env_file, load_settings
from todo.user_state import Login, load_login


class Target(NamedTuple):
    """A server if there is a login, else the database of the settings."""

    settings: ServerSettings
    client: ClientSettings
    login: Login | None


def find_target(server: str | None) -> Target:
    """The server that an option names, or TODO_SERVER, or the database of DATABASE_URL, or the server that the user is
    logged in to, or the default database. Raises InvalidSetting."""
    settings, client = load_server_settings(), load_client_settings(server)
    if client.todo_server is None:
        login = load_login() if settings.database_url is None else None
        if login is not None and client.todo_token is not None:
            raise InvalidSetting(f"TODO_TOKEN is set, but not TODO_SERVER; you are logged in to {login.server}")
    elif client.todo_token is not None:
        login = Login(client.todo_server, client.todo_token)
    else:
        login = load_login()
        if login is None or login.server.rstrip("/") != client.todo_server.rstrip("/"):
            raise InvalidSetting(
                f"TODO_TOKEN is not set, and you are not logged in; run `todo login --server {client.todo_server}`"
            )
    if login is not None:
        warn_about_plain_http(login.server)
    return Target(settings, client, login)


def get_env_file() -> EnvFile | None:
    """The one from which this command reads settings. Raises InvalidSetting."""
    context = get_current_context(silent=True)
    # Not known while a shell completes a line: what it completes are tasks.
    is_for_tasks = context is None or context.find_root().obj is not False
    return find_env_file(os.environ, is_for_tasks=is_for_tasks)


def load_server_settings() -> ServerSettings:
    """Raises InvalidSetting."""
    return load_settings(ServerSettings, os.environ, get_env_file())


def load_client_settings(server: str | None = None) -> ClientSettings:
    """Those of the environment, but with the server that an option names. Raises InvalidSetting."""
    settings = load_settings(ClientSettings, os.environ, get_env_file())
    context = get_current_context(silent=True)
    if server is None and context is not None:
        server = context.find_root().params.get("server")
    if server is None:
        return settings
    try:
        return msgspec.structs.replace(settings, todo_server=server)
    except InvalidSetting as error:
        raise click.UsageError(str(error).replace("TODO_SERVER", "--server", 1)) from None


def find_user() -> UserId:
    """TODO_USER, or the login name. Raises InvalidSetting."""
    try:
        return parse_user(load_client_settings().todo_user or getpass.getuser(), "TODO_USER")
    except (KeyError, OSError):
        raise InvalidSetting("TODO_USER is not set, and this machine does not know your login name") from None


def parse_user(text: str, source: str) -> UserId:
    """``source`` is the setting, option or argument that is named if the text is wrong. Raises InvalidSetting."""
    try:
        return parse_user_id(text)
    except ValueError as error:
        raise InvalidSetting(f"{source}: {error}") from None


def warn_about_plain_http(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        print_error(f"warning: {server} is not HTTPS, so others on the network can read your token")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
