"""The commands of `lastunit`, put together; the exit status says how one ended."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

import lastunit_node
from lastunit_node.cli import cluster_commands, inventory_commands, output
from lastunit_node.cli.errors import ExitStatus
from lastunit_node.cli.failures import failure_of, report
from lastunit_node.cli.sale.command import sale

EPILOG = (
    "Exit status: 0 done; 1 refused, for certain; 2 wrong usage or cluster file; 3 no answer, may have been applied: "
    "repeat it under the same id; 4 no answer, certainly not applied, or a node did not start or stop; 70 a bug; "
    "130 Ctrl-C, SIGTERM or SIGHUP; 141 nobody read the output."
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cluster_commands.app)
app.add_typer(inventory_commands.app)
app.command(rich_help_panel="Demonstration")(sale)


def show_version(wanted: bool) -> None:
    """Print it, and end."""
    if wanted:
        output.say(f"lastunit {lastunit_node.__version__}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def lastunit(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None:
    """An inventory service that sells the last unit exactly once: the local cluster, and every command on it."""


def shows_help(words: Sequence[str]) -> bool:
    """Whether typer is to print help, and no command is to run."""
    return not words or "--help" in words


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with output.library_answers() if shows_help(words) else nullcontext():
            status = int(app(args=words, prog_name="lastunit", standalone_mode=False) or 0)
        if status != ExitStatus.STOPPED:
            return status
        failure = failure_of(KeyboardInterrupt())  # typer made a number of it
    except BaseException as error:
        failure = failure_of(error)
    return report(failure, "--json" in words)
