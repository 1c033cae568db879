"""ReplicaCore: what of its turn the thread around it relies on."""

from contextlib import closing
from pathlib import Path

import pytest
from support.raft_network import ListTransport, Network, VirtualTime

from lastunit_node.replica.core import ReplicaCore
from lastunit_node.replica.journal import SqliteJournal, create_journal
from lastunit_node.statemachine.commands import Configure
from lastunit_node.statemachine.database import Identity, open_state


class Link(ListTransport):
    """Nobody is there."""

    def start(self, _poller: object) -> None:
        """Nothing to listen to."""

    def on_tick(self) -> None:
        """Nobody to dial."""


def test_results_are_given_away_before_the_turn_waits_for_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every answer would wait for the next message of a peer, or for the poll to time out."""
    create_journal(tmp_path / "journal.db", "cluster-id", "n1")
    with closing(open_state(tmp_path / "state.db", identity=Identity("cluster-id", "n1"))) as state:
        core = ReplicaCore(
            "n1",
            ["n2", "n3"],
            link=Link(Network(tmp_path, 0, VirtualTime()), "n1"),
            journal=SqliteJournal(tmp_path / "journal.db", "cluster-id", "n1"),
            state=state,
            configure=Configure(100, 100, 100, 1_000, 10),
        )
        steps: list[str] = []
        monkeypatch.setattr(core._raft.poller, "poll", lambda _timeout: steps.append("poll"))
        core.before_each_poll(lambda: steps.append("results"))
        core.turn(0.0)
        core.turn(0.0)
        core.close()
    assert steps == ["results", "poll"] * 2
