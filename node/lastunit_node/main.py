"""`lastunit-node`: makes a node's data directory, and runs the node.

Exit status: 0 after SIGTERM; 2 for a refusal to start, with one line on stderr that says what to do; 70 for a broken
invariant, damage or a failed disk.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lastunit_node import __version__
from lastunit_node.config import ConfigError, load_cluster
from lastunit_node.datadir import DirectoryRefused, format_directory
from lastunit_node.frontend import CannotListenError
from lastunit_node.logs import configure_logging
from lastunit_node.replica.core import StartRefused
from lastunit_node.replica.journal import JournalDamaged, JournalFormatError
from lastunit_node.replica.link import CannotLinkError
from lastunit_node.server import run_node
from lastunit_node.statemachine.errors import StateFormatError, StateIdentityError

REFUSED_EXIT: Final = 2
REFUSALS: Final = (
    ConfigError,
    DirectoryRefused,
    StartRefused,
    JournalDamaged,
    JournalFormatError,
    StateFormatError,
    StateIdentityError,
    CannotListenError,
    CannotLinkError,
)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="lastunit-node", description="One node of a lastunit cluster.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a node until SIGTERM")
    make = commands.add_parser("format", help="make the data directory of a node of a new cluster")
    make.add_argument("--cluster-id", required=True, help="a UUID, the same for every node of the cluster")
    for command in (run, make):
        command.add_argument("--config", type=Path, default=Path("cluster.yml"), help="the cluster file")
        command.add_argument("--node", required=True, help="the node's name in the cluster file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status."""
    options = parse_arguments(arguments)
    try:
        config = load_cluster(options.config)
        config.node(options.node)
        if options.command == "format":
            format_directory(config.node_dir(options.node), config.cluster, options.cluster_id, options.node)
        else:
            configure_logging(options.node)
            run_node(config, options.node)
    except REFUSALS as refusal:
        sys.stderr.write(f"lastunit-node {options.node}: {refusal}\n")
        return REFUSED_EXIT
    return 0


if __name__ == "__main__":
    sys.exit(main())
