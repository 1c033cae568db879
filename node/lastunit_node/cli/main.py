"""The `lastunit` program: puts the commands together, and turns what goes wrong into one line and an exit status."""

import sys
from collections.abc import Sequence

import typer

from lastunit_client import InvalidRequestError, LastUnitError, NotFoundError
from lastunit_node.cli import cluster_commands, inventory_commands, output
from lastunit_node.cli.errors import ExitStatus, LocalClusterError, NodeFaultError
from lastunit_node.cli.sale.command import sale
from lastunit_node.config import ConfigError

EPILOG = (
    "Exit status: 0 done; 1 refused, for certain; 2 wrong usage or cluster file; 3 no answer, may have been applied: "
    "repeat it under the same id; 4 no answer, certainly not applied, or a node did not start; 130 Ctrl-C."
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cluster_commands.app)
app.add_typer(inventory_commands.app)
app.command(rich_help_panel="Demonstration")(sale)


@app.callback(epilog=EPILOG)
def lastunit() -> None:
    """An inventory service that sells the last unit exactly once: the local cluster, and every command on it."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status."""
    try:
        return int(app(args=arguments, prog_name="lastunit", standalone_mode=False) or 0)
    except typer.TyperException as error:
        output.complain(f"{error.format_message().rstrip('.')}; see `lastunit --help`")
        return ExitStatus.USAGE
    except ConfigError as error:
        output.complain(str(error))
        return ExitStatus.USAGE
    except LocalClusterError as error:
        return local_cluster_failed(error)
    except LastUnitError as error:
        return call_failed(error)


def local_cluster_failed(error: LocalClusterError) -> ExitStatus:
    """Say why the local cluster did not do it."""
    output.complain(str(error))
    if isinstance(error, NodeFaultError):
        output.quote(error.log_tail)
        return ExitStatus.FAILED
    return ExitStatus.REFUSED


def call_failed(error: LastUnitError) -> ExitStatus:
    """Say why a call to the cluster has no answer, and what to do."""
    if isinstance(error, InvalidRequestError):
        output.complain(f"{error}; nothing was changed")
        return ExitStatus.USAGE
    if isinstance(error, NotFoundError):
        output.complain(str(error))
        return ExitStatus.REFUSED
    if error.definite or error.request_id is None:
        output.complain(f"{error}; nothing was changed: see `lastunit status`, then try again")
        return ExitStatus.FAILED
    output.complain(f"{error}; it may have been applied: repeat it under the same id, {error.request_id}")
    return ExitStatus.INDEFINITE


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
