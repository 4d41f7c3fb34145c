"""Logging in to a server, and out."""

import asyncio
import sys

import rich_click as click

from todo.entrypoints.cli.output import line_of_stdin, one_line, say
from todo.entrypoints.cli.place import Place, place_of, settings_of, user_of, warn_of_plain_http
from todo.entrypoints.cli.tasks import desk_at
from todo.kept import Login, forget_login, keep_login


@click.command()
@click.option("--server", metavar="URL", help="The server.  [default: TODO_SERVER]")
def login(server: str | None) -> None:
    """Work on a server from now on: keeps its address, and a token that is asked for.

    The token is read from the terminal or from standard input, and kept where you alone can read it.

    Example: todo login --server https://todo.example.com
    """
    settings = settings_of(server)
    if settings.todo_server is None:
        raise click.UsageError("name the server: todo login --server URL")
    warn_of_plain_http(settings.todo_server)
    is_asked = sys.stdin and sys.stdin.isatty()
    token = click.prompt("Token", hide_input=True, err=True) if is_asked else line_of_stdin()
    kept = Login(settings.todo_server, token.strip())
    user = asyncio.run(_accepted(Place(settings, kept)))
    keep_login(kept)
    say(f"Logged in at {kept.server} as {one_line(user)}.")


@click.command()
def logout() -> None:
    """Forget the server and the token.

    Example: todo logout
    """
    say("Logged out." if forget_login() else "You were not logged in.")


@click.command()
@click.option("--server", metavar="URL", help="Ask for this server.  [default: TODO_SERVER]")
def whoami(server: str | None) -> None:
    """Say as whom you work, and where.

    Example: todo whoami
    """
    place = place_of(server)
    if place.login is None:
        where = place.settings.database_file or "PostgreSQL"
        say(f"{one_line(user_of(None, place.settings))}, on {where}")
    else:
        say(f"{one_line(asyncio.run(_accepted(place)))}, at {place.login.server}")


async def _accepted(place: Place) -> str:
    """Whom the server takes the token for. Raises InvalidToken, Unavailable."""
    async with desk_at(place) as desk:
        await desk.tasks.revision(desk.user)
        return desk.user


COMMANDS = (login, logout, whoami)
