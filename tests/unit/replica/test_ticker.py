"""Ticks are paced: never early, never in a burst, and a new leader waits one full interval."""

from lastunit_node.replica.ticker import Ticker


def test_one_tick_an_interval_after_the_clock_changed() -> None:
    ticker = Ticker()
    assert not ticker.is_due(0.0, clock=0, leading_term=1, interval=1.0)
    assert not ticker.is_due(0.9, clock=0, leading_term=1, interval=1.0)
    assert ticker.is_due(1.0, clock=0, leading_term=1, interval=1.0)
    assert not ticker.is_due(1.2, clock=1, leading_term=1, interval=1.0), "the clock changed at 1.2"
    assert not ticker.is_due(2.1, clock=1, leading_term=1, interval=1.0)
    assert ticker.is_due(2.2, clock=1, leading_term=1, interval=1.0)


def test_a_late_timer_does_not_burst() -> None:
    ticker = Ticker()
    ticker.is_due(0.0, clock=0, leading_term=1, interval=1.0)
    assert ticker.is_due(60.0, clock=0, leading_term=1, interval=1.0)
    assert not ticker.is_due(60.1, clock=0, leading_term=1, interval=1.0), "proposed at 60.0 and not applied yet"
    assert not ticker.is_due(60.2, clock=1, leading_term=1, interval=1.0)


def test_a_tick_that_was_lost_is_proposed_again_an_interval_later() -> None:
    ticker = Ticker()
    ticker.is_due(0.0, clock=0, leading_term=1, interval=1.0)
    assert ticker.is_due(1.0, clock=0, leading_term=1, interval=1.0)
    assert ticker.is_due(2.0, clock=0, leading_term=1, interval=1.0)


def test_a_new_leader_waits_one_full_interval() -> None:
    ticker = Ticker()
    ticker.is_due(0.0, clock=5, leading_term=1, interval=1.0)
    assert not ticker.is_due(100.0, clock=5, leading_term=3, interval=1.0)
    assert not ticker.is_due(100.9, clock=5, leading_term=3, interval=1.0)
    assert ticker.is_due(101.0, clock=5, leading_term=3, interval=1.0)
