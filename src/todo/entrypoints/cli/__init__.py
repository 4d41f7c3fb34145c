"""The command line."""

import getpass
import logging
import os
import re
import sys
from datetime import timedelta

import rich_click as click

from todo.domain.refusals import Refusal
from todo.domain.task import UserId, user_id_of
from todo.settings import InvalidSetting, Settings, load

REFUSED, WRONG_USAGE = 1, 2
"""Exit statuses; 0 is done."""

_LONGEST = timedelta(days=3660)


def main() -> None:
    """The program. Every error is one line on standard error, never a stack."""
    logging.getLogger("todo").addHandler(logging.NullHandler())  # a command speaks for itself; `serve` wants the log
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), error.exit_code))
    except InvalidSetting as error:
        sys.exit(_complain(str(error), WRONG_USAGE))
    except Refusal as error:
        # The driver's own words go to whoever runs the program, and to nobody who only calls the API.
        driver = getattr(error.__cause__, "orig", error.__cause__)
        sys.exit(_complain(f"{error} ({str(driver).splitlines()[0]})" if driver else str(error), REFUSED))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)  # as shells call an end by SIGINT
    except OSError as error:
        sys.exit(_complain(f"can't read or write: {error.strerror}", REFUSED))
    except Exception as error:  # noqa: BLE001 - the last line of defence
        sys.exit(_complain(f"a fault of this program, please report it: {type(error).__name__}", REFUSED))
    sys.exit(status if isinstance(status, int) else 0)


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
    settings = _settings()  # before the server is loaded: a wrong one is told at once
    from todo.entrypoints.cli.serving import serve

    serve(settings, _user(None, settings), host=host, port=port, workers=workers, migrate=migrate)


@cli.command()
@click.option("--user", metavar="NAME", help="Whom it speaks for.  [default: TODO_USER, or the login name]")
@click.option("--expires", metavar="TIME", default="1h", show_default=True, help="For how long: 30s, 15m, 1h, 7d.")
def token(user: str | None, expires: str) -> None:
    """Print a token to try the API with.

    Example: todo token --user ann --expires 15m
    """
    from todo.composition import issue_token

    settings = _settings()
    lifetime = _duration(expires)
    click.echo(issue_token(settings, _user(user, settings), lifetime))


@cli.group()
def auth() -> None:
    """Find out who is let in."""


@auth.command()
@click.argument("token", required=False)
def check(token: str | None) -> int:
    """Say what the settings expect of tokens, and what holds for TOKEN (- reads it from standard input).

    Ends with status 0 if it would be let in, or without a token if one could be, else with 1.

    Example: todo auth check "$(todo token)"
    """
    from todo.composition import examine_tokens

    settings = _settings()
    if token == "-":  # noqa: S105 - where it comes from, not what it is
        token = sys.stdin.readline()
    for name, values in (("issuer (iss)", settings.issuers), ("audience (aud)", settings.audiences)):
        click.echo(f"{name:14}  {' or '.join(values) or 'any'}")
    click.echo(f"{'keys from':14}  {settings.key_set_url or 'a shared secret, HS256'}\n")
    findings = examine_tokens(settings, None if token is None else token.strip())
    for finding in findings:
        click.echo(f"{'ok' if finding.holds else 'FAILS':5}  {_one_line(finding.said)}")
    holds = all(finding.holds for finding in findings)
    if token is not None:
        click.echo(f"\nThe token {'would be let in' if holds else 'would be refused'}.")
    return 0 if holds else REFUSED


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


def _user(name: str | None, settings: Settings) -> UserId:
    """The one who is named, or else who works here."""
    try:
        return user_id_of(name if name is not None else settings.todo_user or getpass.getuser())
    except ValueError as error:
        raise InvalidSetting(f"{'TODO_USER' if name is None else '--user'}: {error}") from None
    except (KeyError, OSError):
        raise InvalidSetting("TODO_USER is not set, and this machine does not know your login name") from None


def _duration(text: str) -> timedelta:
    match = re.fullmatch("([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise click.BadParameter("give a number and s, m, h or d, such as 15m", param_hint="--expires")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    lifetime = timedelta(**{unit: int(match[1])})
    if lifetime > _LONGEST:
        raise click.BadParameter("a token lives for 10 years at most", param_hint="--expires")
    return lifetime


def _complain(text: str, status: int) -> int:
    click.echo(f"todo: {_one_line(text)}", err=True)
    return status


def _one_line(text: str) -> str:
    """Whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
