"""Commands on the local cluster: its processes, who leads, how each node stands, whether all agree, its file."""

from pathlib import Path
from typing import Annotated

import typer

from lastunit_node.cli import output, rendering, verification
from lastunit_node.cli.errors import ExitStatus
from lastunit_node.cli.local_cluster import REJOIN_LIMIT_S, SCAN_LIMIT_S, SERVE_LIMIT_S, STOP_LIMIT_S, LocalCluster
from lastunit_node.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, NodeArgument, TimeoutOption
from lastunit_node.cli.verification import NodeVerdict
from lastunit_node.config import load_cluster

app = typer.Typer()
PANEL = "Local cluster"


def local(config: Path) -> LocalCluster:
    """The cluster that a cluster file describes."""
    return LocalCluster(load_cluster(config))


def warn_of_overruled(cluster: LocalCluster) -> None:
    """Name what was changed in the cluster file since the cluster was born: it changes nothing."""
    for key, (written, agreed) in cluster.overruled().items():
        output.complain(f"{cluster.config.path} says {key} {written}; the cluster was born with {agreed}, and keeps it")


def show_status(cluster: LocalCluster, as_json: bool) -> ExitStatus:
    """Print how every node stands; REFUSED when none leads, so that a script can wait for one."""
    statuses = list(cluster.statuses().values())
    if as_json:
        output.print_json({"cluster": cluster.config.cluster, "nodes": statuses})
    else:
        rendering.show_statuses(statuses)
    leads = any(status.role == "leader" and status.has_quorum for status in statuses)
    return ExitStatus.ACCEPTED if leads else ExitStatus.REFUSED


def show_node(cluster: LocalCluster, node: str, what: str, as_json: bool) -> ExitStatus:
    """Print what was done to one node."""
    if as_json:
        output.print_json({"node": node, "process": cluster.state(node), "pid": cluster.running().get(node)})
    else:
        output.say(f"{node} {what}")
    return ExitStatus.ACCEPTED


@app.command(rich_help_panel=PANEL)
def up(
    config: ConfigOption = DEFAULT_CONFIG,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete all data of a stopped cluster first.")] = False,
    timeout: TimeoutOption = SERVE_LIMIT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Start all nodes in the background; returns when the cluster serves.

    Makes the data directories when no node has one yet. Refused while a node runs, with --fresh too.
    """
    cluster = local(config)
    with output.progress("starting nodes") as line:
        is_new = cluster.up(
            timeout, fresh=fresh, on_progress=lambda serving, of: line.update(f"{serving} of {of} nodes serve")
        )
    if is_new:
        output.complain(f"a new cluster, without any stock, was made in {cluster.config.data_dir}")
    warn_of_overruled(cluster)
    return show_status(cluster, as_json)


@app.command(rich_help_panel=PANEL)
def down(
    config: ConfigOption = DEFAULT_CONFIG, timeout: TimeoutOption = STOP_LIMIT_S, as_json: JsonOption = False
) -> ExitStatus:
    """Stop all nodes: each finishes what it has begun; one that takes longer than the timeout is killed."""
    cluster = local(config)
    stopping = list(cluster.running())
    with output.progress(f"stopping {len(stopping)} nodes"):
        killed = cluster.down(timeout)
    for node in killed:
        output.complain(f"{node} did not stop within {timeout:g} s and was killed; nothing is lost")
    if as_json:
        output.print_json({"stopped": stopping, "killed": killed})
    else:
        output.say(f"stopped {', '.join(stopping)}" if stopping else "no node was running")
    return ExitStatus.ACCEPTED


@app.command(rich_help_panel=PANEL)
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> ExitStatus:
    """Show how every node stands. Exit status 1 when no node leads a majority."""
    return show_status(local(config), as_json)


@app.command(rich_help_panel=PANEL)
def start(
    node: NodeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = SERVE_LIMIT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Start one node; returns when it serves, or at once while too few nodes run for a quorum."""
    cluster = local(config)
    with cluster.data.exclusive():
        pid = cluster.start(node)
    with output.progress(f"waiting for {node}"):
        serves = cluster.comes_to_serve(node, timeout)
    if not serves:
        return show_node(cluster, node, f"runs (PID {pid}), and serves once {what_is_lacking(cluster)}", as_json)
    warn_of_overruled(cluster)
    return show_node(cluster, node, f"serves (PID {pid})", as_json)


def what_is_lacking(cluster: LocalCluster) -> str:
    """What has to come before the nodes that run can serve."""
    new = cluster.uncounted()
    if not new or 2 * len(cluster.running()) <= len(cluster.nodes):
        return "a majority of the nodes does"
    have = "has" if len(new) == 1 else "have"
    return (
        f"a majority of the disks counts; {' and '.join(new)} {have} a new one, which does not until a leader "
        "admits it. Start the other nodes; where that does not help, put back what a rejoin has put aside (NODE.old-N)"
    )


@app.command(rich_help_panel=PANEL)
def rejoin(
    node: NodeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = REJOIN_LIMIT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Give one node an empty disk in the place of a lost or damaged one; returns when it has caught up and counts.

    The other nodes go on meanwhile. What is left of its data is moved aside. Refused while the node runs, and where the
    cluster needs its disk, because too few of the others' count.
    """
    cluster = local(config)
    with cluster.data.exclusive():
        output.complain(cluster.rejoin(node))
        others_suffice = cluster.majority_runs()
        pid = cluster.start(node)
    if not others_suffice:
        return show_node(cluster, node, f"runs (PID {pid}), and catches up once the others run", as_json)
    with output.progress(f"waiting for {node} to catch up"):
        cluster.wait_admitted(node, timeout)
        cluster.wait_serving(timeout, [node])
    return show_node(cluster, node, f"serves (PID {pid})", as_json)


@app.command(rich_help_panel=PANEL)
def kill(node: NodeArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> ExitStatus:
    """Kill one node with SIGKILL, as a crash would."""
    cluster = local(config)
    cluster.kill(node)
    return show_node(cluster, node, "is killed", as_json)


@app.command(rich_help_panel=PANEL)
def pause(node: NodeArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> ExitStatus:
    """Stop one node's process with SIGSTOP: it keeps its sockets and answers nothing."""
    cluster = local(config)
    cluster.pause(node)
    return show_node(cluster, node, "is paused", as_json)


@app.command(rich_help_panel=PANEL)
def resume(node: NodeArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> ExitStatus:
    """Let a paused node go on."""
    cluster = local(config)
    cluster.resume(node)
    return show_node(cluster, node, "goes on", as_json)


@app.command(rich_help_panel=PANEL)
def transfer(
    node: NodeArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = SERVE_LIMIT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Ask the leader to hand leadership to this node."""
    cluster = local(config)
    cluster.config.node(node)
    leader = cluster.transfer(node, timeout)
    if as_json:
        output.print_json({"leader": leader})
    else:
        output.say(f"{leader} leads")
    return ExitStatus.ACCEPTED


@app.command(rich_help_panel=PANEL)
def verify(
    config: ConfigOption = DEFAULT_CONFIG, timeout: TimeoutOption = SCAN_LIMIT_S, as_json: JsonOption = False
) -> ExitStatus:
    """Have every node, one after the other, read all its rows, and compare them; the cluster goes on serving.

    The timeout is for one node. Exit status 1 when a node is damaged or differs: a damaged one then stops by itself.
    4 when a node could not be asked.
    """
    cluster = local(config)
    scans = {}
    with output.progress("scanning") as line:
        for number, node in enumerate(cluster.nodes, 1):
            line.update(f"{node} reads all its rows, {number} of {len(cluster.nodes)}")
            scans[node] = cluster.scan(node, timeout)
        line.update("comparing the nodes at one index")
        verdicts = verification.judge(scans, cluster.statuses_at_one_index())
    return show_verdicts(cluster, verdicts, as_json)


def show_verdicts(cluster: LocalCluster, verdicts: list[NodeVerdict], as_json: bool) -> ExitStatus:
    """Print what was found of each node, and what to do."""
    if as_json:
        output.print_json({"cluster": cluster.config.cluster, "nodes": verdicts})
    else:
        rendering.show_verdicts(verdicts)
    for verdict in verdicts:
        if verdict.advice:
            output.complain(f"{verdict.node}: {verdict.advice}")
    return verification.exit_status(verdicts)


@app.command(name="config", rich_help_panel=PANEL)
def show_config(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> ExitStatus:
    """Check the cluster file, and print every key with its value, and what the cluster was born with instead.

    The latter as far as a node answers; with --json as `agreed`, null when none does.
    """
    cluster = local(config)
    file = cluster.config
    if as_json:
        output.print_json({**file.effective(), "agreed": cluster.agreed()})
        return ExitStatus.ACCEPTED
    nodes = {f"nodes.{name}": f"grpc {node.grpc}, raft {node.raft}" for name, node in file.nodes.items()}
    facts = {key: value for key, value in file.effective().items() if key != "nodes"}
    for key, (written, agreed) in cluster.overruled().items():
        facts[key] = f"{written}; in force is {agreed}, with which the cluster was born"
    output.print_facts(str(file.path), [*facts.items(), *nodes.items()])
    return ExitStatus.ACCEPTED
