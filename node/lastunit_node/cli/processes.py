"""One node's process on this machine: started in the background, found again by its PID file, signalled with care.

A PID alone may by now belong to another program, and a PID file may have come with a copy of a node's folder. The file
therefore also says when the process started and which folder it was written in, and no signal leaves before all match.
Where there is no such file, the lock file that a node holds says its PID too, and that process must have the file open.
Nothing here knows what a cluster is.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

import psutil

from lastunit_node.cli.errors import LocalClusterError

POLL_S: Final = 0.02
START_TOLERANCE_S: Final = 0.05  # rounding; the kernel counts in hundredths of a second
SIGNAL_LIMIT_S: Final = 5.0  # for the kernel to act on SIGKILL, SIGSTOP or SIGCONT


_children: Final[dict[int, subprocess.Popen[bytes]]] = {}  # started by this program, and not yet seen to have ended


class ProcessState(StrEnum):
    """Whether a node's process is there."""

    DOWN = "down"
    RUNNING = "running"
    PAUSED = "paused"


class ProcessError(LocalClusterError):
    """The process is not in a state for this."""


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `condition` holds: True, or False when the time ran out first."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def started_since_boot(process: psutil.Process) -> float:
    """When a process started, in seconds since boot: the same for life, however the wall clock is moved."""
    return float(process.create_time() - psutil.boot_time())


def is_dead(process: psutil.Process) -> bool:
    """Whether nothing of a process is left to run.

    One that was killed counts as a zombie from its first thread's end on, while others may still hold its ports.
    """
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def identity_of(folder: Path) -> list[int]:
    """Which folder this is, whatever it is called. A copy of it is another one, even one that shares its files."""
    found = folder.stat()
    return [found.st_dev, found.st_ino]


def holder_of(lock: Path) -> psutil.Process | None:
    """The process that a lock file names, if it has that file open."""
    try:
        process = psutil.Process(int(lock.read_text(encoding="ascii")))
        return process if any(lock.samefile(opened.path) for opened in process.open_files()) else None
    except (OSError, ValueError, psutil.Error):
        return None


@contextmanager
def signals_held() -> Iterator[None]:
    """Let the signals that this program handles come after the block.

    A child in the making would be left behind, and so would those that had not yet been asked to end.
    """
    came: list[int] = []
    wanted = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    in_python = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in wanted if in_python}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}  # a child inherits the others
    for number in held:
        signal.signal(number, lambda sent, _frame: came.append(sent))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for sent in came:
            signal.raise_signal(sent)


def reap_children() -> None:
    """Take leave of those of our children that have ended, so that no zombie is left of them."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


class NodeProcess:
    """The process of one node: `command`, its PID and its log kept in `folder`."""

    def __init__(self, name: str, folder: Path, command: Sequence[str]) -> None:
        self.name = name
        self.pid_file = folder / "node.pid"
        self.log_file = folder / "node.log"
        self._lock_file = folder / "LOCK"
        self._command = list(command)
        self._child: subprocess.Popen[bytes] | None = None  # as last started from here
        self._log_start = 0  # where the last start's part of the log begins

    def find(self) -> psutil.Process | None:
        """The living process that the PID file means, or else the lock file, if there is one."""
        process = self._recorded() or holder_of(self._lock_file)
        if process is None:
            reap_children()
        return process

    def _recorded(self) -> psutil.Process | None:
        try:
            record = json.loads(self.pid_file.read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            same = abs(started_since_boot(process) - record["started_s"]) <= START_TOLERANCE_S
            ours = record["folder"] == identity_of(self.pid_file.parent)
            return process if same and ours and not is_dead(process) else None
        except PermissionError:
            raise ProcessError(f"{self.pid_file} is not to be read: ask as the user who started the nodes") from None
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None

    @property
    def pid(self) -> int | None:
        """Its PID; None while it is down."""
        process = self.find()
        return process.pid if process else None

    @property
    def state(self) -> ProcessState:
        """Down, running, or stopped by SIGSTOP."""
        process = self.find()
        try:
            if process is None:
                return ProcessState.DOWN
            return ProcessState.PAUSED if process.status() == psutil.STATUS_STOPPED else ProcessState.RUNNING
        except psutil.NoSuchProcess:
            return ProcessState.DOWN

    def start(self, environment: Mapping[str, str] | None = None) -> int:
        """Start it and return its PID. ProcessError when it runs already.

        It is in a process group of its own, so that Ctrl-C and the end of a terminal reach only who started it. Not in
        a session: Linux shares processors out between sessions first, and the nodes of one cluster would take turns.
        """
        pid = self.pid
        if pid is not None:
            raise ProcessError(f"{self.name} is running already (PID {pid})")
        with self.log_file.open("ab") as log, signals_held():
            self._log_start = log.tell()
            child = self._spawn(log, environment)
            try:
                self._write_pid_file(child.pid)
            except BaseException:
                child.kill()  # nobody would find it
                child.wait()
                raise
            _children[child.pid] = self._child = child
        return child.pid

    def _spawn(self, log: BinaryIO, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,
            )
        except OSError as problem:
            raise ProcessError(f"{self.name} cannot be started: {problem}") from problem

    def _write_pid_file(self, pid: int) -> None:
        try:
            started_s = started_since_boot(psutil.Process(pid))
        except psutil.NoSuchProcess:
            return  # it has died already: the log says why
        fresh = self.pid_file.with_suffix(".pid.new")
        record = {"pid": pid, "started_s": started_s, "folder": identity_of(self.pid_file.parent)}
        fresh.write_text(json.dumps(record), encoding="utf-8")
        fresh.replace(self.pid_file)

    def send(self, number: signal.Signals) -> None:
        """Send a signal. ProcessError when it is down, or another user's."""
        if not self._reached(number):
            raise ProcessError(f"{self.name} is not running; start it with `lastunit start {self.name}`")

    def _reached(self, number: signal.Signals) -> bool:
        """Send a signal; False when it is down. ProcessError when it is another user's."""
        process = self.find()
        try:
            if process is not None:
                process.send_signal(number)
            return process is not None
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied as denied:
            raise ProcessError(f"{self.name} (PID {denied.pid}) is another user's, who alone may do that") from None

    def kill(self) -> None:
        """Kill it with SIGKILL, and return when it is gone. ProcessError when it is down, or another user's."""
        self.send(signal.SIGKILL)
        self._require(ProcessState.DOWN)

    def pause(self) -> None:
        """Stop it with SIGSTOP, and return when it stands still."""
        self.send(signal.SIGSTOP)
        self._require(ProcessState.PAUSED)

    def resume(self) -> None:
        """Let it go on with SIGCONT."""
        self.send(signal.SIGCONT)
        self._require(ProcessState.RUNNING)

    def terminate(self) -> bool:
        """Ask it to end, with SIGTERM; a paused one is resumed to hear it. False, and nothing done, when it is down."""
        reached = self._reached(signal.SIGTERM)
        if reached:
            self._reached(signal.SIGCONT)  # it may be down by now
        return reached

    def end(self) -> None:
        """Kill it with SIGKILL, and return when it is gone. Nothing when it is down."""
        if self._reached(signal.SIGKILL):
            self._require(ProcessState.DOWN)

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until it is down; False when it still runs after the time."""
        return wait_until(lambda: self.find() is None, timeout_s)

    @property
    def exit_status(self) -> int | None:
        """With which status it ended, negative for a signal; None while it runs, or when it was started elsewhere."""
        return self._child.poll() if self._child else None

    def _require(self, state: ProcessState) -> None:
        if not wait_until(lambda: self.state is state, SIGNAL_LIMIT_S):
            raise ProcessError(f"{self.name} is still {self.state} after {SIGNAL_LIMIT_S:g} s; look at PID {self.pid}")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of what it wrote since it was last started from here."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
