"""A replica without Raft: proposals fail by script or wait on demand, and are applied by canned answers."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lastunit_node.frontend.catchup import StateFiles
from lastunit_node.replica.interface import (
    FailureReason,
    ProposalFailed,
    ReadRefused,
    Role,
    SnapshotRefused,
    Status,
    TransferFailed,
)
from lastunit_node.statemachine.codec import DecodedEntry, Malformed, decode_entry
from lastunit_node.statemachine.commands import Command, FencingToken
from lastunit_node.statemachine.results import (
    Applied,
    Outcome,
    Parameters,
    Reservation,
    ReservationState,
    Result,
    Scan,
    StateHash,
    StockLevel,
)
from lastunit_node.statemachine.tables import LAST_KEY

PARAMETERS = Parameters(tick_ms=100, hold_ticks=100, hold_cap_ticks=600, retention_ticks=1000, sweep_size=50)
STATUS = Status(
    role=Role.LEADER,
    leader="n1",
    term=3,
    last_index=0,
    commit_index=0,
    applied_index=0,
    clock=7,
    has_quorum=True,
    is_behind=False,
    is_admitted=True,
    parameters=PARAMETERS,
)

FILES = StateFiles("cluster-id", Path("no-such-state.db"), Path("no-such-copy.db"))

OUTCOMES = {
    "PlaceOrder": Outcome.ORDER_PLACED,
    "Reserve": Outcome.RESERVED,
    "Confirm": Outcome.CONFIRMED,
    "Release": Outcome.RELEASED,
    "ExtendHold": Outcome.EXTENDED,
    "ReceiveStock": Outcome.RECEIVED,
    "AdjustStock": Outcome.ADJUSTED,
    "ReturnUnits": Outcome.RETURNED,
}


async def turns(number: int = 10) -> None:
    """Let every task that can run do so."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def accept(command: Command | Malformed, index: int, position: int) -> Result:
    """The shortest answer that says yes; its token tells the position."""
    return Result(OUTCOMES[type(command).__name__], index, FencingToken(3, index, position))


class FakeSnapshot:
    """Rows that a test put there."""

    def __init__(self, applied_index: int) -> None:
        self.applied_index = applied_index
        self.levels: dict[str, StockLevel] = {}
        self.reservations: dict[str, Reservation] = {}

    def stock(self, sku: str) -> StockLevel | None:
        return self.levels.get(sku)

    def list_stock(self, after: str, limit: int) -> list[StockLevel]:
        return [self.levels[sku] for sku in sorted(self.levels) if sku > after][:limit]

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self.reservations.get(reservation_id)

    def stretch_of_reservations(self, after: str, rows: int) -> str:
        return next(iter([key for key in sorted(self.reservations) if key > after][rows - 1 : rows]), LAST_KEY)

    def list_reservations(
        self, after: str, limit: int, state: ReservationState | None, upto: str = LAST_KEY
    ) -> list[Reservation]:
        found = [self.reservations[key] for key in sorted(self.reservations) if after < key <= upto]
        return [reservation for reservation in found if state in (None, reservation.state)][:limit]


class FakeReplica:
    """Applies each proposal at the next index, unless `script` has a failure for it; hold() makes proposals wait."""

    def __init__(self) -> None:
        self.answer: Callable[[Command | Malformed, int, int], Result] = accept
        self.script: deque[FailureReason] = deque()  # one per attempt
        self.always: FailureReason | None = None  # for attempts beyond the script
        self.forged_nonces = 0  # so many proposals come back with another's nonce
        self.proposals: list[DecodedEntry] = []
        self.commits_late = False  # snapshots see what was proposed only once somebody waits for it
        self.rows = FakeSnapshot(0)
        self.hashes: dict[int, StateHash] = {}
        self.waited_for: list[int] = []  # indexes
        self.waiting = 0  # how many wait now
        self.scanned = Scan(StateHash(0, bytes(16), bytes(16)), bytes(16), 0)
        self.scan_problem: Exception | None = None
        self.failed: list[BaseException] = []
        self.is_damaged = False
        self.read_problem = ""  # why the system refuses to read
        self.transfers: list[str | None] = []
        self.transfer_problem = ""
        self.transfer_gate = asyncio.Event()
        self.transfer_gate.set()
        self._status = STATUS
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Condition()

    def hold(self) -> None:
        """Proposals wait until let_go()."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def proposed(self, count: int) -> None:
        """Wait until so many proposals have been made."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.proposals) >= count)

    async def set(self, status: Status) -> None:
        """The node now stands like this."""
        self._status = status
        async with self._changed:
            self._changed.notify_all()

    async def reach(self, index: int) -> None:
        """The node has applied this index, through other nodes' entries."""
        await self.set(replace(self._status, applied_index=index))

    async def propose(self, entry: bytes) -> Applied:
        decoded = decode_entry(entry)
        assert isinstance(decoded, DecodedEntry)
        self.proposals.append(decoded)
        async with self._changed:
            self._changed.notify_all()
        await self._open.wait()
        failure = self.script.popleft() if self.script else self.always
        if failure:
            raise ProposalFailed(failure)
        return await self._apply(decoded)

    async def _apply(self, entry: DecodedEntry) -> Applied:
        index = self._status.applied_index + 1
        results = tuple(self.answer(command, index, place) for place, command in enumerate(entry.commands))
        if not self.commits_late:
            await self.reach(index)
        nonce = entry.nonce
        if self.forged_nonces:
            self.forged_nonces -= 1
            nonce += 1
        return Applied(index, STATUS.term, nonce, results)

    async def wait_applied(self, index: int) -> None:
        self.waited_for.append(index)
        if self.commits_late:
            await self.reach(index)
        self.waiting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._status.applied_index >= index)
        finally:
            self.waiting -= 1

    @contextmanager
    def snapshot(self) -> Iterator[FakeSnapshot]:
        if self.is_damaged:
            raise SnapshotRefused
        if self.read_problem:
            raise ReadRefused(self.read_problem)
        self.rows.applied_index = self._status.applied_index
        yield self.rows

    def hold_log(self, index: int, seconds: float) -> None:
        self.held = (index, seconds)

    def hash_at(self, index: int) -> StateHash | None:
        return self.hashes.get(index)

    async def scan(self) -> Scan:
        if self.scan_problem:
            raise self.scan_problem
        return self.scanned

    def fail(self, problem: BaseException) -> None:
        self.failed.append(problem)

    def clock(self) -> int:
        return self._status.clock

    def status(self) -> Status:
        return self._status

    async def transfer_leadership(self, target: str | None) -> str:
        self.transfers.append(target)
        await self.transfer_gate.wait()
        if self.transfer_problem:
            raise TransferFailed(self.transfer_problem)
        return target or "n2"
