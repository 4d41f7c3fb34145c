"""The program: registers the commands, and turns errors into one line and an exit status."""

import logging
import os
import sys

import rich_click as click

from todo.domain.refusals import NotAuthenticated, Refusal
from todo.entrypoints.cli import admin, login, mcp, tasks, transfer, trash
from todo.entrypoints.cli.output import prepare_streams, print_error
from todo.settings import ENV_FILE, InvalidSetting

REFUSED, WRONG_USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; 0 is done. Shells use the last for an end by SIGINT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="todo")
@click.option("--server", metavar="URL", help="Work on this server; commands take it, too.  [default: TODO_SERVER]")
@click.option("--env-file", metavar="FILE", help="Read settings from this file, too.  [default: TODO_ENV_FILE]")
@click.pass_context
def cli(context: click.Context, server: str | None, env_file: str | None) -> None:
    """Your tasks, and a REST API for many people's.

    Settings are read from the environment, then from a file. Commands that work on tasks read .env in the data
    directory; all others prefer .env in the current folder. Any unique prefix of an ID works; `todo list` shows the
    shortest one.
    """
    if env_file is not None:
        os.environ[ENV_FILE] = env_file  # for the processes of `serve`, too
    command = cli.get_command(context, context.invoked_subcommand or "")
    is_for_tasks = command is not None and any(option.name == "server" for option in command.params)
    if server is not None and command is not None and not is_for_tasks:
        raise click.UsageError(f"todo {command.name} takes no --server; it works with the settings of this machine")
    context.obj = is_for_tasks


for command in (*tasks.COMMANDS, *trash.COMMANDS, *transfer.COMMANDS, *login.COMMANDS, *mcp.COMMANDS, *admin.COMMANDS):
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
    except click.NoSuchOption as error:
        is_title = error.ctx is not None and any(parameter.name == "title" for parameter in error.ctx.command.params)
        hint = " Put -- before a title that begins with a hyphen." if is_title else ""
        print_error(error.format_message() + hint)
        return WRONG_USAGE
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
