"""The checker accepts honest histories, and says of every doctored one what is wrong with it."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.checker import check
from chaos.checker import main as check_file
from chaos.history import (
    Answer,
    AnyRecord,
    Arguments,
    Call,
    FaultRecord,
    History,
    HistoryWriter,
    Reservation,
    Token,
    UnreadableHistory,
    read_history,
)
from chaos.honest import HonestCluster
from chaos.verdict import call_figures

Doctor = Callable[[History], None]


@pytest.fixture(scope="module")
def honest() -> History:
    return HonestCluster(seed=7).run(entries=80)


@pytest.mark.parametrize("seed", range(6))
def test_an_honest_history_is_accepted(seed: int) -> None:
    history = HonestCluster(seed).run(entries=40)
    assert check(history).violations == []
    figures = call_figures(history)
    assert min(figures[name] for name in ("acked", "refused", "replayed", "unknown", "reads")) > 0


def test_an_extension_may_come_too_late_though_its_first_try_did_not() -> None:
    """Found by a run: the node that was asked had seen no result of the first try, and proposed it again."""
    histories = [HonestCluster(seed, tries_twice=True).run(entries=40) for seed in range(6)]
    assert [check(history).violations for history in histories] == [[]] * len(histories)
    ends = [{one.id: one.expires_at_tick for one in history.states[0].reservations} for history in histories]
    late = [
        (number, call.arguments.id, call.arguments.until_tick)
        for number, history in enumerate(histories)
        for call in history.calls
        if call.command == "extend" and call.answer and call.answer.outcome == "EXPIRED"
    ]
    assert any(ends[number][name] >= until for number, name, until in late)


def test_the_honest_history_has_what_doctors_need(honest: History) -> None:
    outcomes = {call.answer.outcome for call in honest.calls if call.answer}
    assert {"RESERVED", "CONFIRMED", "RELEASED", "EXTENDED", "EXPIRED", "RETURNED", "OUT_OF_STOCK"} <= outcomes
    assert {"STALE_TOKEN", "ADJUSTED", "RECEIVED", "ORDER_PLACED"} <= outcomes


# Tools of the trade.


def first_ones(history: History, outcome: str) -> list[int]:
    """Places in the history of calls that were the first to get this answer."""
    calls = enumerate(history.calls)
    return [at for at, call in calls if call.answer and call.answer.outcome == outcome and not call.answer.replayed]


def change(history: History, at: int, **changes: Any) -> Call:
    """Change fields of a call; what is named like a field of the answer is one of these."""
    call = history.calls[at]
    answered = {name: value for name, value in changes.items() if name in Answer.model_fields}
    own = {name: value for name, value in changes.items() if name not in answered}
    if answered:
        own["answer"] = told(call).model_copy(update=answered)
    history.calls[at] = call.model_copy(update=own)
    return history.calls[at]


def told(call: Call) -> Answer:
    assert call.answer is not None
    return call.answer


def change_final(history: History, **changes: Any) -> None:
    history.states[0] = history.states[0].model_copy(update=changes)


def change_reservation(history: History, name: str, **changes: Any) -> None:
    rows = history.states[0].reservations
    new = tuple(one.model_copy(update=changes) if one.id == name else one for one in rows)
    change_final(history, reservations=new)


def reads(history: History) -> Iterator[tuple[int, Call]]:
    return ((at, call) for at, call in enumerate(history.calls) if call.command == "get_stock")


# What they do.


def swap_two_results(history: History) -> None:
    one, other = first_ones(history, "ORDER_PLACED")[:2]
    first, second = history.calls[one].answer, history.calls[other].answer
    change(history, one, answer=second)
    change(history, other, answer=first)


def lose_an_acknowledged_order(history: History) -> None:
    name = history.calls[first_ones(history, "ORDER_PLACED")[3]].arguments.id
    change_final(history, reservations=tuple(one for one in history.states[0].reservations if one.id != name))


def lose_a_confirmation(history: History) -> None:
    name = history.calls[first_ones(history, "CONFIRMED")[0]].arguments.id
    change_reservation(history, name, state="EXPIRED", units={})


def lose_a_receipt(history: History) -> None:
    levels = history.states[0].stock
    less = levels[0].model_copy(update={"received": levels[0].received - 3, "available": levels[0].available - 3})
    change_final(history, stock=(less, *levels[1:]))


def receive_twice(history: History) -> None:
    levels = history.states[0].stock
    more = levels[0].model_copy(update={"received": levels[0].received + 3, "available": levels[0].available + 3})
    change_final(history, stock=(more, *levels[1:]))


def sell_a_unit_twice(history: History) -> None:
    one, other = first_ones(history, "ORDER_PLACED")[:2]
    change(history, other, units=told(history.calls[one]).units)


def end_with_a_unit_sold_twice(history: History) -> None:
    sold = [one for one in history.states[0].reservations if one.state == "CONFIRMED" and one.units]
    change_reservation(history, sold[1].id, units=sold[0].units)


def end_oversold(history: History) -> None:
    levels = history.states[0].stock
    changed = levels[0].model_copy(update={"received": 0, "available": 0, "removed": 0})
    change_final(history, stock=(changed, *levels[1:]))


def show_an_old_level(history: History) -> None:
    (_, early), *_, (late, _) = list(reads(history))
    change(history, late, answer=early.answer)


def show_a_wrong_level(history: History) -> None:
    at, call = list(reads(history))[5]
    level = told(call).level
    assert level is not None
    change(history, at, level=level.model_copy(update={"available": level.available + 1, "sold": level.sold - 1}))


def find_nothing(history: History) -> None:
    at, call = next((at, call) for at, call in enumerate(history.calls) if call.command == "get_reservation")
    change(history, at, came_to="not_found", answer=None, called_at=call.called_at + 1.0)


def find_no_stock(history: History) -> None:
    at, _ = list(reads(history))[-1]
    change(history, at, came_to="not_found", answer=None)


def look_in_vain(history: History, name: str) -> None:
    """When all is over."""
    asked = Arguments(id=name)
    call = Call(client="c1", command="get_reservation", arguments=asked, called_at=1e6, returned_at=1e6 + 1)
    history.calls.append(call.model_copy(update={"came_to": "not_found"}))


def lose_the_answers(history: History, name: str, commands: set[str]) -> None:
    for at, call in enumerate(history.calls):
        if call.arguments.id == name and call.command in commands:
            change(history, at, came_to="unknown", answer=None)


def find_nothing_of_what_was_confirmed(history: History) -> None:
    name = history.calls[first_ones(history, "CONFIRMED")[0]].arguments.id
    lose_the_answers(history, name, {"reserve", "get_reservation"})
    change_final(history, reservations=())
    look_in_vain(history, name)


def find_nothing_of_what_there_is_in_the_end(history: History) -> None:
    name = history.calls[first_ones(history, "ORDER_PLACED")[0]].arguments.id
    lose_the_answers(history, name, {"place", "get_reservation"})
    look_in_vain(history, name)


def hide_a_reservation(history: History) -> None:
    change(history, first_ones(history, "EXTENDED")[0], reservation=None)


def a_repeat(history: History) -> tuple[int, Reservation]:
    """One whose reservation is sold in the end, and is shown so."""
    for at, call in enumerate(history.calls):
        shown = call.answer and call.answer.replayed and call.answer.reservation
        if shown and shown.state == "CONFIRMED":
            return at, shown
    raise AssertionError("none")


def show_a_repeat_another_end(history: History) -> None:
    at, shown = a_repeat(history)
    change(history, at, reservation=shown.model_copy(update={"state": "EXPIRED"}))


def show_a_repeat_other_lines(history: History) -> None:
    at, shown = a_repeat(history)
    change(history, at, reservation=shown.model_copy(update={"lines": {"soap": 9}}))


def reuse_a_token(history: History) -> None:
    one, other = first_ones(history, "ORDER_PLACED")[:2]
    change(history, other, token=told(history.calls[one]).token)


def go_back_a_term(history: History) -> None:
    at = first_ones(history, "ORDER_PLACED")[-1]
    token = told(history.calls[at]).token
    assert token is not None
    change(history, at, token=token._replace(term=0))


def apply_twice(history: History) -> None:
    call = history.calls[first_ones(history, "ORDER_PLACED")[0]]
    last = max(told(call).index for call in history.calls if call.answer)
    answer = told(call).model_copy(
        update={"index": last + 1, "applied_index": last + 1, "token": Token(99, last + 1, 0)}
    )
    history.calls.append(call.model_copy(update={"called_at": 1e6, "returned_at": 1e6 + 1, "answer": answer}))


def apply_what_definitely_failed(history: History) -> None:
    name = history.calls[first_ones(history, "ORDER_PLACED")[2]].arguments.id
    for at, call in enumerate(history.calls):
        if call.arguments.id == name and not call.is_read:
            change(history, at, came_to="not_applied", answer=None)


def expire_early(history: History) -> None:
    at = first_ones(history, "CONFIRMED")[0]
    for other, call in enumerate(history.calls):
        if call.arguments == history.calls[at].arguments and call.command == "confirm" and call.answer:
            change(history, other, outcome="EXPIRED", units={}, reservation=None)


def outlive(history: History) -> None:
    at = next(at for at in first_ones(history, "EXPIRED") if history.calls[at].command == "release")
    change(history, at, outcome="RELEASED", reservation=None)


def hurry_the_clock(history: History) -> None:
    for at, call in enumerate(history.calls):
        assert call.returned_at is not None
        change(history, at, called_at=call.called_at / 10, returned_at=call.returned_at / 10)


def contradict_the_clock(history: History) -> None:
    one = next(one for one in history.states[0].reservations if one.token)
    change_reservation(history, one.id, created_at_tick=one.created_at_tick + 5)


def differ_between_nodes(history: History) -> None:
    change_final(history, hashes={**history.states[0].hashes, "n3": "812 00 00"})


def leave_a_node_out(history: History) -> None:
    change_final(history, hashes={"n1": history.states[0].hashes["n1"]})


def repeat_another_answer(history: History) -> None:
    at = next(at for at, call in enumerate(history.calls) if call.answer and call.answer.replayed and call.answer.units)
    change(history, at, units={"vase": ((1, 99),)})


def invent_a_reservation(history: History) -> None:
    ghost = Reservation(id="ghost", state="RELEASED")
    change_final(history, reservations=(*history.states[0].reservations, ghost))


def ask_after_the_fact(history: History) -> None:
    at = first_ones(history, "ORDER_PLACED")[0]
    change(history, at, called_at=1e6, returned_at=1e6 + 1)


def refuse_what_was_there(history: History) -> None:
    at = first_ones(history, "ORDER_PLACED")[0]
    sku = next(iter(history.calls[at].arguments.lines))
    change(history, at, outcome="OUT_OF_STOCK", units={}, token=None, reservation=None, shortages=((sku, 9, 0),))


def accept_a_stale_token(history: History) -> None:
    change(history, first_ones(history, "STALE_TOKEN")[0], outcome="RELEASED")


def never_end(history: History) -> None:
    history.calls.append(history.calls[-1].model_copy(update={"returned_at": None, "answer": None}))


def answer_from_the_future(history: History) -> None:
    at = first_ones(history, "RESERVED")[1]
    change(history, at, applied_index=told(history.calls[at]).index - 1)


DOCTORED: dict[Doctor, str] = {
    swap_two_results: r"(answer|duplicate_units|order): c\d's place of .*",
    lose_an_acknowledged_order: r"lost: c\d's place of \S+ \(ORDER_PLACED at .*\) .* there is no such reservation",
    lose_a_confirmation: r"lost: c\d's confirm of .* in the end it is EXPIRED",
    lose_a_receipt: r"lost: \d+ units of bowl were acknowledged as received; \d+ are there",
    receive_twice: r"twice: at most \d+ units of bowl were received; \d+ are there",
    sell_a_unit_twice: r"duplicate_units: c\d's place of \S+ .* was given \w+ #\d+, which \S+ has \(CONFIRMED\)",
    end_with_a_unit_sold_twice: r"duplicate_units: \w+ #\d+ is both \S+'s and \S+'s",
    end_oversold: r"oversold: \d+ units of bowl have owners",
    show_an_old_level: r"order: stale: c0's get_stock of \w+ .* had been answered by index \d+ before",
    show_a_wrong_level: r"answer: c0's get_stock of .* was shown .* by the log it is",
    find_nothing: r"order: c1's get_reservation of \S+ \(not_found\) found nothing, though it was there at index \d+",
    find_no_stock: r"order: c0's get_stock of \S+ \(not_found\) found nothing, though it was there at index \d+",
    find_nothing_of_what_was_confirmed: r"order: c1's get_reservation of .* found nothing, though it was there at",
    find_nothing_of_what_there_is_in_the_end: r"order: c1's get_reservation of .* found nothing, though it was there",
    hide_a_reservation: r"answer: c\d's extend of .* was told None; by the log it is Reservation",
    show_a_repeat_another_end: r"answer: c\d's \w+ of .* was shown .*EXPIRED.*; in the end it is .*CONFIRMED",
    show_a_repeat_other_lines: r"answer: c\d's \w+ of .* was shown .*'soap': 9.*; in the end it is",
    reuse_a_token: r"token: token \(\d+, \d+, \d+\) was given to \S+ and to \S+",
    go_back_a_term: r"token: token \(0, \d+, \d+\) of \S+ is below the earlier",
    apply_twice: r"twice: c\d's place of \S+ .* took effect, though the same call had at index \d+ already",
    apply_what_definitely_failed: r"definite: \S+ was certainly not applied, as its caller was told; it is CONFIRMED",
    expire_early: r"expiry: c\d's confirm of .*: the hold expires at tick \d+, and the clock was \d+ to \d+",
    outlive: r"expiry: c\d's release of .*: the hold expires at tick \d+, and the clock was \d+ to \d+",
    hurry_the_clock: r"expiry: the clock ran too fast between index \d+ and \d+",
    contradict_the_clock: r"expiry: at index \d+ the clock is \d+, but the final state says \d+",
    differ_between_nodes: r"state: nodes end with different states: .*'n3': '812 00 00'",
    leave_a_node_out: r"state: the final state of n\d was not read",
    repeat_another_answer: r"answer: c\d's \w+ of .* does not repeat the first answer",
    invent_a_reservation: r"state: nobody asked for ghost, which is RELEASED",
    ask_after_the_fact: r"order: c\d's place of .* and stands before it in the log",
    refuse_what_was_there: r"answer: c\d's place of .*: outcome was 'OUT_OF_STOCK', the log gives 'ORDER_PLACED'",
    accept_a_stale_token: r"answer: c\d's .* of .*: outcome was 'RELEASED', the log gives 'STALE_TOKEN'",
    never_end: r"unended: .* never ended",
    answer_from_the_future: r"order: c\d's reserve of .* by a node that had applied only index \d+",
}


@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda doctor: doctor.__name__)
def test_a_doctored_history_is_rejected(honest: History, doctor: Doctor) -> None:
    history = copy.deepcopy(honest)
    doctor(history)
    found = "\n".join(map(str, check(history).violations))
    assert re.search(DOCTORED[doctor], found), found


def test_an_order_in_doubt_may_be_there_or_not(honest: History) -> None:
    """Never answered, never repeated: the final state and the other answers decide."""
    history = copy.deepcopy(honest)
    last = history.calls[first_ones(history, "ORDER_PLACED")[-1]]
    for at, call in enumerate(history.calls):
        if (call.command, call.arguments) == (last.command, last.arguments):
            change(history, at, came_to="unknown", answer=None)
    fresh = last.arguments.model_copy(update={"id": "never-applied"})
    history.calls.append(last.model_copy(update={"arguments": fresh, "came_to": "unknown", "answer": None}))
    assert check(history).violations == []


def test_a_history_is_read_as_it_was_written(
    honest: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.jsonl"
    with path.open("w", encoding="utf-8") as file:
        writer = HistoryWriter(honest.run, file)
        fault = FaultRecord(name="kill leader", nodes=("n1",), began_at=1.0, ended_at=2.5, term=3)
        records: list[AnyRecord] = [*honest.calls, fault, *honest.states]
        for record in records:
            writer.add(record)
    assert read_history(path) == writer.history
    assert check_file(str(path)) == 0
    assert "0 violations" in capsys.readouterr().out


def test_what_is_no_history_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"kind": "call"}\n', encoding="utf-8")
    with pytest.raises(UnreadableHistory, match="line 1"):
        read_history(path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(UnreadableHistory, match="not a run"):
        read_history(path)
