"""The command line."""

import getpass
import os
import re
import sys
from datetime import timedelta

import rich_click as click

from todo.domain.refusals import Refusal
from todo.domain.task import UserId
from todo.settings import InvalidSetting, Settings, load

REFUSED, WRONG_USAGE = 1, 2
"""Exit statuses; 0 is done."""


def main() -> None:
    """The program: errors are one line on standard error, never a stack."""
    try:
        cli(standalone_mode=True)
    except InvalidSetting as error:
        sys.exit(_complain(error, WRONG_USAGE))
    except Refusal as error:
        sys.exit(_complain(error, REFUSED))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="todo")
def cli() -> None:
    """Tasks: a REST API for many people. Settings come from the environment, or a .env file."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--migrate/--no-migrate", default=True, show_default=True, help="Bring the database's schema up to date.")
def serve(host: str, port: int, workers: int, migrate: bool) -> None:
    """Serve the API until interrupted.

    Example: todo serve --port 8080
    """
    from todo.entrypoints.cli.serving import serve

    serve(_settings(), host=host, port=port, workers=workers, migrate=migrate)


@cli.command()
@click.option("--user", metavar="NAME", help="Whom it speaks for.  [default: TODO_USER, or the login name]")
@click.option("--expires", metavar="TIME", default="1h", show_default=True, help="For how long: 30s, 15m, 1h, 7d.")
def token(user: str | None, expires: str) -> None:
    """Print a token to try the API with.

    Example: todo token --user ann --expires 15m
    """
    from todo.composition import issue_token

    settings = _settings()
    click.echo(issue_token(settings, UserId(user or _default_user(settings)), _duration(expires)))


@cli.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Make the database's schema, or bring it up to date.

    Example: todo db upgrade
    """
    from todo.composition import upgrade_database

    upgrade_database(_settings())
    click.echo("The schema is up to date.")


def _settings() -> Settings:
    return load(os.environ)


def _default_user(settings: Settings) -> str:
    try:
        return settings.todo_user or getpass.getuser()
    except (KeyError, OSError):
        raise InvalidSetting("TODO_USER is not set, and this machine does not know your login name") from None


def _duration(text: str) -> timedelta:
    match = re.fullmatch("([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise click.BadParameter("give a number and s, m, h or d, such as 15m", param_hint="--expires")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return timedelta(**{unit: int(match[1])})


def _complain(error: Exception, status: int) -> int:
    click.echo(f"todo: {error}", err=True)
    return status
