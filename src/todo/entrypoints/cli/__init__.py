"""The command line."""

import logging
import re
import sys
from datetime import timedelta
from pathlib import Path

import rich_click as click

from todo.domain.refusals import NotAuthenticated, Refusal
from todo.entrypoints.cli import login, tasks
from todo.entrypoints.cli.output import NEWER, complain, line_of_stdin, one_line, take_any_text
from todo.entrypoints.cli.place import settings_of, user_of
from todo.entrypoints.cli.tasks import REFUSED
from todo.settings import InvalidSetting

WRONG_USAGE = 2
"""Exit status; REFUSED is 1, and 0 is done."""

_LONGEST = timedelta(days=3660)


def main() -> None:
    """The program. Every error is one line on standard error, never a stack."""
    take_any_text()
    logging.getLogger("todo").addHandler(logging.NullHandler())  # a command speaks for itself; `serve` wants the log
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        sys.exit(complain(error.format_message(), error.exit_code))
    except InvalidSetting as error:
        sys.exit(complain(str(error), WRONG_USAGE))
    except NotAuthenticated as error:
        sys.exit(complain(f"{error} (todo login keeps a new token)", REFUSED))
    except Refusal as error:
        # The driver's own words go to whoever runs the program, and to nobody who only calls the API.
        driver = getattr(error.__cause__, "orig", error.__cause__)
        said = next(iter(str(driver or "").splitlines()), "")
        sys.exit(complain(f"{error} ({said})" if said else str(error), REFUSED))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)  # as shells call an end by SIGINT
    except OSError as error:
        sys.exit(complain(f"can't read or write: {error.strerror}", REFUSED))
    except Exception as error:  # noqa: BLE001 - the last line of defence
        sys.exit(complain(f"a fault of this program, please report it: {type(error).__name__}", REFUSED))
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="todo")
@click.option(
    "--server", metavar="URL", help="The server to work on, as behind a command that takes it.  [default: TODO_SERVER]"
)
@click.pass_context
def cli(context: click.Context, server: str | None) -> None:
    """Tasks: a list of your own, and a REST API for many people's.

    Settings come from the environment, or a .env file. An ID may be cut short, as long as it is that of one task.
    """
    command = cli.get_command(context, context.invoked_subcommand or "")
    if server is not None and command is not None and all(option.name != "server" for option in command.params):
        raise click.UsageError(f"todo {command.name} takes no --server; it works with the settings of this machine")


for command in (*tasks.COMMANDS, *login.COMMANDS):
    cli.add_command(command)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--migrate/--no-migrate", default=True, show_default=True, help="Bring the database's schema up to date.")
def serve(host: str, port: int, workers: int, migrate: bool) -> None:
    """Serve the API until interrupted.

    Example: todo serve --port 8080
    """
    settings = settings_of()  # before the server is loaded: a wrong one is told at once
    from todo.entrypoints.cli.serving import serve

    user = user_of(None, settings) if settings.uses_kept_secret else None
    serve(settings, user, host=host, port=port, workers=workers, migrate=migrate)


@cli.command()
@click.option("--user", metavar="NAME", help="Whom it speaks for.  [default: TODO_USER, or the login name]")
@click.option("--expires", metavar="TIME", default="1h", show_default=True, help="For how long: 30s, 15m, 1h, 7d.")
def token(user: str | None, expires: str) -> None:
    """Print a token to try the API with.

    Example: todo token --user ann --expires 15m
    """
    from todo.composition import issue_token

    settings = settings_of()
    lifetime = _duration(expires)
    click.echo(issue_token(settings, user_of(user, settings), lifetime))


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

    settings = settings_of()
    if token == "-":  # noqa: S105 - where it comes from, not what it is
        token = line_of_stdin()
    if token is not None:
        token = token.strip().removeprefix("Bearer ").strip()
        if not token:
            raise click.UsageError("no token came; give one, or - and one on standard input")
    for name, values in (("issuer (iss)", settings.issuers), ("audience (aud)", settings.audiences)):
        click.echo(f"{name:14}  {' or '.join(values) or 'any'}")
    click.echo(f"{'keys from':14}  {(settings.key_set_url or 'a shared secret, HS256').partition('?')[0]}\n")
    findings = examine_tokens(settings, token)
    for finding in findings:
        click.echo(f"{'ok' if finding.holds else 'FAILS':5}  {one_line(finding.said)}")
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

    if upgrade_database(settings_of()):
        click.echo("The schema is up to date.")
    else:
        complain(NEWER, 0)


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite database to FILE, while servers use it or not.

    Example: todo db backup tasks-of-today.db
    """
    from todo.composition import back_up

    back_up(settings_of(), file)
    click.echo(f"{one_line(str(file))} has everything.")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(file: Path, yes: bool) -> None:
    """Put what FILE has, a backup, in the place of all tasks there are, while servers use them or not.

    Example: todo db restore tasks-of-yesterday.db
    """
    from todo.composition import restore

    settings = settings_of()
    _confirm(yes, f"Replace all tasks in {settings.database_file} with those in {file}?")
    restore(settings, file)
    click.echo("The tasks are those of the backup.")


@cli.group()
def users() -> None:
    """Look after people."""


@users.command()
@click.argument("person", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(person: str, yes: bool) -> int:
    """Remove the person whom tokens call ID (their sub), and all that is theirs.

    Example: todo users erase 3fK9mQ2xT8vLb1nR
    """
    from todo.composition import erase

    settings = settings_of()
    user = user_of(person, settings)
    _confirm(yes, f"Remove {one_line(person)} and all their tasks from {settings.database_file or 'PostgreSQL'}?")
    number = erase(settings, user)
    if number is None:
        return complain("Nothing is known of this person.", REFUSED)
    click.echo(f"The person and their {number} task{'' if number == 1 else 's'} are gone.")
    return 0


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to ask; say --yes")
        if not click.confirm(one_line(question)):
            sys.exit(complain("nothing was done", REFUSED))


def _duration(text: str) -> timedelta:
    match = re.fullmatch("([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise click.BadParameter("give a number and s, m, h or d, such as 15m", param_hint="--expires")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    lifetime = timedelta(**{unit: int(match[1])})
    if lifetime > _LONGEST:
        raise click.BadParameter("a token lives for 10 years at most", param_hint="--expires")
    return lifetime
