"""One COMMIT for many entries, and none later than a read that waits for it."""

import pytest
from unit.statemachine.shop import Shop

from lastunit_node.replica import state_commits, timing
from lastunit_node.replica.state_commits import NEVER, StateCommits


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.machine.commit()
    return shop


def test_entries_of_a_short_while_share_one_commit(shop: Shop) -> None:
    commits, before = StateCommits(shop.machine), shop.machine.committed_index
    commits.when_due(1.0)
    for _ in range(3):
        shop.barrier()
        commits.when_due(1.0 + timing.STATE_COMMIT / 2)
    assert shop.machine.committed_index == before
    commits.when_due(1.0 + timing.STATE_COMMIT)
    assert shop.machine.committed_index == shop.machine.applied_index == before + 3


def test_a_node_that_waits_for_acknowledgements_puts_it_off_but_not_for_good(shop: Shop) -> None:
    commits, before = StateCommits(shop.machine), shop.machine.committed_index
    commits.when_due(1.0, busy=True)
    shop.barrier()
    commits.when_due(1.0 + timing.STATE_COMMIT, busy=True)
    assert shop.machine.committed_index == before
    commits.when_due(1.0 + timing.STATE_COMMIT_WHEN_BUSY, busy=True)
    assert shop.machine.committed_index == shop.machine.applied_index == before + 1


def test_a_read_that_waits_has_its_index_committed_at_once(shop: Shop) -> None:
    commits, before = StateCommits(shop.machine), shop.machine.committed_index
    commits.want(before + 2)
    shop.barrier()
    commits.when_wanted()
    assert shop.machine.committed_index == before, "it waits for the next one"
    shop.barrier()
    commits.when_wanted()
    assert shop.machine.committed_index == before + 2
    commits.want(NEVER)
    shop.barrier()
    commits.when_wanted()
    assert shop.machine.committed_index == before + 2


def test_one_transaction_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_commits, "MAX_ENTRIES", 3)
    commits, before = StateCommits(shop.machine), shop.machine.committed_index
    commits.when_due(1.0)
    for _ in range(3):
        shop.barrier()
        commits.when_due(1.0)
    assert shop.machine.committed_index == before + 3
