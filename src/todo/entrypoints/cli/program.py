"""The program: registers the commands, and turns errors into one line and an exit status."""

import logging
import sys

import rich_click as click

from todo.domain.refusals import NotAuthenticated, Refusal
from todo.entrypoints.cli import admin, login, tasks
from todo.entrypoints.cli.output import prepare_streams, print_error
from todo.settings import InvalidSetting

REFUSED, WRONG_USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; 0 is done. Shells use the last for an end by SIGINT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="todo")
@click.option("--server", metavar="URL", help="Work on this server; commands take it, too.  [default: TODO_SERVER]")
@click.pass_context
def cli(context: click.Context, server: str | None) -> None:
    """Your tasks, and a REST API for many people's.

    Settings are read from the environment, then from a .env file. Any unique prefix of an ID works; `todo list` shows
    the shortest one.
    """
    command = cli.get_command(context, context.invoked_subcommand or "")
    if server is not None and command is not None and all(option.name != "server" for option in command.params):
        raise click.UsageError(f"todo {command.name} takes no --server; it works with the settings of this machine")


for command in (*tasks.COMMANDS, *login.COMMANDS, *admin.COMMANDS):
    cli.add_command(command)


def main() -> None:
    """Every error is one line on standard error, never a stack trace."""
    prepare_streams()
    logging.getLogger("todo").addHandler(logging.NullHandler())  # commands print their errors; `serve` logs
    sys.exit(_run())


def _run() -> int:
    """The exit status."""
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        print_error(error.format_message())
        return error.exit_code
    except InvalidSetting as error:
        print_error(str(error))
        return WRONG_USAGE
    except NotAuthenticated as error:
        print_error(f"{error} (Save it with `todo login`, or in TODO_TOKEN.)")
    except Refusal as error:
        # The driver's own words go to whoever runs the program, and never to those who only call the API.
        driver = getattr(error.__cause__, "orig", error.__cause__)
        reason = next(iter(str(driver or "").splitlines()), "")
        print_error(f"{error} ({reason})" if reason else str(error))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        print_error(f"can't read or write: {error.strerror}")
    except Exception as error:  # noqa: BLE001 - the last line of defence
        print_error(f"this is a bug, please report it: {type(error).__name__}")
    else:
        return status if isinstance(status, int) else 0
    return REFUSED
