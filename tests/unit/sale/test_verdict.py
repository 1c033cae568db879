"""The verdict: a good sale passes, and every way in which one can be wrong is found and named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lastunit_client import FencingToken, Outcome, Reservation, ReservationState, StateHash, StockLevel
from lastunit_node.cli.sale.plan import LAST_VASE, SKU, Options, SalePlan, plan_sale
from lastunit_node.cli.sale.records import Ending, Evidence
from lastunit_node.cli.sale.verdict import judge

from .doubles import order_on_record

Change = Callable[[Evidence], Evidence]
CONFIRMED = ReservationState.CONFIRMED


def on_every_node(evidence: Evidence, **changes: Any) -> Evidence:
    return replace(evidence, nodes=tuple(replace(node, **changes) for node in evidence.nodes))


def with_order(evidence: Evidence, changed: Reservation) -> Evidence:
    others = [one for one in evidence.nodes[0].reservations if one.reservation_id != changed.reservation_id]
    return on_every_node(evidence, reservations=tuple(sorted((*others, changed), key=lambda one: one.reservation_id)))


def without_order(evidence: Evidence, name: str) -> Evidence:
    return on_every_node(
        evidence,
        reservations=tuple(one for one in evidence.nodes[0].reservations if one.reservation_id != name),
    )


def test_a_good_sale_passes(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, evidence)

    assert verdict.reasons == ()
    assert verdict.ok
    assert (verdict.placed, verdict.refused, verdict.payment_failed, verdict.failed) == (2, 2, 1, 0)
    assert (verdict.oversold, verdict.duplicate_units, verdict.state_hash_equal) == (0, 0, True)


def test_oversold(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, with_order(evidence, order_on_record("d-1", 16, CONFIRMED, 3)))

    assert verdict.oversold == 1
    assert verdict.placed == 3
    assert "n1 oversold forest-whisper by 1" in verdict.reasons
    assert "n1 sold units of forest-whisper that never came: [3]" in verdict.reasons
    assert "n1 sold d-1 to nobody who knows of it" in verdict.reasons


def test_a_unit_in_two_orders(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, with_order(evidence, order_on_record("b-2", 14, CONFIRMED, 1)))

    assert verdict.duplicate_units == 1
    assert "n2 has units of forest-whisper in two orders: 1" in verdict.reasons


def test_sold_too_few(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, without_order(evidence, "b-2"))

    assert "n3 sold 1 of forest-whisper, expected 2" in verdict.reasons
    assert any(reason.startswith("b owns unit 2 as b-2 (2.14.0), n1 has None") for reason in verdict.reasons)


def test_a_hold_left_open(plan: SalePlan, evidence: Evidence) -> None:
    stock = {**evidence.nodes[0].stock, SKU: StockLevel(SKU, 2, 0, 1, 1, 0, 40)}

    assert any("'held': 1" in reason for reason in judge(plan, on_every_node(evidence, stock=stock)).reasons)


def test_no_stock_at_all(plan: SalePlan, evidence: Evidence) -> None:
    assert not judge(plan, on_every_node(evidence, stock={})).ok


def test_a_token_given_twice(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, with_order(evidence, order_on_record("c-1", 14, ReservationState.RELEASED, 2)))

    assert "n1 gave the token 2.14.0 to 2 holds" in verdict.reasons


def test_a_buyer_with_another_token_than_the_record(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, with_order(evidence, order_on_record("a-1", 11, CONFIRMED, 1)))

    assert any(reason.startswith("a owns unit 1 as a-1 (2.10.0)") for reason in verdict.reasons)


def test_a_vase_sold_to_a_buyer_who_could_not_pay(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, with_order(evidence, order_on_record("c-1", 12, CONFIRMED, 2)))

    assert any(reason.startswith("c could not pay, but n1 has c-1 as") for reason in verdict.reasons)


def test_an_unpaid_hold_that_expired_is_as_good_as_released(plan: SalePlan, evidence: Evidence) -> None:
    assert judge(plan, with_order(evidence, order_on_record("c-1", 12, ReservationState.EXPIRED, 2))).ok


def test_nodes_with_different_records(plan: SalePlan, evidence: Evidence) -> None:
    shorter = replace(evidence.nodes[1], reservations=evidence.nodes[1].reservations[1:])
    verdict = judge(plan, replace(evidence, nodes=(evidence.nodes[0], shorter, evidence.nodes[2])))

    assert "n1 and n2 have different records" in verdict.reasons
    assert "n2 and n3 have different records" in verdict.reasons


@pytest.mark.parametrize("state_hash", [StateHash(40, b"other", b"digest"), StateHash(40, b"chain", b"other")])
def test_a_different_hash(plan: SalePlan, evidence: Evidence, state_hash: StateHash) -> None:
    strange = replace(evidence.nodes[2], state_hash=state_hash)
    verdict = judge(plan, replace(evidence, nodes=(*evidence.nodes[:2], strange)))

    assert not verdict.state_hash_equal
    assert any(reason.startswith("the state hashes differ") for reason in verdict.reasons)


def test_a_node_that_did_not_answer(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, replace(evidence, nodes=evidence.nodes[:2]))

    assert verdict.reasons == ("2 nodes answered at the end, 3 are in the cluster",)


def test_no_node_answered(plan: SalePlan, evidence: Evidence) -> None:
    verdict = judge(plan, replace(evidence, nodes=()))

    assert not verdict.state_hash_equal
    assert not verdict.ok


def test_a_call_without_an_answer(plan: SalePlan, evidence: Evidence) -> None:
    deaf = replace(evidence.buyers[4], ending=Ending.FAILED, error="reserve got no answer")
    verdict = judge(plan, replace(evidence, buyers=(*evidence.buyers[:4], deaf)))

    assert verdict.failed == 1
    assert verdict.reasons == ("e got no definite answer: reserve got no answer",)


def change_zombie(**changes: Any) -> Change:
    return lambda evidence: replace(evidence, zombie=replace(evidence.zombie, **changes))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda evidence: replace(evidence, buyers=evidence.buyers[:4]), "4 buyers reported, 5 came"),
        (lambda evidence: replace(evidence, kills=()), "0 leaders were killed, 1 were to be"),
        (lambda evidence: replace(evidence, terms=(1, 2, 2)), "terms must rise: [1, 2, 2]"),
        (
            lambda evidence: replace(evidence, kills=(replace(evidence.kills[0], next_term=1),)),
            "n2 led in term 1 after n1 in term 1",
        ),
        (change_zombie(outcome=Outcome.CONFIRMED), "the zombie was answered CONFIRMED, expected EXPIRED"),
        (
            change_zombie(warehouse_refused=False),
            "the warehouse let the zombie's token 2.20.0 pass after 2.30.0",
        ),
        (
            change_zombie(sold_token=FencingToken(2, 19, 0)),
            "the warehouse let the zombie's token 2.20.0 pass after 2.19.0",
        ),
        (change_zombie(sold_to="thief"), "n1 sold the last vase to ['heir'], expected thief"),
        (lambda evidence: without_order(evidence, "heir"), f"n1 sold 0 of {LAST_VASE}, expected 1"),
    ],
)
def test_everything_else_that_can_be_wrong(plan: SalePlan, evidence: Evidence, change: Change, reason: str) -> None:
    assert reason in judge(plan, change(evidence)).reasons


def test_demand_below_supply_sells_to_every_good_card(evidence: Evidence) -> None:
    """Six vases, five buyers, one cannot pay: four sold, two left."""
    plan = plan_sale(Options(units=6, orders=5, nodes=3, kills=1, seed=1))

    reasons = judge(plan, evidence).reasons

    assert "n1 sold 2 of forest-whisper, expected 4" in reasons
    assert any("'available': 2" in reason for reason in reasons)
