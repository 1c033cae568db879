"""Proposals that travel from a follower to the leader, over PySyncObj's own messages, checked."""

from typing import TYPE_CHECKING

from pysyncobj.config import FAIL_REASON

from lastunit_node.replica.messages import MalformedMessage, Message
from lastunit_node.statemachine.limits import MAX_ENTRY_BYTES

if TYPE_CHECKING:
    from pysyncobj.node import Node

    from lastunit_node.replica.syncobj import RaftHooks


class Forwarding:
    """Takes proposals of followers while leading, and the leader's answers while following."""

    def __init__(self, raft: "RaftHooks") -> None:
        self._raft = raft
        self._waiting: set[Node] = set()  # followers whose proposals this leader took since it was last asked

    def take_waiting(self) -> "set[Node]":
        """The followers at which callers wait for entries that were added since the last call."""
        waiting, self._waiting = self._waiting, set()
        return waiting

    def on_apply_command(self, node: "Node", message: Message) -> None:
        """A follower forwards an entry; PySyncObj answers it with a log position or a refusal."""
        if len(message["command"]) > MAX_ENTRY_BYTES:
            raise MalformedMessage(f"apply_command: {len(message['command'])} bytes are more than {MAX_ENTRY_BYTES}")
        self._waiting.add(node)
        self._raft.propose(message["command"], (node, message["request_id"]))

    def on_apply_command_response(self, _node: "Node", message: Message) -> None:
        """The leader took an entry, at a log position, or refused it."""
        callback = self._raft.take_forwarded(message["request_id"])
        if callback is None:
            return
        index, term = message.get("log_idx"), message.get("log_term")
        if type(index) is not int or type(term) is not int:
            callback(None, FAIL_REASON.NOT_LEADER)
        elif index <= self._raft.last_applied:
            callback(None, FAIL_REASON.UNKNOWN_OUTCOME)
        else:
            self._raft.wait_for(index, term, callback)
