"""Where a command works: on the database, or before a server."""

import getpass
import ipaddress
import os
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import rich_click as click
from click import get_current_context

from todo.domain.task import UserId, user_id_of
from todo.entrypoints.cli.output import complain
from todo.kept import Login, kept_login
from todo.settings import InvalidSetting, Settings, load


class Place(NamedTuple):
    settings: Settings
    login: Login | None
    """None is the database."""


def place_of(server: str | None) -> Place:
    """The server that an option names, or TODO_SERVER, or the database of DATABASE_URL, or where the user logged in,
    or the default database. Raises InvalidSetting."""
    settings = settings_of(server)
    if settings.todo_server is None:
        login = kept_login() if settings.database_url is None else None
    elif settings.todo_token is not None:
        login = Login(settings.todo_server, settings.todo_token)
    else:
        login = kept_login()
        if login is None or login.server.rstrip("/") != settings.todo_server.rstrip("/"):
            raise InvalidSetting(
                f"TODO_TOKEN is not set, and you are not logged in; run todo login --server {settings.todo_server}"
            )
    if login is not None:
        warn_of_plain_http(login.server)
    return Place(settings, login)


def settings_of(server: str | None = None) -> Settings:
    """Those of the environment, but for a server that was given, to the command or before it. Raises InvalidSetting."""
    settings = load(os.environ)
    context = get_current_context(silent=True)
    if server is None and context is not None:
        server = context.find_root().params.get("server")
    if server is None:
        return settings
    try:
        return msgspec.structs.replace(settings, todo_server=server)
    except InvalidSetting as error:
        raise click.BadParameter(str(error).removeprefix("TODO_SERVER "), param_hint="--server") from None


def user_of(name: str | None, settings: Settings) -> UserId:
    """The one who is named, or else who works here. Raises InvalidSetting."""
    try:
        return user_id_of(name if name is not None else settings.todo_user or getpass.getuser())
    except ValueError as error:
        raise InvalidSetting(f"{'TODO_USER' if name is None else '--user'}: {error}") from None
    except (KeyError, OSError):
        raise InvalidSetting("TODO_USER is not set, and this machine does not know your login name") from None


def warn_of_plain_http(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        complain(f"{server} is not https: whoever is on the way can read your token", 0)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
