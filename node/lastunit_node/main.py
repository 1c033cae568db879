"""`lastunit-node`: makes a node's data directory, or another for a lost one; runs the node; verifies a stopped one's.

Exit status: 0 after SIGTERM, or when the data is whole; 1 for data that is not; 2 for a refusal, with one line on
stderr that says what to do; 70 for a broken invariant, damage or a failed disk while running.
"""

import argparse
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lastunit_node import __version__
from lastunit_node.compiled import StaleCodeError, refuse_stale_code
from lastunit_node.config import ClusterConfig, ConfigError, load_cluster
from lastunit_node.damage import DAMAGE, explain, has_disk_failed, is_from_system
from lastunit_node.datadir import DirectoryRefused, format_directory
from lastunit_node.frontend import CannotListenError
from lastunit_node.logs import configure_logging
from lastunit_node.rejoin import rejoin_node
from lastunit_node.replica.core import StartRefused
from lastunit_node.replica.journal import JournalFormatError
from lastunit_node.replica.link import CannotLinkError
from lastunit_node.server import run_node
from lastunit_node.statemachine.errors import StateFormatError, StateIdentityError
from lastunit_node.streams import AnswerLost, guard_streams, write_answer
from lastunit_node.verify import as_json, as_text, is_whole, verify_node
from lastunit_node.wide_scan import ScanEnded

NOT_WHOLE_EXIT: Final = 1
REFUSED_EXIT: Final = 2
REFUSALS: Final = (
    *DAMAGE,
    ConfigError,
    DirectoryRefused,
    StartRefused,
    JournalFormatError,
    StateFormatError,
    StateIdentityError,
    CannotListenError,
    CannotLinkError,
    StaleCodeError,
    ScanEnded,
    AnswerLost,
)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="lastunit-node", description="One node of a lastunit cluster.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a node until SIGTERM")
    make = commands.add_parser("format", help="make the data directory of a node of a new cluster")
    make.add_argument(
        "--cluster-id", type=as_uuid, required=True, help="a UUID, the same for every node of the cluster"
    )
    look = commands.add_parser("verify", help="check the data of a stopped node; changes nothing")
    look.add_argument("--json", action="store_true", help="print what was found for programs")
    again = commands.add_parser("rejoin", help="make a data directory in the place of a lost or damaged one")
    again.add_argument(
        "--cluster-id", type=as_uuid, help="the cluster's UUID; needed when no identity.json of it is at hand"
    )
    for command in (run, make, look, again):
        command.add_argument("--config", type=Path, default=Path("cluster.yml"), help="the cluster file")
        command.add_argument("--node", required=True, help="the node's name in the cluster file")
    return parser.parse_args(arguments)


def as_uuid(text: str) -> str:
    """A cluster id that was typed, as identity.json has it."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID; `uuidgen` makes one") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status."""
    guard_streams()
    options = parse_arguments(arguments)
    directory = Path()
    try:
        refuse_stale_code()
        config = load_cluster(options.config)
        config.node(options.node)
        directory = config.node_dir(options.node)
        return run_command(options, config)
    except Exception as problem:
        if not (isinstance(problem, REFUSALS) or has_disk_failed(problem) or is_from_system(problem)):
            raise
        say(options.node, explain(problem, directory))
        return REFUSED_EXIT


def run_command(options: argparse.Namespace, config: ClusterConfig) -> int:
    """Do what the command line asks for; the exit status."""
    node = options.node
    if options.command == "format":
        format_directory(config.node_dir(node), config.cluster, options.cluster_id, config.nodes, node)
    elif options.command == "rejoin":
        say(node, rejoin_node(config, node, options.cluster_id))
    elif options.command == "verify":
        findings = verify_node(config, node, lambda progress: say(node, progress))
        write_answer((as_json if options.json else as_text)(node, findings))
        return 0 if is_whole(findings) else NOT_WHOLE_EXIT
    else:
        configure_logging(node)
        run_node(config, node)
    return 0


def say(node: str, line: str) -> None:
    """One line for the operator."""
    sys.stderr.write(f"lastunit-node {node}: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
