"""The plan: the same seed draws the same sale, and the numbers add up whatever the options are."""

import pytest

from lastunit_node.cli.sale.plan import LAG_SECONDS, Options, plan_sale


def test_a_seed_draws_the_same_sale_again() -> None:
    options = Options(units=10, orders=15, nodes=3, kills=1, seed=7)

    assert plan_sale(options) == plan_sale(options)
    assert plan_sale(options).choices("x").lag() == plan_sale(options).choices("x").lag()


def test_another_seed_draws_other_cards() -> None:
    cards = {tuple(buyer.card_is_good for buyer in plan_sale(Options(10, 15, 3, 1, seed)).buyers) for seed in range(20)}

    assert len(cards) > 10


def test_roles_do_not_share_a_stream() -> None:
    plan = plan_sale(Options(units=10, orders=15, nodes=3, kills=1, seed=7))

    assert plan.choices("buyer-01").lag() != plan.choices("buyer-02").lag()


def test_lags_are_those_of_the_kata() -> None:
    choices = plan_sale(Options(1, 1, 3, 0, 1)).choices("lag")

    assert all(LAG_SECONDS[0] <= choices.lag() <= LAG_SECONDS[1] for _ in range(1000))


def test_buyers_come_through_all_nodes() -> None:
    plan = plan_sale(Options(units=10, orders=15, nodes=5, kills=0, seed=1))

    assert sorted(buyer.home for buyer in plan.buyers) == sorted(list(range(5)) * 3)


@pytest.mark.parametrize(
    ("units", "orders", "good_cards", "sold"),
    [(10, 15, 12, 10), (40, 200, 160, 40), (20, 15, 12, 12), (1, 1, 1, 1), (1, 15, 12, 1), (12, 14, 12, 12)],
)
def test_what_must_be_sold_is_the_smaller_of_supply_and_paying_demand(
    units: int, orders: int, good_cards: int, sold: int
) -> None:
    plan = plan_sale(Options(units, orders, nodes=3, kills=0, seed=3))

    assert plan.good_cards == good_cards
    assert plan.expected_sold == sold


@pytest.mark.parametrize(
    ("units", "orders", "kills", "kill_after"),
    [(10, 15, 1, (5,)), (40, 200, 3, (10, 20, 30)), (1, 15, 3, (0, 0, 0)), (10, 15, 0, ()), (20, 5, 1, (2,))],
)
def test_kills_split_the_vases_that_will_be_sold(
    units: int, orders: int, kills: int, kill_after: tuple[int, ...]
) -> None:
    assert plan_sale(Options(units, orders, 3, kills, seed=1)).kill_after == kill_after


def test_names_sort_like_numbers() -> None:
    names = [buyer.name for buyer in plan_sale(Options(10, 100, 3, 0, 1)).buyers]

    assert names == sorted(names)
    assert names[0] == "buyer-001"
