"""Both hashes: every index, entry and result is in the chain; every logical row is in the digest."""

import pytest

from lastunit_node import sqlite
from lastunit_node.statemachine.codec import NO_OP, encode_entry
from lastunit_node.statemachine.commands import (
    AdjustStock,
    Admit,
    Confirm,
    Entry,
    ExtendHold,
    FencingToken,
    Line,
    PlaceOrder,
    ReceiveStock,
    Release,
    Reserve,
    ReturnUnits,
    Tick,
)
from lastunit_node.statemachine.database import Identity, create_schema
from lastunit_node.statemachine.hashing import Digest
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Outcome, StateHash
from lastunit_node.statemachine.schema import FORMAT_VERSION
from lastunit_node.statemachine.tables import LOGICAL_TABLES

from .shop import FOREVER, TERM, Shop, lines, memory_database, units


def test_a_fresh_state_hashes_alike_on_every_node() -> None:
    other = sqlite.connect(":memory:")
    create_schema(other, Identity("cluster", "n2"))

    assert StateMachine(other).state_hash() == StateMachine(memory_database()).state_hash()


def test_the_hash_names_its_index(shop: Shop) -> None:
    before = shop.machine.state_hash()
    assert before == StateHash(shop.machine.applied_index, shop.machine.chain, shop.machine.digest)
    shop.barrier()

    after = shop.machine.state_hash()

    assert after.index == before.index + 1
    assert after.chain != before.chain
    assert after.digest == before.digest
    assert len(after.chain) == len(after.digest) == 16


def test_the_same_log_gives_the_same_hashes() -> None:
    first, second = Shop(), Shop()
    for shop in (first, second):
        shop.receive("delivery", vase=2)
        shop.release("r1", shop.hold("r1", vase=1))
        shop.tick(2)

    assert first.machine.state_hash() == second.machine.state_hash()


def test_the_chain_covers_index_term_and_entry() -> None:
    def chain(term: int, *entries: bytes) -> bytes:
        machine = StateMachine(memory_database())
        for index, entry in enumerate(entries, 1):
            machine.apply(index, term, entry)
        return machine.chain

    barrier = encode_entry(Entry(1, 1, ()))
    chains = [
        chain(1, NO_OP),
        chain(2, NO_OP),
        chain(1, NO_OP, NO_OP),
        chain(1, barrier),
        chain(1, encode_entry(Entry(2, 1, ()))),
        chain(1, barrier, NO_OP),
        chain(1, NO_OP, barrier),
    ]
    assert len(set(chains)) == len(chains)


def test_the_chain_covers_the_results(shop: Shop) -> None:
    poorer = Shop()
    poorer.receive("delivery", vase=9, bowl=5)
    poorer.machine.chain = shop.machine.chain
    entry = encode_entry(Entry(1, FOREVER, (PlaceOrder("o1", (Line("vase", 10),)),)))

    results = [one.apply_bytes(entry).results[0].outcome for one in (shop, poorer)]

    assert results == [Outcome.ORDER_PLACED, Outcome.OUT_OF_STOCK]
    assert poorer.machine.chain != shop.machine.chain


def test_the_hashes_of_a_small_history_are_pinned() -> None:
    """While versions take turns, nodes of both compare them: where these change, FORMAT_VERSION does."""
    shop = Shop()
    shop.apply(ReceiveStock("delivery", lines({"vase": 20, "bowl": 5})), Admit("n3", "a1b2", 0))
    token = shop.hold("r1", vase=4, bowl=1)
    shop.apply(Reserve("r2", lines({"vase": 2}), 1), PlaceOrder("o1", lines({"vase": 3})), Tick(0), Tick(7))
    shop.apply(Confirm("r1", token, lines({"vase": 3})), PlaceOrder("o2", lines({"vase": 99})), Release("late", None))
    shop.apply(Confirm("r1", token, lines({"vase": 3})), ExtendHold("r2", FencingToken(TERM, 4, 0), 4))
    shop.apply(AdjustStock("lost", "vase", 1, (), "lost"), ReturnUnits("back", "o1", units("vase", (8, 8))))
    shop.apply(*[Confirm("r2", FencingToken(TERM, 4, 0), ())] * 2)

    assert FORMAT_VERSION == 7
    assert shop.machine.chain.hex() == "035cb4bcab6af34283196c3cea8b626f"
    assert shop.machine.digest.hex() == "6b30de860b8180581dc2d5fab15b1b6c"


def test_the_same_row_of_another_table_has_another_hash() -> None:
    digests = set()
    for schema in LOGICAL_TABLES:
        digest = Digest()
        digest.add_all(schema.seed, [("vase", 1, 1)])
        digests.add(digest.to_bytes())
    assert len(digests) == len(LOGICAL_TABLES)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stock SET received = received + 1, sold = sold + 1 WHERE sku = 'vase'",
        "UPDATE stock SET last = last - 1 WHERE sku = 'bowl'",
        "UPDATE available_units SET last = last - 1 WHERE sku = 'vase'",
        "UPDATE removed_units SET adjustment_id = 'other'",
        "UPDATE reservations SET units = '[]' WHERE reservation_id = 'o1'",
        "UPDATE reservations SET forget_at_tick = forget_at_tick + 1 WHERE forget_at_tick IS NOT NULL",
        "DELETE FROM reservations WHERE reservation_id = 'o1'",
        "UPDATE stock_changes SET request = x'00' WHERE kind = 'adjustment'",
        "UPDATE clock SET ticks = ticks + 1",
        "UPDATE parameters SET retention_ticks = retention_ticks + 1",
    ],
)
def test_a_scan_finds_a_row_that_changed_behind_our_back(shop: Shop, damage: str) -> None:
    shop.order("o1", vase=2)
    shop.order("o2", vase=99)
    shop.remove_units("broken", "vase", (5, 5))
    assert shop.machine.scan_digest() == shop.machine.digest

    shop.connection.execute(damage)
    assert shop.connection.changes() > 0

    assert shop.machine.scan_digest() != shop.machine.digest
