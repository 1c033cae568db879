"""What goes wrong, and when: faults strike at random moments, last for a while and overlap; the leader is hit most."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from simulation.clock import Clock
from simulation.mishaps import COPY, MESSAGE, WRITE, Crash, DiskFailed
from simulation.network import Network
from simulation.node import SimulatedNode
from simulation.profile import Profile
from simulation.trace import Trace

AIM_AT_LEADER = 0.5
LONG = 20.0  # virtual seconds from which on faults become rarer,
ENOUGH = 30.0  # and these, from which on they become rare, so that a seed comes to its end
RARE = 5.0
BREATHE = 0.1
LAST_BLOW = 0.6  # chance
DECEPTION = 1.6  # seconds in which an isolated leader believes in itself, and others elect the next one
SOON = 0.3  # seconds in which a node catches up
TAKE_TURNS = 0.7  # chance that the disk before it takes turns with a new one, and goes on to
LATEST_STEP = 60  # a crash in the middle of a turn comes within so many messages and writes,
LATEST_WRITE = 20  # a failure of the disk within so many writes,
LATEST_COPY_STEP = 9  # and a crash in the middle of a catch-up within so many steps of it


class Fault(NamedTuple):
    """Something that lasts until it is undone."""

    undo: Callable[[], None]


class Faults:
    """Strikes from begin() to finish()."""

    def __init__(
        self, clock: Clock, rng: Random, profile: Profile, trace: Trace, network: Network, nodes: list[SimulatedNode]
    ) -> None:
        self._clock, self._rng, self._profile, self._trace = clock, rng, profile, trace
        self._network, self._nodes = network, nodes
        self._lasting: list[Fault] = []
        self._active = False
        self._longer = 0.0  # added to how long a fault lasts
        self.had_leaders: Callable[[], bool] = lambda: True  # so many as a seed is to have
        self.counts: Counter[str] = Counter()
        for node in nodes:
            node.on_death = self._die
        self._kinds: dict[Callable[[], None], float] = {
            self._kill_one: 4,
            self._kill_in_turn: 4,
            self._kill_for_long: 0.6,
            self._kill_majority: 0.7,
            self._kill_all: 0.5,
            self._pause: 2,
            self._cut_pair: 2,
            self._cut_one_way: 3,
            self._isolate: 3,
            self._split: 2,
            self._reconnect: 4,
            self._transfer: 1,
            self._fill_disk: 0.5,
            self._fail_disk: 0.7,
            self._kill_in_copy: 0.7,
            self._damage: 0.4,
            self._wipe: 0.8,
            self._put_back: 0.8,
            self._deceive: 0.6,
        }

    def begin(self) -> None:
        self._active = True
        self._schedule()

    def finish(self) -> None:
        """A last blow, and then everything is undone that still lasts."""
        self._active = False
        if self._rng.random() < LAST_BLOW:
            self._rng.choice([self._kill_all, self._kill_majority, self._split])()
        while self._lasting:
            self._lasting.pop().undo()

    def _schedule(self) -> None:
        """Now and then there is time to breathe, and more of it the longer a seed lasts."""
        pause = self._profile.fault_pause * max(1.0, self._clock.now / LONG)
        if self._clock.now > ENOUGH:
            pause *= RARE
        if self._rng.random() < BREATHE:
            pause += 2.0
        self._clock.after(self._rng.expovariate(1 / pause), self._strike)

    def _strike(self) -> None:
        if self._active:
            strike = self._rng.choices(list(self._kinds), list(self._kinds.values()))[0]
            leader = next((node for node in self._nodes if node.leads), None)
            if self._clock.now > LONG and leader is not None and not self.had_leaders():
                self._kill([leader], "kill the leader for a change")
            else:
                strike()
            self._schedule()

    def _count(self, kind: str, detail: str = "") -> None:
        self.counts[kind] += 1
        if self._lasting:
            self.counts["(while another lasted)"] += 1
        self._trace.say(f"fault: {kind} {detail}")

    def _last(self, undo: Callable[[], None], at_least: float = 0.0) -> Callable[[], None]:
        """Undo it after a while, or when the faults end, or when what is returned is called."""
        fault = Fault(undo)
        self._lasting.append(fault)

        def end() -> None:
            if any(lasting is fault for lasting in self._lasting):
                self._lasting = [lasting for lasting in self._lasting if lasting is not fault]
                fault.undo()

        length = at_least + self._longer + self._rng.uniform(0.02, self._profile.fault_length)
        self._clock.after(length, end)
        return end

    def _victim(self) -> SimulatedNode:
        leaders = [node for node in self._nodes if node.leads]
        return self._rng.choice(leaders if leaders and self._rng.random() < AIM_AT_LEADER else self._nodes)

    # Nodes.

    def _kill_one(self) -> None:
        self._kill([self._victim()], "kill one")

    def _kill_majority(self) -> None:
        self._kill(self._rng.sample(self._nodes, len(self._nodes) // 2 + 1), "kill a majority")

    def _kill_all(self) -> None:
        self._kill(self._nodes, "kill all")

    def _kill(self, nodes: list[SimulatedNode], kind: str) -> None:
        """At one moment, or by one loss of power."""
        power = self._rng.random() < self._profile.power_loss
        alive = [node for node in nodes if node.core is not None]
        if alive:
            self._count(f"{kind}, {'power' if power else 'process'}", " ".join(node.name for node in alive))
        for node in alive:
            self._crash(node, power)

    def _kill_for_long(self) -> None:
        """So that the others forget what it needs."""
        self._longer = self._rng.uniform(2.0, 6.0)
        self._kill([self._victim()], "kill one for long")
        self._longer = 0.0

    def _kill_in_turn(self) -> None:
        steps, power = self._rng.randint(1, LATEST_STEP), self._rng.random() < self._profile.power_loss
        self._victim().mishaps.arm(Crash("kill in a turn", power=power), (MESSAGE, WRITE), steps)

    def _kill_in_copy(self) -> None:
        steps, power = self._rng.randint(1, LATEST_COPY_STEP), self._rng.random() < self._profile.power_loss
        self._rng.choice(self._nodes).mishaps.arm(Crash("kill in a catch-up", power=power), (COPY,), steps)

    def _die(self, node: SimulatedNode, kind: str, power: bool) -> None:
        """Of what it just did."""
        self._count(f"{kind}, {'power' if power else 'process'}", node.name)
        self._crash(node, power)

    # Disks.

    def _fill_disk(self) -> None:
        """The node dies when it next needs another page; the restart finds room again."""
        node = self._victim()
        if node.core is not None:
            node.disk_is_bad = True
            node.disk.fill()

    def _fail_disk(self) -> None:
        node = self._victim()
        if node.core is not None:
            node.disk_is_bad = True
            node.mishaps.arm(DiskFailed(), (WRITE,), self._rng.randint(1, LATEST_WRITE))

    def _damage(self) -> None:
        """To a minority, so that the others can go on."""
        node = self._victim()
        if self._may_lose(node):
            self._kill([node], "kill to damage")
            node.disk.spoil()
            self._count("damage", f"{node.name}: {node.disk.damage}")

    def _wipe(self) -> None:
        """The disk of a node that is damaged, or of any, while a majority of admitted ones is left."""
        damaged = [node for node in self._nodes if node.broken]
        node = damaged[0] if damaged else self._victim()
        if damaged or self._may_lose(node):
            self._kill([node], "kill to wipe")
            node.wipe()
            self._count("wipe", node.name)
            self._last(lambda: self._restart(node))
            if self._rng.random() < TAKE_TURNS:
                self._clock.after(self._rng.uniform(0.0, SOON), lambda: self._take_turns(node))

    def _take_turns(self, node: SimulatedNode) -> None:
        """Two disks of a node, one of which is being admitted, are put in each other's place, again and again."""
        lost = {each for each in self._nodes if each.has_lost_its_disk} | {node}
        if not self._active or node.disk.instance_aside is None or len(lost) > (len(self._nodes) - 1) // 2:
            return
        if node.core is not None:
            self._kill([node], "kill to swap disks")
            node.put_old_disk_back()
            self._count("disks swapped", node.name)
        self._restart(node)
        if self._rng.random() < TAKE_TURNS:
            self._clock.after(self._rng.uniform(0.0, 2 * SOON), lambda: self._take_turns(node))

    def _put_back(self) -> None:
        """An old disk of a node, in the place of the one that counts; and the leader may die while it catches up."""
        old = [node for node in self._nodes if node.has_superseded_disk and self._may_lose(node)]
        if not old:
            return
        node = self._rng.choice(old)
        self._kill([node], "kill to put an old disk back")
        node.put_old_disk_back()
        self._count("old disk put back", node.name)
        self._restart(node)
        if self._rng.random() < AIM_AT_LEADER:
            self._clock.after(self._rng.uniform(0.0, SOON), self._kill_leader_soon)

    def _kill_leader_soon(self) -> None:
        leader = next((node for node in self._nodes if node.leads), None)
        if self._active and leader is not None:
            self._kill([leader], "kill the leader of an old disk")

    def _deceive(self) -> None:
        """Nodes that lost their disks wake up beside a leader that is none any more, and does not know it yet.

        It is cut off; the others elect another one and commit; then enough of them are wiped, and see only the old one.
        """
        leader = next((node for node in self._nodes if node.leads), None)
        if leader is None:
            return
        ends = [pair for pair in self._directions() if leader.name in pair]
        reconnect = self._block("cut the leader off", ends, breaks=True, at_least=DECEPTION)
        self._clock.after(self._rng.uniform(0.9, 1.6), lambda: self._wake_beside(leader, reconnect))

    def _wake_beside(self, leader: SimulatedNode, reconnect: Callable[[], None]) -> None:
        others = [node for node in self._nodes if node is not leader and not node.has_lost_its_disk]
        wiped = self._rng.sample(others, min(len(others), len(self._nodes) // 2))
        if not self._active or not leader.leads or not self._may_lose(*wiped):
            return
        reconnect()
        names = {leader.name, *(node.name for node in wiped)}
        outside = [pair for pair in self._directions() if (pair[0] in names) != (pair[1] in names)]
        self._block("leave it alone with wiped nodes", outside, at_least=DECEPTION)
        self._kill(wiped, "kill to wipe")
        for node in wiped:
            node.wipe()
            self._count("wipe", node.name)
            self._restart(node)

    def _may_lose(self, *nodes: SimulatedNode) -> bool:
        """Whether their disks can go: they are no loss yet, and a majority stays that has lost nothing."""
        lost = [node for node in self._nodes if node.has_lost_its_disk]
        return not set(nodes) & set(lost) and len(lost) + len(nodes) <= (len(self._nodes) - 1) // 2

    def _crash(self, node: SimulatedNode, power: bool) -> None:
        lost = node.crash(power=power)
        self.counts["transactions of the state lost"] += lost
        self._trace.say(f"{node.name} died, {lost} transactions of its state are lost")
        self._last(lambda: self._restart(node))

    def _restart(self, node: SimulatedNode) -> None:
        if node.core is None and not node.broken:
            node.start()

    def _pause(self) -> None:
        node = self._victim()
        if node.core is None or node.paused:
            return
        self._count("pause", node.name)
        node.pause()
        self._last(node.resume)

    def _transfer(self) -> None:
        for node in self._nodes:
            if node.leads and node.core is not None and not node.paused:
                self._count("transfer of leadership", f"from {node.name}")
                node.transfer_leadership()

    # Links.

    def _cut_pair(self) -> None:
        pair = self._rng.choice(self._network.pairs)
        self._block("cut a pair", [pair, pair[::-1]])

    def _cut_one_way(self) -> None:
        pair = self._rng.choice(self._network.pairs)
        self._block("cut one way", [self._rng.choice([pair, pair[::-1]])])

    def _isolate(self) -> None:
        name = self._victim().name
        directions = [pair for pair in self._directions() if name in pair]
        one_way = self._rng.choice([None, 0, 1])
        if one_way is not None:
            directions = [direction for direction in directions if direction[one_way] == name]
        self._block(f"isolate{'' if one_way is None else [' sender', ' receiver'][one_way]}", directions)

    def _split(self) -> None:
        names = sorted(node.name for node in self._nodes)
        side = set(self._rng.sample(names, self._rng.randint(1, len(names) - 1)))
        self._block("split", [pair for pair in self._directions() if (pair[0] in side) != (pair[1] in side)])

    def _directions(self) -> list[tuple[str, str]]:
        return [direction for pair in self._network.pairs for direction in (pair, pair[::-1])]

    def _block(
        self, kind: str, directions: list[tuple[str, str]], *, breaks: bool | None = None, at_least: float = 0.0
    ) -> Callable[[], None]:
        """What is sent meanwhile arrives late, or is lost with its connection. Returns what ends it."""
        self._count(kind, " ".join(f"{sender}>{receiver}" for sender, receiver in directions))
        broken = self._rng.random() < 0.5 if breaks is None else breaks
        for direction in directions:
            self._network.block(direction)
        return self._last(lambda: self._unblock(directions, broken), at_least)

    def _unblock(self, directions: list[tuple[str, str]], breaks: bool) -> None:
        for sender, receiver in directions:
            if breaks:
                self._network.break_connection((min(sender, receiver), max(sender, receiver)))
            self._network.unblock((sender, receiver))

    def _reconnect(self) -> None:
        pair = self._rng.choice(self._network.pairs)
        self._count("reconnect", "-".join(pair))
        self._network.break_connection(pair)
