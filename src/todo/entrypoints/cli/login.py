"""Logging in to a server, and out."""

import asyncio
import sys

import rich_click as click

from todo.domain.refusals import NotAuthenticated
from todo.entrypoints.cli.output import escape, print_line
from todo.entrypoints.cli.target import (
    Target,
    find_target,
    find_user,
    load_client_settings,
    load_server_settings,
    warn_about_plain_http,
)
from todo.entrypoints.cli.task_session import open_session
from todo.user_state import Login, remove_login, save_login


@click.command()
@click.option("--server", metavar="URL", help="The server.  [default: TODO_SERVER]")
def login(server: str | None) -> None:
    """Save a server's URL and a token, so that commands work on that server.

    The token is read from the terminal or from standard input, and saved where only you can read it.

    Example: todo login --server https://todo.example.com
    """
    client = load_client_settings(server)
    if client.todo_server is None:
        raise click.UsageError("name the server: todo login --server URL")
    warn_about_plain_http(client.todo_server)
    prompted = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = prompted.strip().removeprefix("Bearer ").strip()
    if not token:
        raise click.UsageError("give the token on standard input")
    new = Login(client.todo_server, token)
    try:
        user = asyncio.run(_check_access(Target(load_server_settings(), client, new)))
    except NotAuthenticated as error:
        raise click.ClickException(str(error)) from None
    save_login(new)
    print_line(f"Logged in to {new.server} as {escape(user)}.")


@click.command()
def logout() -> None:
    """Delete the saved server and token.

    Example: todo logout
    """
    print_line("Logged out." if remove_login() else "You were not logged in.")


@click.command()
@click.option("--server", metavar="URL", help="Ask about this server.  [default: TODO_SERVER]")
def whoami(server: str | None) -> None:
    """Print who you are, and where your tasks are.

    Example: todo whoami
    """
    target = find_target(server)
    if target.login is None:
        print_line(f"{escape(find_user())}, on {target.settings.database_file or 'PostgreSQL'}")
    else:
        print_line(f"{escape(asyncio.run(_check_access(target)))}, on {target.login.server}")


async def _check_access(target: Target) -> str:
    """The person whom the server knows by the token. Raises InvalidToken, Unavailable."""
    async with open_session(target) as session:
        await session.tasks.version(session.user)
        return session.user


COMMANDS = (login, logout, whoami)
