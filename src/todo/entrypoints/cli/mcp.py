"""The command that gives an assistant the tasks as tools."""

from functools import partial

import rich_click as click

from todo.entrypoints.cli.target import find_target
from todo.entrypoints.cli.task_session import open_session


@click.command()
@click.option("--server", metavar="URL", help="Work on this server.  [default: TODO_SERVER]")
def mcp(server: str | None) -> None:
    """Serve your tasks to an assistant, over standard input and output (Model Context Protocol).

    Example: todo mcp --server https://todo.example.com
    """
    try:
        from todo.entrypoints.mcp.server import run  # only now: all other commands do without the package
    except ImportError:
        raise click.UsageError("todo mcp needs the package mcp, which comes with the extra todo[mcp]") from None
    run(partial(open_session, find_target(server)))


COMMANDS = (mcp,)
