"""The program `todo`: the command line, and `serve`, which starts the HTTP entrypoint."""

import asyncio
import re
import shlex
import sys
from datetime import timedelta

import rich_click as click

from todo.composition import open_database, sign_token
from todo.entrypoints.cli import program
from todo.entrypoints.cli.output import NEWER_SCHEMA, print_error
from todo.entrypoints.cli.target import find_user, get_env_file, is_loopback, load_server_settings
from todo.settings import InvalidSetting, ServerSettings

LINK_LIFETIME = timedelta(days=7)  # of the token in the link to the web page


@program.cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--root-path", default="", metavar="PATH", help="Where a proxy has put the service, such as /todo.")
@click.option("--migrate/--no-migrate", default=True, show_default=True, help="Bring the database's schema up to date.")
def serve(host: str, port: int, workers: int, root_path: str, migrate: bool) -> None:
    """Serve the API until interrupted.

    Example: todo serve --port 8080
    """
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root_path):
        raise click.BadParameter("give a path that begins with / and does not end with one", param_hint="--root-path")
    settings = load_server_settings()
    if settings.uses_own_secret and not is_loopback(host):
        raise InvalidSetting(
            f"to listen on {host}, set BETTER_AUTH_URL, JWT_JWKS_URL or BETTER_AUTH_SECRET: "
            "without one, only this machine is served"
        )
    if migrate and not asyncio.run(_upgrade(settings)):
        print_error(NEWER_SCHEMA)
    from todo.entrypoints.http.server.run import run  # only now: wrong settings are reported at once

    run(
        settings,
        host=host,
        port=port,
        workers=workers,
        root_path=root_path,
        on_listening=lambda url: _greet(settings, url),
    )


async def _upgrade(settings: ServerSettings) -> bool:
    async with open_database(settings) as database:
        return await database.upgrade()


def _greet(settings: ServerSettings, url: str) -> None:
    page = url
    if settings.uses_own_secret:
        token = sign_token(settings, find_user(), LINK_LIFETIME)
        page += f"/#token={token}"
    else:
        program = [sys.executable, "-m", "todo"] if sys.argv[0].endswith(".py") else sys.argv[:1]
        token = "<a token of your issuer>" if settings.key_set_url else f"$({shlex.join(program)} token)"
    click.echo(f"Serving on {url}")
    if settings.web:
        click.echo(f"Web page:  {page}")
    click.echo(
        f"API docs:  {url}/docs\n"
        f"Database:  {settings.database_file or 'PostgreSQL'}\n"
        f'Try it:    curl -H "Authorization: Bearer {token}" {url}/api/tasks'
    )
    if (file := get_env_file()) is not None:
        click.echo(f"Settings:  {file.path.absolute()}")
    sys.stdout.flush()  # a program that reads these lines from a pipe can call from now on


def main() -> None:
    program.main()


if __name__ == "__main__":
    main()
