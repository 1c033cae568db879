"""The network: connections that keep their order, and everything that may happen to them.

Within one connection messages arrive in order, late or not at all; each end learns for itself, some time later, that a
connection came or went. A direction that is blocked keeps what is sent on it: it arrives late and in order when the
direction is free again, or never, when the connection breaks before. What was under way on a connection that broke may
still arrive, among the messages of the next one. Messages go through the real framing, so they arrive as it makes them.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations
from random import Random
from typing import Any, NamedTuple

from pysyncobj.node import Node
from pysyncobj.poller import Poller
from pysyncobj.transport import Transport

from lastunit_node.replica import timing
from lastunit_node.replica.frames import FrameReader, encode_frame
from simulation.clock import Clock
from simulation.profile import Profile
from simulation.trace import Trace

DIAL = 0.05  # how often the ends of a missing connection try to make one
LATEST = 3.0  # a message that survived its connection arrives within this time
LONG_DELAY = 0.02  # chance that a message takes long
BREAK_NOTICE = 0.05  # an end learns within this time that its connection broke

Direction = tuple[str, str]


class Connection:
    """One connection between two links; `order` keeps messages of a direction in order."""

    def __init__(self, links: "Iterable[SimulatedLink]") -> None:
        self.links = {link.name: link for link in links}
        self.order = dict.fromkeys(self.links, 0.0)
        self.held: dict[str, list[Frame]] = {name: [] for name in self.links}
        self.broken = False
        self.silent_since: float | None = None


class Frame(NamedTuple):
    """A message under way. stray: its connection is gone."""

    connection: Connection
    sender: str
    data: bytes
    stray: bool = False


class Opened(NamedTuple):
    """An end learns that a connection stands."""

    connection: Connection
    peer: str


class Closed(NamedTuple):
    """An end learns that a connection is gone."""

    connection: Connection
    peer: str


class SimulatedLink(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """One node's end of the network, from its start to its death."""

    def __init__(self, name: str, network: "Network", on_arrival: Callable[[], None]) -> None:
        super().__init__(None, None, None)
        self.name = name
        self.inbox: list[Frame | Opened | Closed] = []
        self.before_send: Callable[[str, dict[str, Any]], None] = lambda _peer, _message: None
        self.complaints: list[str] = []
        self._network = network
        self._on_arrival = on_arrival
        self._open: dict[str, Connection] = {}

    def start(self, poller: Poller) -> None:
        """Deliver what has arrived wherever Raft polls; there is nothing else to poll."""
        poller.poll = lambda _timeout: self.deliver()

    def on_tick(self) -> None:
        """Nothing to do: the network makes connections."""

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self.before_send(node.id, message)
        connection = self._open.get(node.id)
        if connection is not None:
            self._network.send(Frame(connection, self.name, encode_frame(message)), node.id)
        return connection is not None

    def disconnect(self, node: Node, reason: str) -> None:
        """No node of ours sends what deserves this."""
        self.complaints.append(f"{self.name} cut {node.id} off: {reason}")

    def destroy(self) -> None:
        self._open.clear()

    def arrive(self, event: Frame | Opened | Closed) -> None:
        self.inbox.append(event)
        self._on_arrival()

    def deliver(self) -> None:
        """Let the node see what has arrived."""
        events, self.inbox = self.inbox, []
        for event in events:
            match event:
                case Frame():
                    self._on_frame(event)
                case Opened():
                    self._on_opened(event)
                case Closed() if self._open.get(event.peer) is event.connection:
                    del self._open[event.peer]
                    self._onNodeDisconnected(Node(event.peer))

    def _on_frame(self, frame: Frame) -> None:
        if frame.stray or self._open.get(frame.sender) is frame.connection:
            for message in FrameReader().feed(frame.data):
                self._onMessageReceived(Node(frame.sender), message)

    def _on_opened(self, event: Opened) -> None:
        if self._open.pop(event.peer, None) is not None:
            self._onNodeDisconnected(Node(event.peer))
        self._open[event.peer] = event.connection
        self._onNodeConnected(Node(event.peer))


class Network:
    """All links of a cluster and what happens between them."""

    def __init__(self, clock: Clock, rng: Random, profile: Profile, trace: Trace, names: list[str]) -> None:
        self._clock, self._rng, self._profile, self._trace = clock, rng, profile, trace
        self.counts: Counter[str] = Counter()
        self.calm = False
        self.silent: set[str] = set()  # nodes that are paused
        self._blocked: Counter[Direction] = Counter()
        self._links: dict[str, SimulatedLink] = {}
        self._connections: dict[tuple[str, str], Connection | None] = dict.fromkeys(combinations(sorted(names), 2))
        clock.after(0.0, self._maintain)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(self._connections)

    # Nodes come and go.

    def attach(self, link: SimulatedLink) -> None:
        self._links[link.name] = link

    def detach(self, name: str, notice: float) -> None:
        """A node died; its peers learn of it within `notice` seconds."""
        del self._links[name]
        for pair in self.pairs:
            if name in pair:
                self.break_connection(pair, notice)

    # What the faults do.

    def block(self, direction: Direction) -> None:
        self._blocked[direction] += 1

    def is_blocked(self, sender: str, receiver: str) -> bool:
        """In either direction: what needs answers does not get on."""
        return bool(self._blocked[sender, receiver] or self._blocked[receiver, sender])

    def unblock(self, direction: Direction) -> None:
        """What was held arrives now, in order, if the connection still stands."""
        self._blocked[direction] -= 1
        receiver = direction[1]
        connection = self._connections[min(direction), max(direction)]
        if not self._blocked[direction] and connection is not None:
            held, connection.held[receiver] = connection.held[receiver], []
            self.counts["delivered late in order"] += len(held)
            for frame in held:
                self._transmit(frame, receiver)

    def break_connection(self, pair: tuple[str, str], notice: float = BREAK_NOTICE) -> None:
        """Each end learns of it within `notice` seconds; what was under way is lost, or arrives on the next one."""
        connection, self._connections[pair] = self._connections[pair], None
        if connection is None:
            return
        connection.broken = True
        for one, other in (pair, pair[::-1]):
            self._tell(self._clock.now + self._rng.uniform(0.0, notice), one, Closed(connection, other))
            for frame in connection.held[one]:
                self._survive(frame, one)

    def _tell(self, time: float, name: str, event: Opened | Closed) -> None:
        self._clock.at(time, partial(event.connection.links[name].arrive, event))

    # Messages.

    def send(self, frame: Frame, receiver: str) -> None:
        self._trace.absorb(frame.data)
        connection = frame.connection
        if connection.broken:
            self._survive(frame, receiver)
        elif not self.calm and self._rng.random() < self._profile.loss:
            self.counts["lost"] += 1
        elif self._blocked[frame.sender, receiver]:
            connection.held[receiver].append(frame)
        else:
            self._transmit(frame, receiver)

    def _transmit(self, frame: Frame, receiver: str) -> None:
        order = frame.connection.order
        order[receiver] = max(order[receiver], self._clock.now + self._delay())
        self._clock.at(order[receiver], lambda: self._deliver(frame, receiver))
        if not self.calm and self._rng.random() < self._profile.duplication:
            self.counts["duplicated"] += 1
            again = order[receiver] + self._rng.uniform(0.0, self._rng.choice([2 * self._profile.delay, LATEST]))
            self._clock.at(again, lambda: self._deliver(frame, receiver))

    def _delay(self) -> float:
        delay = self._rng.uniform(0.5, 1.5) * self._profile.delay
        if not self.calm and self._rng.random() < LONG_DELAY:
            delay += self._rng.uniform(0.0, self._profile.delay_spread)
        return delay

    def _deliver(self, frame: Frame, receiver: str) -> None:
        if frame.connection.broken:
            self._survive(frame, receiver)
        else:
            frame.connection.links[receiver].arrive(frame)

    def _survive(self, frame: Frame, receiver: str) -> None:
        """The connection is gone: the message too, or it is read late from a socket that was replaced."""
        if self.calm or self._rng.random() >= self._profile.late:
            self.counts["lost with a connection"] += 1
            return
        self.counts["arrived on a later connection"] += 1
        stray, link = frame._replace(stray=True), frame.connection.links[receiver]
        self._clock.after(self._rng.uniform(0.0, LATEST), lambda: link.arrive(stray))

    # Connections are made again, and silent ones given up.

    def _maintain(self) -> None:
        for pair in self.pairs:
            connection = self._connections[pair]
            quiet = bool(self._blocked[pair] or self._blocked[pair[::-1]] or self.silent.intersection(pair))
            if connection is None:
                self._connect(pair, quiet)
            elif not quiet:
                connection.silent_since = None
            elif connection.silent_since is None:
                connection.silent_since = self._clock.now
            elif self._clock.now - connection.silent_since > timing.CONNECTION_SILENCE:
                self.counts["given up after silence"] += 1
                self.break_connection(pair)
        self._clock.after(DIAL * self._rng.uniform(0.5, 1.5), self._maintain)

    def _connect(self, pair: tuple[str, str], quiet: bool) -> None:
        if quiet or not all(name in self._links for name in pair):
            return
        connection = self._connections[pair] = Connection(self._links[name] for name in pair)
        for one, other in (pair, pair[::-1]):
            connection.order[one] = self._clock.now + self._delay()
            self._tell(connection.order[one], one, Opened(connection, other))
