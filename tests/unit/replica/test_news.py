"""Whom the leader tells of commits, and with what."""

from collections.abc import Callable

from support.raft_network import Network

from lastunit_node.replica.core import nobody_waits

MakeNetwork = Callable[[int], Network]


def test_no_two_followers_hear_of_commits_with_the_same_entries_where_nobody_waits(make_network: MakeNetwork) -> None:
    network = make_network(5)
    leader = network.elect()
    network.run_until(network.level)
    known = dict.fromkeys(network.addresses, network.nodes[leader].commit_index)
    told: dict[int, list[str]] = {}  # whom, by the index before the entries
    deliver = network.deliver

    def watched() -> None:
        for _, receiver, message in network.queue:
            if message["type"] == "append" and message["commit_index"] > known[receiver]:
                known[receiver] = message["commit_index"]
                if message["entries"]:
                    told.setdefault(message["prev_index"], []).append(receiver)
        deliver()

    network.deliver = watched  # type: ignore[method-assign]
    for number in range(20):
        network.nodes[leader].propose(b"%d" % number, nobody_waits)
        network.round()
    assert all(len(receivers) == 1 for receivers in told.values())
    assert {receiver for receivers in told.values() for receiver in receivers} == set(network.addresses) - {leader}
    network.run_until(network.level)
    assert all(machine.applied == network.machines[leader].applied for machine in network.machines.values())
