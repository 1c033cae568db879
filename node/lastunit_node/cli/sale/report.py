"""The sale as one JSON object, for programs. Keys are only ever added."""

from dataclasses import asdict
from typing import Any

from lastunit_client import Reservation
from lastunit_node.cli.errors import NodeFaultError
from lastunit_node.cli.sale.naive import NaiveNumbers
from lastunit_node.cli.sale.plan import SKU, SalePlan
from lastunit_node.cli.sale.records import Evidence, LeaderKill, NodeRecords, ZombieReport, unit_numbers
from lastunit_node.cli.sale.verdict import Verdict

Json = dict[str, Any]


def sale_report(plan: SalePlan, naive: NaiveNumbers, evidence: Evidence, verdict: Verdict, seconds: float) -> Json:
    """Everything a program may want to check. Tokens are written term.index.position."""
    return {
        "ok": verdict.ok,
        "reasons": list(verdict.reasons),
        **_options(plan),
        "seconds": round(seconds, 3),
        "naive": _naive(naive),
        "cluster": _cluster(evidence, verdict),
        "zombie": _zombie(evidence.zombie),
        "state_hash_equal": verdict.state_hash_equal,
        "state_hashes": {node.node: _state_hash(node) for node in evidence.nodes},
        "sold": [_sold(order) for order in evidence.nodes[0].sold(SKU)] if evidence.nodes else [],
    }


def failed_report(plan: SalePlan, naive: NaiveNumbers, fault: Exception) -> Json:
    """For a sale that could not be held to its end; with the end of a node's log, where that is the reason."""
    tail = fault.log_tail.splitlines() if isinstance(fault, NodeFaultError) else []
    return {"ok": False, "reasons": [str(fault), *tail], **_options(plan), "naive": _naive(naive)}


def _options(plan: SalePlan) -> Json:
    return asdict(plan.options)


def _naive(numbers: NaiveNumbers) -> Json:
    return {
        "placed": numbers.placed,
        "refused": numbers.refused,
        "oversold": numbers.oversold,
        "left": numbers.left,
    }


def _cluster(evidence: Evidence, verdict: Verdict) -> Json:
    return {
        "placed": verdict.placed,
        "refused": verdict.refused,
        "payment_failed": verdict.payment_failed,
        "failed": verdict.failed,
        "oversold": verdict.oversold,
        "duplicate_units": verdict.duplicate_units,
        "refusals": sum(buyer.refusals for buyer in evidence.buyers),
        "expired": sum(buyer.expired for buyer in evidence.buyers),
        "leader_kills": len(evidence.kills),
        "terms": list(evidence.terms),
        "failovers": [_failover(kill) for kill in evidence.kills],
    }


def _failover(kill: LeaderKill) -> Json:
    return {
        "killed": kill.node,
        "term": kill.term,
        "sold": kill.sold,
        "next_leader": kill.next_leader,
        "next_term": kill.next_term,
        "seconds": round(kill.seconds, 3),
    }


def _zombie(zombie: ZombieReport) -> Json:
    return {
        "outcome": zombie.outcome.name,
        "warehouse_refused": zombie.warehouse_refused,
        "order": zombie.order,
        "unit": zombie.unit,
        "token": str(zombie.token),
        "expires_at_tick": zombie.expires_at_tick,
        "clock": zombie.clock,
        "sold_to": zombie.sold_to,
        "sold_token": str(zombie.sold_token),
    }


def _state_hash(node: NodeRecords) -> Json:
    state_hash = node.state_hash
    return {"index": state_hash.index, "chain": state_hash.chain.hex(), "digest": state_hash.digest.hex()}


def _sold(order: Reservation) -> Json:
    return {"order": order.reservation_id, "units": list(unit_numbers(order)), "token": str(order.token)}
