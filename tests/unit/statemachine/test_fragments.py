"""Orders whose units lie in too many ranges are refused: one command keeps no node busy for seconds."""

import pytest

from lastunit_node.statemachine.commands import AdjustStock, Reserve
from lastunit_node.statemachine.fragments import RANGES_AN_ORDER
from lastunit_node.statemachine.limits import MAX_RANGES
from lastunit_node.statemachine.results import Outcome

from .shop import Shop, audit, lines, ranges

PIECES = RANGES_AN_ORDER + 2


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Vases in so many pieces of one unit, and one piece of many above them."""
    shop = Shop()
    shop.receive("d", vase=2 * PIECES + 20_000, bowl=20_000, mug=1)
    for start in range(0, PIECES, MAX_RANGES):
        numbers = range(start, min(start + MAX_RANGES, PIECES))
        shop.do(AdjustStock(f"a{start}", "vase", 0, ranges(*((2 * n + 1, 2 * n + 1) for n in numbers)), ""))
    return shop


def test_an_order_takes_so_many_ranges_and_no_more(shop: Shop) -> None:
    refused = shop.order("too-many", vase=RANGES_AN_ORDER + 1)
    assert refused.outcome is Outcome.TOO_FRAGMENTED
    assert shop.order("too-many", vase=RANGES_AN_ORDER + 1) == refused._replace(replayed=True)
    assert shop.reserve("held", vase=RANGES_AN_ORDER + 1).outcome is Outcome.TOO_FRAGMENTED
    unmoved = shop.remove("gone", "vase", RANGES_AN_ORDER + 1)
    assert unmoved.outcome is Outcome.TOO_FRAGMENTED
    assert shop.remove("gone", "vase", RANGES_AN_ORDER + 1) == unmoved._replace(replayed=True)
    before = shop.level()

    taken = shop.reserve("just", vase=RANGES_AN_ORDER)

    assert taken.outcome is Outcome.RESERVED
    assert len(taken.units[0].ranges) == RANGES_AN_ORDER
    shop.release("just", taken.token)
    assert shop.level() == before
    audit(shop.connection)


def test_the_lines_of_an_order_share_them(shop: Shop) -> None:
    result = shop.reserve("shared", vase=RANGES_AN_ORDER, bowl=1)
    assert result.outcome is Outcome.TOO_FRAGMENTED
    fits = shop.reserve("fits", vase=RANGES_AN_ORDER - 1, bowl=20_000)
    assert fits.outcome is Outcome.RESERVED
    assert sum(len(line.ranges) for line in fits.units) == RANGES_AN_ORDER
    shop.release("fits", fits.token)


def test_who_asks_for_more_than_there_is_hears_of_that(shop: Shop) -> None:
    assert shop.order("more", vase=10 * PIECES).outcome is Outcome.OUT_OF_STOCK


def test_what_is_read_to_find_out_counts_for_the_entry(shop: Shop) -> None:
    orders = [Reserve(f"r{n}", lines({"vase": RANGES_AN_ORDER + 1}), 0) for n in range(3)]
    outcomes = [result.outcome for result in shop.apply(*orders)]
    assert outcomes == [Outcome.TOO_FRAGMENTED, Outcome.POSTPONED, Outcome.POSTPONED]
