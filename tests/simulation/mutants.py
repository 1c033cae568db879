"""Bugs planted one at a time, to see that the simulator finds them: `make mutants`.

Each is a small change to the real code, made in the process of the seed. One that is not found within SEEDS seeds means
that the simulator is too tame. Several are what stock PySyncObj 0.3.17 does.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from lastunit_node.replica import elections, follower, journal, leader, progress, raft, syncobj
from lastunit_node.replica.clock import monotonic
from lastunit_node.statemachine import expiry, machine, orders, reservations, state
from lastunit_node.statemachine.commands import Reserve
from simulation.__main__ import require_fixed_hashes
from simulation.runner import run_seeds
from simulation.world import Report

SEEDS: Final = 150


class Mutant(NamedTuple):
    """A bug: what it is, and how it is planted."""

    name: str
    plant: Callable[[], None]
    nodes: int


MUTANTS: list[Mutant] = []


def mutant(name: str, nodes: int = 3) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        MUTANTS.append(Mutant(name, plant, nodes))
        return plant

    return register


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put make(original) in the place of an attribute."""
    setattr(owner, name, make(getattr(owner, name)))


# Journal.


@mutant("forget the vote")
def forget_the_vote() -> None:
    replace(journal.SqliteJournal, "_read_vote", lambda read: lambda self: (read(self)[0], None))


@mutant("forget the term")
def forget_the_term() -> None:
    replace(journal.SqliteJournal, "_read_vote", lambda _read: lambda _self: (0, None))


@mutant("vote before it is durable")
def vote_unsynced() -> None:
    def set_term(self: Any, term: int, vote: str | None) -> None:
        self._term, self._voted_for, self._vote_unsynced = term, vote, True

    replace(journal.SqliteJournal, "setCurrentTerm", lambda _set: set_term)


@mutant("lose the journal's last entry on restart")
def lose_the_tail() -> None:
    def open_short(read: Callable[..., None]) -> Callable[..., None]:
        def opened(self: Any, *arguments: Any, **options: Any) -> None:
            read(self, *arguments, **options)
            if self.last_index > self.first_index:
                self.cut_from(self.last_index)

        return opened

    replace(journal.SqliteJournal, "__init__", open_short)


@mutant("say synced, and write nothing")
def pretend_to_sync() -> None:
    def sync(self: Any) -> None:
        self._durable, self._cut_from, self._vote_unsynced = self.last_index, None, False

    replace(journal.SqliteJournal, "sync", lambda _sync: sync)


@mutant("apply before it is durable")
def apply_unsynced() -> None:
    def end_turn(original: Callable[..., None]) -> Callable[..., None]:
        def end(self: Any) -> None:
            self.journal.sync = lambda: None
            original(self)
            del self.journal.sync

        return end

    replace(journal.SqliteJournal, "setRaftCommitIndex", lambda _set: lambda _self, _index: None)
    replace(raft.Raft, "_end_turn", end_turn)


# Followers.


@mutant("acknowledge before the sync")
def acknowledge_unsynced() -> None:
    def flush(self: Any) -> None:
        answers, self._answers = self._answers, []
        for node, answer in answers:
            self._raft.send(node, answer)

    replace(follower.Follower, "flush", lambda _flush: flush)


@mutant("cut the log on every overlap (stock)")
def cut_on_overlap() -> None:
    def append(self: Any, message: Mapping[str, Any]) -> None:
        log, first = self._raft.journal, message["prev_index"] + 1
        if log.first_index < first <= log.last_index:
            log.cut_from(first)
        for entry in message["entries"]:
            if entry[1] > log.last_index:
                log.add(*entry)

    replace(follower.Follower, "_append", lambda _append: append)


@mutant("commit what the message did not prove")
def commit_unproved() -> None:
    def learn(self: Any, message: Mapping[str, Any]) -> None:
        self._learn_commit(min(message["commit_index"], self._raft.journal.last_index))

    def on_append(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            original(self, node, message)
            if message["term"] == self._raft.term and self._find_mismatch(message) is None:
                learn(self, message)

        return handle

    replace(follower.Follower, "on_append", on_append)


@mutant("keep conflicting entries")
def keep_conflicts() -> None:
    def append(self: Any, message: Mapping[str, Any]) -> None:
        for entry in message["entries"]:
            if entry[1] > self._raft.journal.last_index:
                self._raft.journal.add(*entry)

    replace(follower.Follower, "_append", lambda _append: append)


@mutant("take any previous entry for the right one")
def skip_the_previous_term() -> None:
    def find(self: Any, message: Mapping[str, Any]) -> int | None:
        last: int = self._raft.journal.last_index
        return last if message["prev_index"] > last else None

    replace(follower.Follower, "_find_mismatch", lambda _find: find)


@mutant("follow a leader of an earlier term")
def follow_old_leaders() -> None:
    def on_append(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            original(self, node, {**message, "term": max(message["term"], self._raft.term)})

        return handle

    replace(follower.Follower, "on_append", on_append)


# Leaders.


@mutant("count acknowledgements of any term, and beyond the log (stock)", nodes=5)
def count_stale_acknowledgements() -> None:
    def on_append_response(self: Any, node: Any, message: Mapping[str, Any]) -> None:
        if self._raft.role == syncobj.LEADER and node in self._progress:
            self._raft.heard_from(node)
            if message["success"]:
                self._progress[node].succeeded(message["last"])
                self._raft.set_match_index(node, message["last"])
            else:
                self._progress[node].rejected(message["prev_index"], message["last"])

    replace(leader.Leader, "on_append_response", lambda _original: on_append_response)


@mutant("ignore rejections")
def ignore_rejections() -> None:
    replace(progress.Progress, "rejected", lambda _rejected: lambda _self, _previous, _hint: False)


@mutant("believe a match without asking")
def assume_a_match() -> None:
    def sent(original: Callable[..., None]) -> Callable[..., None]:
        def send(self: Any, last: int, *more: Any) -> None:
            original(self, last, *more)
            self.match = max(self.match, last)

        return send

    replace(progress.Progress, "sent", sent)


# Elections.


@mutant("vote for a log that is behind")
def vote_for_anyone() -> None:
    replace(elections.Elections, "_is_up_to_date", lambda _is: lambda _self, _message: True)


@mutant("count one vote twice (stock)", nodes=5)
def count_votes_twice() -> None:
    class Ballots(list[str]):
        def add(self, voter: str) -> None:
            self.append(voter)

    def on_response_vote(original: Callable[..., None]) -> Callable[..., None]:
        def handle(self: Any, node: Any, message: Mapping[str, Any]) -> None:
            if self._voters_term != self._raft.term:
                self._voters, self._voters_term = Ballots(), self._raft.term
            original(self, node, message)

        return handle

    replace(elections.Elections, "on_response_vote", on_response_vote)


@mutant("vote twice in a term")
def vote_twice() -> None:
    replace(syncobj.RaftHooks, "voted_for", lambda _vote: property(lambda _self: None))


# State machine.


@mutant("apply the last entry again after a restart, unguarded")
def apply_twice() -> None:
    def restart(original: Callable[..., None]) -> Callable[..., None]:
        return lambda self, applied, *more: original(self, max(0, applied - 1), *more)

    def apply(self: Any, index: int, term: int, entry: bytes) -> Any:
        return self._apply(index, term, entry)

    replace(syncobj.RaftHooks, "restart_at", restart)
    replace(machine.StateMachine, "apply", lambda _apply: apply)


@mutant("skip an entry after a restart, unguarded")
def skip_an_entry() -> None:
    def restart(original: Callable[..., None]) -> Callable[..., None]:
        return lambda self, applied, *more: original(self, min(applied + 1, self.journal.last_index), *more)

    def apply(self: Any, index: int, term: int, entry: bytes) -> Any:
        return self._apply(index, term, entry)

    replace(syncobj.RaftHooks, "restart_at", restart)
    replace(machine.StateMachine, "apply", lambda _apply: apply)


@mutant("expire by the local clock")
def expire_by_local_time() -> None:
    def due(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, clock, limit: original(self, clock + int(10 * monotonic()) % 2, limit)

    replace(reservations.Reservations, "due", due)


@mutant("expire a tick early")
def expire_early() -> None:
    def due(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, clock, limit: original(self, clock + 1, limit)

    replace(reservations.Reservations, "due", due)


@mutant("never free what has expired")
def keep_expired_units() -> None:
    replace(expiry, "step", lambda _step: lambda _state: None)


@mutant("forget a refusal")
def forget_refusals() -> None:
    replace(orders, "_remember_refusal", lambda _remember: lambda _state, _order, refusal: refusal)


@mutant("reuse a token")
def reuse_tokens() -> None:
    def handler(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda its, at, command: original(its, at._replace(token=at.token._replace(position=0)), command)

    machine._HANDLERS[Reserve] = handler(machine._HANDLERS[Reserve])


@mutant("serve what comes too late")
def ignore_stamps() -> None:
    replace(state.State, "is_late", lambda _is: lambda _self, _at: False)


def first_violation(planted: Mutant, seeds: int) -> tuple[int, Report | None]:
    """How many seeds ran, and the report that found it."""
    count = 0
    for count, report in enumerate(run_seeds(range(seeds), planted.nodes, planted.plant), 1):
        if report.violation:
            return count, report
    return count, None


def main() -> int:
    require_fixed_hashes()
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="within which each is to be found")
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    arguments = parser.parse_args()
    missed = 0
    for planted in MUTANTS:
        if arguments.only in planted.name:
            count, report = first_violation(planted, arguments.seeds)
            missed += report is None
            found = f"seed {report.seed}: {(report.violation or '')[:100]}" if report else "NOT FOUND"
            print(f"{planted.name:62} {planted.nodes} nodes {count:4} seeds  {found}", flush=True)
    print(f"{missed} missed" if missed else "all found", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
