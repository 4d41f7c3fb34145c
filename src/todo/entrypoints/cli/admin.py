"""The commands that administer the service: tokens, the database, and people."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import rich_click as click

from todo.entrypoints.cli.output import NEWER_SCHEMA, escape, print_error
from todo.entrypoints.cli.target import find_user, get_env_file, load_server_settings, parse_user
from todo.entrypoints.cli.transfer import file_argument, format_option, write_export
from todo.user_state import has_secret

if TYPE_CHECKING:
    from todo.composition import DatabaseAdmin

T = TypeVar("T")

_LONGEST = timedelta(days=3660)


@click.command()
@click.option("--user", metavar="NAME", help="The user whom it is for.  [default: TODO_USER, or the login name]")
@click.option("--expires", metavar="TIME", default="1h", show_default=True, help="Its lifetime: 30s, 15m, 1h, 7d.")
def token(user: str | None, expires: str) -> None:
    """Print a token to try the API with.

    Example: todo token --user ann --expires 15m
    """
    from todo.composition import sign_token

    settings = load_server_settings()
    lifetime = _parse_duration(expires)
    click.echo(sign_token(settings, find_user() if user is None else parse_user(user, "--user"), lifetime))


@click.group()
def auth() -> None:
    """Debug which tokens are accepted."""


@auth.command()
@click.argument("token", required=False)
def check(token: str | None) -> int:
    """Print what the settings require of tokens, and check TOKEN against that (- reads it from standard input).

    The exit status is 0 if it would be accepted (without a TOKEN: if keys are available), else 1.

    Example: todo auth check "$(todo token)"
    """
    from todo.composition import make_token_verifier

    settings = load_server_settings()
    if token == "-":  # noqa: S105 - where it comes from, not what it is
        token = sys.stdin.readline()
    if token is not None:
        token = token.strip().removeprefix("Bearer ").strip()
        if not token:
            raise click.UsageError("the token is empty; give one, or - and one on standard input")
    for name, values in (("issuer (iss)", settings.issuers), ("audience (aud)", settings.audiences)):
        click.echo(f"{name:14}  {' or '.join(values) or 'any'}")
    click.echo(f"{'keys from':14}  {(settings.key_set_url or 'a shared secret, HS256').partition('?')[0]}\n")

    if settings.uses_own_secret and not has_secret():
        click.echo("FAILS  There is no secret yet; `todo serve` and `todo token` make one.")
        return 1

    async def run() -> bool:
        verifier = make_token_verifier(settings)
        try:
            checks = await verifier.check(token)
        finally:
            await verifier.close()
        for passed, message in checks:
            click.echo(f"{'ok' if passed else 'FAILS':5}  {escape(message)}")
        return all(passed for passed, _ in checks)

    is_accepted = asyncio.run(run())
    if token is not None:
        click.echo(f"\nThe token would be {'accepted' if is_accepted else 'rejected'}.")
    return 0 if is_accepted else 1


@click.group()
def db() -> None:
    """Maintain the database."""


@db.command()
def upgrade() -> None:
    """Create the database's schema, or bring it up to date.

    Example: todo db upgrade
    """

    async def run(database: "DatabaseAdmin") -> tuple[bool, int | None]:
        return await database.upgrade(), await database.find_partitions()

    is_ours, partitions = _run_on_database(run)
    if is_ours:
        click.echo("The schema is up to date.")
    else:
        print_error(NEWER_SCHEMA)
    if partitions is not None:
        print_error(f"each table has {partitions} partitions; DATABASE_PARTITIONS only counts for an empty database")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite database to FILE, even while servers use it.

    Example: todo db backup tasks-of-today.db
    """
    _run_on_database(lambda database: database.back_up(file))
    click.echo(f"Backed up to {escape(str(file))}.")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(file: Path, yes: bool) -> None:
    """Replace all tasks with those of the backup FILE, even while servers use the database.

    Example: todo db restore tasks-of-yesterday.db
    """
    _confirm(yes, f"Replace all tasks in {load_server_settings().database_file or 'PostgreSQL'} with those in {file}?")
    _run_on_database(lambda database: database.restore(file))
    click.echo("The tasks are those of the backup.")


@db.command()
def renew() -> None:
    """Invalidate what clients have cached. Run it after PostgreSQL was restored from a backup by its own programs.

    Example: todo db renew
    """
    _run_on_database(lambda database: database.begin_new_epochs())
    click.echo("Everything that clients have cached is now invalid.")


@db.command()
def purge() -> None:
    """Forget what was removed more than TRASH_DAYS ago. Each person's next removal does so for that person.

    Example: todo db purge
    """
    lifetime = load_server_settings().trash_lifetime
    number = _run_on_database(lambda database: database.sweep_trash(datetime.now(UTC), lifetime))
    click.echo(f"Forgot {number} removed task{'' if number == 1 else 's'}.")


@click.group()
def users() -> None:
    """Manage users."""


@users.command()
@click.argument("person", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(person: str, yes: bool) -> int:
    """Erase a person and all their tasks. ID is the sub of their tokens.

    Example: todo users erase 3fK9mQ2xT8vLb1nR
    """
    place = load_server_settings().database_file or "PostgreSQL"
    user = parse_user(person, "ID")
    _confirm(yes, f"Erase {escape(person)} and all their tasks from {place}?")
    number = _run_on_database(lambda database: database.erase_user(user))
    if number is None:
        print_error("This person is unknown.")
        return 1
    click.echo(f"Erased the person and {number} task{'' if number == 1 else 's'}.")
    return 0


@users.command("export")
@click.argument("person", metavar="ID")
@format_option
@file_argument
def export_user(person: str, form: str, file: Path) -> None:
    """Write all that is stored of a person to FILE, for a request for their data. ID is the sub of their tokens.

    Example: todo users export 3fK9mQ2xT8vLb1nR data.json
    """
    from todo.composition import open_local_tasks

    user = parse_user(person, "ID")

    async def run() -> None:
        async with open_local_tasks(load_server_settings(), may_create=False) as tasks:
            await write_export(tasks, user, form, file)

    asyncio.run(run())


COMMANDS = (token, auth, db, users)


def _run_on_database(action: "Callable[[DatabaseAdmin], Awaitable[T]]") -> T:
    from todo.composition import open_database

    settings = load_server_settings()
    if (file := get_env_file()) is not None:
        print_error(f"settings are from {file.path.absolute()}")

    async def run() -> T:
        async with open_database(settings) as database:
            return await action(database)

    return asyncio.run(run())


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on; add --yes")
        if not click.confirm(escape(question), err=True):
            print_error("nothing was changed")
            sys.exit(1)


def _parse_duration(text: str) -> timedelta:
    match = re.fullmatch("([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise click.BadParameter("give a number and s, m, h or d, such as 15m", param_hint="--expires")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    duration = timedelta(**{unit: int(match[1])})
    if duration > _LONGEST:
        raise click.BadParameter("the longest lifetime is 10 years", param_hint="--expires")
    return duration
