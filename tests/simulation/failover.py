"""The last step of a seed: nothing is wrong any more, the leader is killed, and the next one leads soon.

Real kills found what faults hide: a failover that works, and takes an election timeout longer than it must.
"""

from lastunit_node.replica import leader, timing
from simulation.clock import DRIFT
from simulation.node import SimulatedNode
from simulation.profile import Profile

PROMISE, APPEND_ENTRIES = timing.PROMISE, leader.MAX_APPEND_ENTRIES  # the real ones
NEXT_LEADER = timing.ELECTION_MIN / (1 + DRIFT)  # who lost a vote asks again no sooner, by the fastest clock
FAR = 0.01  # seconds that a message takes
NEXT_LEADER_OF_FOUR_FAR = 5.0


def next_leader_within(nodes: int, profile: Profile) -> float:
    """Virtual seconds from the death of a leader to the next one that leads: more would mean that a vote was lost.

    With the mutant "let votes split" it is either 0.3 at most or 0.5 at least. Four followers that are far from each
    other are another matter: they ask within timing.LOST_LEADER, so three may have asked before they hear of one
    another, and nobody is granted enough pre-votes. No vote is lost then, but they wait as long.
    """
    return NEXT_LEADER_OF_FOUR_FAR if nodes > 3 and profile.delay > FAR else NEXT_LEADER


def act_as_in_production() -> None:
    """Whatever the profile drew: keep promises, and bring a follower level in one message."""
    setattr(timing, "PROMISE", PROMISE)  # noqa: B010 - they are Final
    setattr(leader, "MAX_APPEND_ENTRIES", APPEND_ENTRIES)  # noqa: B010


def bring_back(node: SimulatedNode) -> None:
    """If it is dead, or has no room left on its disk. A node whose files are damaged gets new ones."""
    node.mishaps.forget(copies_too=True)
    if node.core is not None and node.disk_is_bad:
        node.crash(power=False)
    if node.broken:
        node.wipe()
    if node.core is None:
        node.start()


def are_settled(nodes: list[SimulatedNode]) -> bool:
    """Whether all live, count, are connected, follow one leader and hold the same log."""
    rafts = [node.core._raft for node in nodes if node.core is not None]
    leaders = {raft.leader.id if raft.leader is not None else None for raft in rafts}
    return (
        len(rafts) == len(nodes)
        and leaders == {node.name for node in nodes if node.leads}
        and len({(raft.journal.last_index, raft.last_applied) for raft in rafts}) == 1
        and all(raft.is_admitted and set(raft.peers) <= set(raft.connected) for raft in rafts)
    )
