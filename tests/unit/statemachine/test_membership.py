"""Which disk of a node counts: Admit."""

from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.machine import StateMachine
from lastunit_node.statemachine.results import Outcome
from lastunit_node.statemachine.tables import AdmittedRow

from .shop import TERM, Shop


def test_a_disk_is_admitted_at_its_place_in_the_log(shop: Shop) -> None:
    assert shop.machine.admitted("n3") is None

    assert shop.do(Admit("n3", "a1b2", 0)).outcome is Outcome.ADMITTED

    assert shop.machine.admitted("n3") == AdmittedRow("n3", "a1b2", shop.machine.applied_index, TERM, 0)
    assert shop.machine.admitted("n2") is None


def test_another_disk_takes_its_place(shop: Shop) -> None:
    shop.do(Admit("n3", "old", 0))
    first = shop.machine.applied_index

    assert shop.do(Admit("n3", "new", first)).outcome is Outcome.ADMITTED

    assert shop.machine.admitted("n3") == AdmittedRow("n3", "new", first + 1, TERM, first)
    shop.machine.commit()
    assert StateMachine(shop.connection).admitted("n3") == shop.machine.admitted("n3")


def test_an_admission_that_was_delayed_replaces_no_other(shop: Shop) -> None:
    shop.do(Admit("n3", "old", 0))
    shop.do(Admit("n3", "new", shop.machine.applied_index))
    admitted = shop.machine.admitted("n3")

    for late in (Admit("n3", "old", 0), Admit("n3", "other", shop.machine.applied_index - 1)):
        assert shop.do(late).outcome is Outcome.ADMITTED_BEFORE

    assert shop.machine.admitted("n3") == admitted


def test_the_same_admission_again_changes_nothing(shop: Shop) -> None:
    shop.do(Admit("n3", "a1b2", 0))
    admitted, digest = shop.machine.admitted("n3"), shop.machine.digest

    shop.do(Admit("n3", "a1b2", 0))
    shop.do(Admit("n3", "a1b2", admitted.idx if admitted else 0))

    assert (shop.machine.admitted("n3"), shop.machine.digest) == (admitted, digest)


def test_nodes_are_admitted_before_the_cluster_is_configured_and_whatever_the_clock_says(shop: Shop) -> None:
    unconfigured = Shop(configured=False)
    shop.tick()

    assert unconfigured.do(Admit("n1", "a", 0)).outcome is Outcome.ADMITTED
    assert shop.do(Admit("n1", "a", 0), valid_until_tick=0).outcome is Outcome.ADMITTED


def test_admissions_are_in_the_digest(shop: Shop) -> None:
    before = shop.machine.digest
    shop.do(Admit("n3", "a1b2", 0))

    assert shop.machine.digest != before
    shop.connection.execute("UPDATE admitted SET instance = 'other'")
    assert shop.machine.scan_digest() != shop.machine.digest
