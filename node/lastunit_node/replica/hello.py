"""The first value on a connection of the raft link: who speaks, and why that is not the peer that is expected. Pure.

Two nodes whose cluster files name different members would count different majorities, and each of two disjoint ones
would take orders: they do not talk. Addresses may differ, names may not.
"""

from typing import Any, Final, NamedTuple

VERSION: Final = 2

STRANGER: Final = "it did not say hello"
OTHER_CLUSTER: Final = "its data is of another cluster"
OTHER_MEMBERS: Final = "its cluster file names other members"
OTHER_NODE: Final = "it is another node than is expected"
ADVICE: Final = {
    STRANGER: "it is no node, or of another version of lastunit: see who uses this raft address",
    OTHER_CLUSTER: "see which of the two has the wrong data, or the wrong addresses in its cluster.yml; `lastunit-node "
    "rejoin --cluster-id` makes a data directory of the right cluster",
    OTHER_MEMBERS: "a cluster keeps the members that it was born with: give every node a cluster.yml that names these",
    OTHER_NODE: "see to the raft addresses in cluster.yml: one of them leads to another node than it says",
}
_MOST_SHOWN: Final = 64  # characters, or members


class Hello(NamedTuple):
    """Who speaks. instance: random id of the disk, so that a wiped node is not taken for what it was.

    members: names of all nodes in its cluster file, in their order as text.
    """

    cluster_id: str
    node: str
    instance: str
    members: tuple[str, ...]

    def message(self) -> dict[str, Any]:
        """As it is sent."""
        return {"type": "hello", "version": VERSION, **self._asdict()}


class Refusal(NamedTuple):
    """Who is cut off, and why: one of the problems above, and what of it this node and the other one say."""

    peer: str
    problem: str
    here: str
    there: str


def refusal_of(value: object, ours: Hello, dialled: str | None) -> Refusal | None:
    """Why a value is not the hello of the peer that is expected, the one that was dialled; None when it is.

    Whoever was not dialled has dialled this node, and is to have the greater name.
    """
    said = value if isinstance(value, dict) else {}
    node, members = said.get("node"), said.get("members")
    peer = dialled or _shown(node)
    if said.get("type") != "hello" or said.get("version") != VERSION:
        there = f"{_shown(said.get('type'))} of version {_shown(said.get('version'))}"
        return Refusal(peer, STRANGER, f"hello of version {VERSION}", there)
    if said.get("cluster_id") != ours.cluster_id:
        return Refusal(peer, OTHER_CLUSTER, ours.cluster_id, _shown(said.get("cluster_id")))
    if members != ours.members:
        return Refusal(peer, OTHER_MEMBERS, ", ".join(ours.members), _shown(members))
    if node not in ours.members or (node != dialled if dialled else node <= ours.node):
        return Refusal(peer, OTHER_NODE, dialled or f"a node that dials {ours.node}", _shown(node))
    if not isinstance(said.get("instance"), str):
        return Refusal(peer, STRANGER, "the id of a disk", _shown(said.get("instance")))
    return None


def _shown(value: object) -> str:
    """What somebody said, fit for a log; of any type, and as deep and as long as they like."""
    if isinstance(value, tuple):
        return ", ".join([_text(each) for each in value[:_MOST_SHOWN]])
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, str) and value.isprintable():
        return value[:_MOST_SHOWN]
    return str(value) if value is None or isinstance(value, int) else f"a {type(value).__name__}"
