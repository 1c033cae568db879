"""Answers of the cluster as people read them."""

from collections.abc import Iterable
from typing import Final

from lastunit_client import CommandResult, Line, Reservation, Shortage, StockLevel, UnitLine, UnitRange
from lastunit_node.cli import output
from lastunit_node.cli.node_status import NodeStatus
from lastunit_node.cli.processes import ProcessState
from lastunit_node.cli.verification import NodeVerdict

HASH_DIGITS: Final = 8


def units_text(units: Iterable[UnitLine]) -> str:
    """`mug 4, vase 1-3,7`."""
    return ", ".join(f"{line.sku} {','.join(map(range_text, line.ranges))}" for line in units)


def range_text(units: UnitRange) -> str:
    """`1-3`, or `7` for a single unit."""
    return str(units.first) if units.first == units.last else f"{units.first}-{units.last}"


def lines_text(lines: Iterable[Line]) -> str:
    """`mug=1 vase=2`, as on the command line."""
    return " ".join(f"{line.sku}={line.quantity}" for line in lines)


def shortages_text(shortages: Iterable[Shortage]) -> str:
    """`vase: 3 wanted, 1 available`."""
    return "; ".join(f"{each.sku}: {each.requested} wanted, {each.available} available" for each in shortages)


def show_result(result: CommandResult) -> None:
    """The answer to a command."""
    now = result.reservation
    facts: list[tuple[str, object]] = [
        ("id", result.request_id),
        ("token", result.token or None),
        ("units", units_text(result.units)),
        ("expires at tick", result.expires_at_tick or None),
        ("short of", shortages_text(result.shortages)),
        ("reservation now", f"{now.state.name} {units_text(now.units)}".strip() if now else None),
        ("log index", result.result_index),
    ]
    title = f"{result.outcome.name} (answered before)" if result.replayed else result.outcome.name
    output.print_facts(title, facts, "bold green" if result.accepted else "bold yellow")


def show_stock(levels: Iterable[StockLevel]) -> None:
    """Stock levels."""
    columns = ("sku", "received", "available", "held", "sold", "removed")
    rows = ((each.sku, each.received, each.available, each.held, each.sold, each.removed) for each in levels)
    output.print_table(columns, rows)


def show_reservations(reservations: Iterable[Reservation]) -> None:
    """Reservations, one a row."""
    columns = ("reservation", "state", "token", "ordered", "units", "expires at tick")
    output.print_table(columns, map(reservation_row, reservations))


def reservation_row(each: Reservation) -> tuple[object, ...]:
    """One reservation's cells."""
    expires = each.expires_at_tick or None
    ordered, units = lines_text(each.lines), units_text(each.units)
    return each.reservation_id, each.state, each.token, ordered or None, units or None, expires


def show_statuses(statuses: Iterable[NodeStatus]) -> None:
    """How the nodes stand, one a row, in 80 columns; --json has the rest."""
    columns = ("node", "pid", "process", "role", "term", "applied", "clock", "state hash")
    output.print_table(columns, [status_row(each) for each in statuses])


def status_row(each: NodeStatus) -> tuple[object, ...]:
    """One node's cells. A process that runs without an answer is starting, stuck or cut off."""
    silent = each.process is ProcessState.RUNNING and not each.answers
    process = "no answer" if silent else each.process
    role = "not admitted" if each.is_admitted is False else each.role
    digest = each.digest[:HASH_DIGITS] if each.digest else None
    return each.node, each.pid, process, role, each.term, each.applied_index, each.clock, digest


def show_verdicts(verdicts: Iterable[NodeVerdict]) -> None:
    """What `lastunit verify` found, one node a row."""
    columns = ("node", "rows", "at index", "digest kept", "digest of rows", "compared at", "chain", "found")
    output.print_table(columns, [verdict_row(each) for each in verdicts])


def verdict_row(each: NodeVerdict) -> tuple[object, ...]:
    """One node's cells."""
    scan = each.scan
    kept, scanned, chain = (text and text[:HASH_DIGITS] for text in (scan.kept, scan.scanned, each.chain))
    return each.node, scan.rows, scan.index, kept, scanned, each.compared_index, chain, each.finding
