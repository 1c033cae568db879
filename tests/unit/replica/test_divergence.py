"""Who is wrong, from reports alone: tables of cases."""

import pytest

from lastunit_node.replica.divergence import MAX_ROUNDS, Rounds, Verdict, contradict, judge
from lastunit_node.statemachine.results import StateHash


def at(index: int, kind: str) -> StateHash:
    return StateHash(index, kind.encode() * 16, bytes(16))


def reports(kinds: str, index: int = 64) -> dict[str, StateHash]:
    """`aab`: n1 and n2 report one hash, n3 another; a dash is a node that said nothing."""
    return {f"n{place}": at(index, kind) for place, kind in enumerate(kinds, 1) if kind != "-"}


@pytest.mark.parametrize(
    ("kinds", "right", "wrong"),
    [
        ("a--", None, ()),
        ("aa-", "a", ()),
        ("ab-", None, ()),
        ("aaa", "a", ()),
        ("aab", "a", ("n3",)),
        ("abb", "b", ("n1",)),
        ("abc", None, ()),
        ("aa---", None, ()),
        ("aaa--", "a", ()),
        ("aab--", None, ()),
        ("aabb-", None, ()),
        ("aabbb", "b", ("n1", "n2")),
        ("abcaa", "a", ("n2", "n3")),
        ("aabbc", None, ()),
        ("----a", None, ()),
    ],
)
def test_right_is_what_most_of_all_members_have(kinds: str, right: str | None, wrong: tuple[str, ...]) -> None:
    assert judge(reports(kinds), len(kinds)) == Verdict(at(64, right) if right else None, wrong)


@pytest.mark.parametrize(("kinds", "expected"), [("a--", False), ("aaa", False), ("ab-", True), ("aab", True)])
def test_a_contradiction_is_two_reports_that_differ(kinds: str, expected: bool) -> None:
    assert contradict(reports(kinds)) is expected


def test_chain_and_digest_both_count() -> None:
    same = at(64, "a")
    for other in (same._replace(chain=b"x" * 16), same._replace(digest=b"x" * 16)):
        assert judge({"n1": same, "n2": same, "n3": other}, 3).wrong == ("n3",)


def make_rounds(*kinds_of_rounds: str) -> Rounds:
    """Rounds at 64, 128, ... of nodes n1 (the leader), n2, ..."""
    rounds = Rounds(len(kinds_of_rounds[0]))
    for number, kinds in enumerate(kinds_of_rounds, 1):
        said = reports(kinds, 64 * number)
        rounds.open("n1", said.pop("n1"))
        for node, report in said.items():
            rounds.add(node, report)
    return rounds


@pytest.mark.parametrize(
    ("kinds", "doubtful"),
    [
        (["a--"], None),
        (["ab-"], 64),
        (["aab"], None),
        (["abc"], 64),
        (["ab-", "a--"], 64),
        (["ab-", "ab-"], 128),
        (["ab-", "aa-"], None),
        (["aa-", "ab-"], 128),
        (["ab-", "aab", "a--"], None),
    ],
)
def test_doubt_lasts_until_a_later_majority(kinds: list[str], doubtful: int | None) -> None:
    found = make_rounds(*kinds).in_doubt()
    assert {report.index for report in found.values()} == ({doubtful} if doubtful else set())


def test_a_node_is_confirmed_by_agreeing_with_a_majority() -> None:
    rounds = make_rounds("aab", "a--")
    assert [rounds.confirmed(node, 64) for node in ("n1", "n2", "n3")] == [True, True, False]
    assert not rounds.confirmed("n1", 128), "alone, nobody is confirmed"
    assert not rounds.confirmed("n1", 65)


def test_a_later_report_of_a_node_takes_the_place_of_its_earlier_one() -> None:
    rounds = make_rounds("aab")
    assert rounds.add("n3", at(64, "a")).wrong == ()


def test_a_report_about_an_index_that_is_not_compared_says_nothing() -> None:
    rounds = make_rounds("aa-")
    assert rounds.add("n3", at(65, "b")) == Verdict(None, ())
    assert rounds.newest == 64


def test_what_is_held_is_bounded() -> None:
    rounds = Rounds(3)
    assert rounds.newest == 0
    for index in range(1, 3 * MAX_ROUNDS):
        rounds.open("n1", at(index, "a"))
    held = [index for index in range(3 * MAX_ROUNDS) if rounds.reports(index)]
    assert held == list(range(2 * MAX_ROUNDS, 3 * MAX_ROUNDS))
    rounds.clear()
    assert rounds.newest == 0
