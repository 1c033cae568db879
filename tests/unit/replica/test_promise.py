"""To whom a pre-vote is promised, and for how long."""

from lastunit_node.replica import timing
from lastunit_node.replica.promise import Candidate, Promise

OWN, BEFORE = Candidate(1, 1, "n5"), Candidate(1, 1, "n4")


def asking() -> Promise:
    """Of n5, which asked n1 and n2 at time 0."""
    promise = Promise("n5")
    promise.ask(OWN, ["n1", "n2"], 0.0)
    return promise


def test_what_a_node_promised_itself_ends_when_all_have_answered() -> None:
    promise = asking()
    promise.answered("n1", granted=True)
    assert not promise.is_free_for(BEFORE, timing.PROMISE), "n2 has not"
    promise.answered("n2", granted=True)
    assert not promise.is_free_for(BEFORE, timing.PROMISE / 2)
    assert promise.is_free_for(BEFORE, timing.PROMISE)


def test_it_ends_some_time_later_when_one_never_answers() -> None:
    promise = asking()
    assert not promise.is_free_for(BEFORE, 1.9 * timing.PROMISE)
    assert promise.is_free_for(BEFORE, 2 * timing.PROMISE)


def test_it_gives_way_to_one_that_refused_and_to_none_that_granted() -> None:
    promise = asking()
    promise.answered("n1", granted=True)
    promise.answered("n2", granted=False)
    assert not promise.is_free_for(Candidate(1, 1, "n1"), 0.0)
    assert promise.is_free_for(Candidate(1, 1, "n2"), 0.0)
    promise.ask(OWN, ["n1", "n2"], 0.1)
    assert not promise.is_free_for(Candidate(1, 1, "n2"), 0.1), "what it refused is over"


def test_who_stands_gives_way_to_nobody_while_that_lasts() -> None:
    promise = asking()
    promise.keep(OWN, 0.0)
    assert not promise.is_free_for(Candidate(9, 9, "n9"), 0.0)
    assert promise.is_free_for(Candidate(9, 9, "n9"), timing.PROMISE)
    promise.give(BEFORE, timing.PROMISE)
    assert promise.is_free_for(Candidate(9, 9, "n9"), timing.PROMISE)
    assert promise.is_to_another(timing.PROMISE)
    assert not promise.is_to_another(2 * timing.PROMISE)
