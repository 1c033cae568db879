"""Real Raft, real journals, a network and a clock made of lists and floats: several nodes in one thread."""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from lastunit_node.replica.admission import admission_entry
from lastunit_node.replica.journal import SqliteJournal
from lastunit_node.replica.journal_file import create_journal
from lastunit_node.replica.raft import Raft
from lastunit_node.statemachine.codec import DecodedEntry, decode_entry
from lastunit_node.statemachine.commands import Admit
from lastunit_node.statemachine.membership import row_after
from lastunit_node.statemachine.results import Applied, StateHash
from lastunit_node.statemachine.tables import AdmittedRow

STEP = 0.01  # virtual seconds a round


class ListMachine:
    """A state machine that remembers what it was given."""

    def __init__(self) -> None:
        self.applied: list[tuple[int, int, bytes]] = []
        self.digest = bytes(16)
        self._admitted: dict[str, AdmittedRow] = {}

    def apply(self, index: int, term: int, entry: bytes) -> Applied:
        self.applied.append((index, term, entry))
        self._admit(index, term, entry)
        return Applied(index, term, 0, ())

    def _admit(self, index: int, term: int, entry: bytes) -> None:
        decoded = decode_entry(entry)
        for command in decoded.commands if isinstance(decoded, DecodedEntry) else ():
            assert isinstance(command, Admit)
            row = row_after(self._admitted.get(command.node), command, index, term)
            if row is not None:
                self._admitted[command.node] = row

    def admitted(self, node: str) -> AdmittedRow | None:
        return self._admitted.get(node)

    def hash_at(self, index: int) -> StateHash | None:
        """A hash over everything up to index."""
        if not 0 < index <= len(self.applied):
            return None
        chain = blake2b(repr(self.applied[:index]).encode(), digest_size=16).digest()
        return StateHash(index, chain, self.digest)


class ListTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Puts messages on the network's queue; delivers none itself."""

    def __init__(self, network: "Network", address: str) -> None:
        super().__init__(None, None, None)
        self.network = network
        self.address = address
        self.disconnected: list[tuple[str, str]] = []
        self.on_send: Callable[[dict[str, Any]], None] = lambda _message: None

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self.on_send(message)
        self.network.queue.append((self.address, node.id, message))
        return True

    def receive(self, sender: str, message: dict[str, Any]) -> None:
        self._onMessageReceived(Node(sender), message)

    def disconnect(self, node: Node, reason: str) -> None:
        self.disconnected.append((node.id, reason))

    def connected(self, peer: str, is_connected: bool) -> None:
        (self._onNodeConnected if is_connected else self._onNodeDisconnected)(Node(peer))


class VirtualTime:
    """Seconds that pass when they are told to."""

    now = 0.0


class Network:
    """Nodes, links between them, and virtual time."""

    def __init__(self, folder: Path, count: int, time: VirtualTime) -> None:
        self.time = time
        self.queue: deque[tuple[str, str, dict[str, Any]]] = deque()
        self.folder = folder
        self.addresses = [f"n{1 + number}" for number in range(count)]
        self.nodes: dict[str, Raft] = {}
        self.machines: dict[str, ListMachine] = {}
        self.transports: dict[str, ListTransport] = {}
        self.cut: set[frozenset[str]] = set()
        self.lose: Callable[[dict[str, Any]], bool] = lambda _message: False
        self.boots = 0
        self.admits = False  # whether leaders admit disks: not in tests that count their entries
        for address in self.addresses:
            create_journal(self.file(address), "cluster-id", address, instance=f"first-{address}")
            self.start(address)

    def file(self, address: str) -> Path:
        return self.folder / f"{address}.db"

    def start(self, address: str, machine: ListMachine | None = None) -> Raft:
        """Start (again) with the journal on disk, and with this machine's applied entries."""
        machine = machine or ListMachine()
        self.boots += 1
        self.machines[address] = machine
        self.transports[address] = ListTransport(self, address)
        self.nodes[address] = Raft(
            Node(address),
            [Node(peer) for peer in self.addresses if peer != address],
            SqliteJournal(self.file(address), "cluster-id", address),
            machine,
            applied_index=len(machine.applied),
            first_request_id=self.boots << 32,
            transport=self.transports[address],
        )
        for peer in self.nodes:
            self._connect(address, peer, peer != address and frozenset((address, peer)) not in self.cut)
        return self.nodes[address]

    def _connect(self, one: str, other: str, is_connected: bool) -> None:
        if one != other:
            self.transports[one].connected(other, is_connected)
            self.transports[other].connected(one, is_connected)

    def kill(self, address: str) -> ListMachine:
        """Drop a node with everything it has not synced; its machine, which lies on disk, is given back."""
        node = self.nodes.pop(address)
        node.journal._connection.close()
        self.queue = deque(entry for entry in self.queue if address not in entry[:2])
        for peer in self.nodes:
            self.transports[peer].connected(address, False)
        return self.machines[address]

    def isolate(self, address: str) -> None:
        """Cut every link of a node; messages under way are lost."""
        self.queue = deque(entry for entry in self.queue if address not in entry[:2])
        for peer in self.addresses:
            if peer != address:
                self.cut.add(frozenset((address, peer)))
                if peer in self.nodes and address in self.nodes:
                    self._connect(address, peer, False)

    def heal(self) -> None:
        """Mend every link."""
        cut, self.cut = self.cut, set()
        for one, other in (sorted(link) for link in cut):
            if one in self.nodes and other in self.nodes:
                self._connect(one, other, True)

    def say(self, sender: str, receiver: str, message: dict[str, Any], **claim: Any) -> None:
        """Let a node hear this of another, with the claim that the sender has now, or another one."""
        stamped = self.nodes[sender]._admission.stamp(message)
        self.nodes[receiver].on_message(Node(sender), stamped | claim)

    def deliver(self) -> None:
        """Deliver what is under way; what that causes is under way next time."""
        for _ in range(len(self.queue)):
            sender, receiver, message = self.queue.popleft()
            is_cut = frozenset((sender, receiver)) in self.cut
            if receiver in self.nodes and not is_cut and not self.lose(message):
                self.transports[receiver].receive(sender, message)

    def round(self) -> None:
        """One turn of every node, then one delivery."""
        self.time.now += STEP
        for node in list(self.nodes.values()):
            if self.admits and node.leads:
                for admit in node.admissions_due():
                    node.propose(admission_entry(admit), None)
            node.turn(0.0)
        self.deliver()
        for node in self.nodes.values():
            node._follower.flush()

    def run_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> float:
        """Rounds until the condition holds; the virtual seconds it took. Fails when it takes too long."""
        begin = self.time.now
        while not condition():
            assert self.time.now - begin < seconds, "it did not happen in time"
            self.round()
        return self.time.now - begin

    def leader(self) -> str | None:
        """The connected node that leads in the highest term, once it knows all that is committed."""
        leading = [(node.term, address) for address, node in self.nodes.items() if node.leads]
        return max(leading)[1] if leading else None

    def elect(self, excluding: str = "") -> str:
        """Run until a node other than `excluding` leads."""
        self.run_until(lambda: self.leader() not in (None, excluding))
        leader = self.leader()
        assert leader is not None
        return leader

    def level(self) -> bool:
        """Whether all nodes have applied the same, up to the last entry of the leader."""
        leader = self.leader()
        last = self.nodes[leader].journal.last_index if leader else -1
        return all(node.last_applied == last for node in self.nodes.values())

    def commit(self, address: str, entries: list[bytes]) -> list[int]:
        """Propose at a node and run until every callback came; PySyncObj's reasons, in order of their coming."""
        reasons: list[int] = []
        for entry in entries:
            self.nodes[address].propose(entry, lambda _applied, reason: reasons.append(reason))
        self.run_until(lambda: len(reasons) == len(entries))
        return reasons
