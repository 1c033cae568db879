"""What one seed is like: drawn once, so that seeds differ in kind and not only in detail."""

from dataclasses import dataclass
from random import Random

from lastunit_node.statemachine.commands import Configure


@dataclass(frozen=True)
class Profile:
    """Seconds are virtual; chances are per message, crash or call."""

    delay: float  # usual time of a message under way
    delay_spread: float  # how much longer it may take, now and then
    loss: float
    duplication: float
    late: float  # chance that a message survives its connection and arrives on the next one
    fault_pause: float  # mean time between two faults
    fault_length: float  # how long a fault lasts, at most
    power_loss: float  # chance that a crash is one of power, not only of the process
    checkpoint_pages: int  # a -wal is checkpointed at this length
    heartbeat: float
    promise: float  # seconds; 0 lets many stand at once, which must be safe too; the last step keeps to the real one
    state_commit: float  # seconds that a transaction of the state stays open
    election_max: float  # the longest election timeout; close to the shortest, so that votes are split
    turn: float  # seconds that a turn takes; what arrives meanwhile waits for the next one
    apply_cost: float  # seconds that applying one entry takes
    ballast: float  # chance that a call brings a large entry
    append_entries: int  # the most in one message; few, so that catching up takes many
    cached_entries: int  # the most in memory; others are read from the disk again
    margin_entries: int  # that a journal keeps for followers,
    slow_margin_entries: int  # and for those who are known to be slow,
    journal_bytes: int  # unless they are more than this
    trim_entries: int  # the most that one turn forgets
    trim_seconds: float  # between two looks at it
    copy_seconds: float  # that one step of a catch-up takes, at most
    copy_damage: float  # chance that a copy is damaged on its way
    gather: float  # seconds that a front end lets calls wait, so that they share entries
    ranges_an_entry: int  # that its commands may go through, before the next one is postponed
    clients: int
    configure: Configure

    @classmethod
    def draw(cls, rng: Random) -> "Profile":
        tick_ms = rng.choice([50, 100, 200])
        hold_ticks = max(2, rng.choice([200, 1_000, 2_000]) // tick_ms)
        retention_ticks = rng.choice([200, 400, 100_000])
        margin_entries = rng.choice([4, 10, 25, 100_000])
        fault_length = rng.choice([0.5, 1.0, 2.0, 4.0])
        return cls(
            delay=rng.choice([0.0005, 0.002, 0.02]),
            delay_spread=rng.choice([0.001, 0.01, 0.1]),
            loss=rng.choice([0.0, 0.0, 0.01, 0.05]),
            duplication=rng.choice([0.0, 0.01, 0.1, 0.4]),
            late=rng.choice([0.0, 0.3, 0.8]),
            fault_pause=fault_length / rng.choice([1.0, 2.0, 3.0]),
            fault_length=fault_length,
            power_loss=rng.choice([0.0, 0.5, 1.0]),
            checkpoint_pages=rng.choice([8, 30, 200]),
            election_max=rng.choice([0.55, 1.0, 1.0]),
            heartbeat=rng.choice([0.05, 0.1]),
            promise=rng.choice([0.0, 0.2]),
            state_commit=rng.choice([0.0, 0.01, 0.5]),
            turn=rng.choice([0.001, 0.004, 0.01]),
            apply_cost=rng.choice([0.0, 0.0, 0.0005, 0.003]),
            ballast=rng.choice([0.0, 0.02, 0.1]),
            cached_entries=rng.choice([2, 20, 1_000]),
            margin_entries=margin_entries,
            slow_margin_entries=margin_entries * rng.choice([1, 3]),
            journal_bytes=rng.choice([50_000, 1 << 28, 1 << 28]),
            trim_entries=rng.choice([1, 10, 100]),
            trim_seconds=rng.choice([0.1, 0.5, 1.0]),
            copy_seconds=rng.choice([0.05, 0.3, 1.0]),
            copy_damage=rng.choice([0.0, 0.3]),
            append_entries=rng.choice([1, 4, 1024]),
            gather=rng.choice([0.0, 0.1, 0.4]),
            ranges_an_entry=rng.choice([2, 5, 10_000]),  # with 1, who names a range would be postponed for ever
            clients=rng.choice([6, 10, 16]),
            configure=Configure(tick_ms, hold_ticks, 4 * hold_ticks, retention_ticks, rng.choice([1, 2, 100])),
        )
