"""The verdict on a sale: every promise checked against what the nodes have on record and what the buyers believe.

Pure: values in, values out. It believes no counter that was kept along the way; numbers come from the records, and
where nodes or buyers disagree with each other, that is a reason to fail.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lastunit_client import Outcome, ReservationState
from lastunit_node.cli.sale.plan import LAST_VASE, SKU, SalePlan
from lastunit_node.cli.sale.records import BuyerReport, Ending, Evidence, NodeRecords, unit_numbers

UNSOLD = (ReservationState.RELEASED, ReservationState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the records say. `reasons` names every broken promise, in words; none: the sale was correct."""

    placed: int
    refused: int
    payment_failed: int
    failed: int
    oversold: int
    duplicate_units: int
    state_hash_equal: bool
    reasons: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.reasons


def judge(plan: SalePlan, evidence: Evidence) -> Verdict:
    """Check everything; never raises, whatever the records hold. Of nodes that differ, the worst one counts."""
    nodes = evidence.nodes
    endings = Counter(buyer.ending for buyer in evidence.buyers)
    return Verdict(
        placed=max((len(node.sold(SKU)) for node in nodes), default=0),
        refused=endings[Ending.REFUSED],
        payment_failed=endings[Ending.PAYMENT_FAILED],
        failed=endings[Ending.FAILED],
        oversold=max((_oversold(node, SKU, plan.options.units) for node in nodes), default=0),
        duplicate_units=max((_duplicate_units(node, SKU) for node in nodes), default=0),
        state_hash_equal=_hashes_equal(nodes),
        reasons=tuple(_complaints(plan, evidence)),
    )


def _complaints(plan: SalePlan, evidence: Evidence) -> Iterator[str]:
    yield from _every_call_answered(plan, evidence)
    yield from _every_node_present(plan, evidence)
    for node in evidence.nodes:
        yield from _sold_exactly(node, SKU, plan.options.units, plan.expected_sold)
        yield from _sold_exactly(node, LAST_VASE, received=1, expected=1)
        yield from _tokens_unique(node)
        yield from _owners_agree(node, evidence.buyers)
        yield from _unpaid_vases_returned(node, evidence.buyers)
    yield from _nodes_agree(evidence.nodes)
    yield from _leaders_killed(plan, evidence)
    yield from _zombie_refused(evidence)


def _every_call_answered(plan: SalePlan, evidence: Evidence) -> Iterator[str]:
    for buyer in evidence.buyers:
        if buyer.ending is Ending.FAILED:
            yield f"{buyer.buyer} got no definite answer: {buyer.error}"
    if len(evidence.buyers) != plan.options.orders:
        yield f"{len(evidence.buyers)} buyers reported, {plan.options.orders} came"


def _every_node_present(plan: SalePlan, evidence: Evidence) -> Iterator[str]:
    names = {node.node for node in evidence.nodes}
    if len(names) != plan.options.nodes:
        yield f"{len(names)} nodes answered at the end, {plan.options.nodes} are in the cluster"


def _sold_exactly(node: NodeRecords, sku: str, received: int, expected: int) -> Iterator[str]:
    sold = len(node.sold(sku))
    if sold != expected:
        yield f"{node.node} sold {sold} of {sku}, expected {expected}"
    if oversold := _oversold(node, sku, received):
        yield f"{node.node} oversold {sku} by {oversold}"
    if duplicates := _duplicate_units(node, sku):
        yield f"{node.node} has units of {sku} in two orders: {duplicates}"
    if strangers := sorted(unit for unit in _units_in_orders(node, sku) if not 1 <= unit <= received):
        yield f"{node.node} sold units of {sku} that never came: {strangers}"
    yield from _stock_agrees(node, sku, received, expected)


def _stock_agrees(node: NodeRecords, sku: str, received: int, sold: int) -> Iterator[str]:
    expected = {"received": received, "available": received - sold, "held": 0, "sold": sold, "removed": 0}
    level = node.stock.get(sku)
    counted = {name: getattr(level, name, None) for name in expected}
    if counted != expected:
        yield f"{node.node} counts {counted} of {sku}, expected {expected}"


def _tokens_unique(node: NodeRecords) -> Iterator[str]:
    tokens = Counter(order.token for order in node.reservations if order.token is not None)
    for token, holds in tokens.items():
        if holds > 1:
            yield f"{node.node} gave the token {token} to {holds} holds"


def _owners_agree(node: NodeRecords, buyers: Sequence[BuyerReport]) -> Iterator[str]:
    records = {order.reservation_id: (unit_numbers(order), order.token) for order in node.sold(SKU)}
    for buyer in buyers:
        if buyer.ending is not Ending.PLACED:
            continue
        record = records.pop(buyer.order or "", None)
        if record != ((buyer.unit,), buyer.token):
            yield f"{buyer.buyer} owns unit {buyer.unit} as {buyer.order} ({buyer.token}), {node.node} has {record}"
    for order in records:
        yield f"{node.node} sold {order} to nobody who knows of it"


def _unpaid_vases_returned(node: NodeRecords, buyers: Sequence[BuyerReport]) -> Iterator[str]:
    states = {order.reservation_id: order.state for order in node.reservations}
    for buyer in buyers:
        state = states.get(buyer.order or "")
        if buyer.ending is Ending.PAYMENT_FAILED and state not in UNSOLD:
            yield f"{buyer.buyer} could not pay, but {node.node} has {buyer.order} as {state}"


def _nodes_agree(nodes: Sequence[NodeRecords]) -> Iterator[str]:
    for one, other in pairwise(nodes):
        if one.reservations != other.reservations or one.stock != other.stock:
            yield f"{one.node} and {other.node} have different records"
    if not _hashes_equal(nodes):
        hashes = (f"{node.node} {node.state_hash}" for node in nodes)
        yield f"the state hashes differ: {', '.join(hashes)}"


def _leaders_killed(plan: SalePlan, evidence: Evidence) -> Iterator[str]:
    if len(evidence.kills) != plan.options.kills:
        yield f"{len(evidence.kills)} leaders were killed, {plan.options.kills} were to be"
    if any(later <= earlier for earlier, later in pairwise(evidence.terms)):
        yield f"terms must rise: {list(evidence.terms)}"
    for kill in evidence.kills:
        if kill.next_term <= kill.term:
            yield f"{kill.next_leader} led in term {kill.next_term} after {kill.node} in term {kill.term}"


def _zombie_refused(evidence: Evidence) -> Iterator[str]:
    zombie = evidence.zombie
    if zombie.outcome is not Outcome.EXPIRED:
        yield f"the zombie was answered {zombie.outcome.name}, expected EXPIRED"
    if not zombie.warehouse_refused or zombie.sold_token <= zombie.token:
        yield f"the warehouse let the zombie's token {zombie.token} pass after {zombie.sold_token}"
    for node in evidence.nodes:
        owners = [order.reservation_id for order in node.sold(LAST_VASE)]
        if owners != [zombie.sold_to]:
            yield f"{node.node} sold the last vase to {owners}, expected {zombie.sold_to}"


def _units_in_orders(node: NodeRecords, sku: str) -> Counter[int]:
    return Counter(unit for order in node.of(sku) for unit in unit_numbers(order))


def _oversold(node: NodeRecords, sku: str, received: int) -> int:
    return max(0, _units_in_orders(node, sku).total() - received)


def _duplicate_units(node: NodeRecords, sku: str) -> int:
    return sum(orders > 1 for orders in _units_in_orders(node, sku).values())


def _hashes_equal(nodes: Sequence[NodeRecords]) -> bool:
    return len({node.state_hash for node in nodes}) == 1
