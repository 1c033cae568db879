"""Server programs of others (etcd, Redis, ...) that a measurement starts on this machine, and ends by their PID."""

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

END_LIMIT_S = 5.0
POLL_S = 0.02


class ProgramError(Exception):
    """A program did not come up; the message has the end of its log."""


class Program:
    """One process, running from now on; what it writes goes to `log`, after what is there.

    It has a process group of its own, as a node has: Ctrl-C reaches only who started it, who then ends it.
    """

    def __init__(self, command: Sequence[str], log: Path, ending: signal.Signals = signal.SIGKILL) -> None:
        self._log = log
        self._ending = ending
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, process_group=0
            )

    @property
    def pid(self) -> int:
        """Its process id, also when it has ended."""
        return self._process.pid

    def end(self) -> None:
        """Send it the signal that it ends by, and SIGKILL should it not; return when it is gone."""
        self._process.send_signal(self._ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_LIMIT_S)
            return
        self._process.kill()
        self._process.wait()

    def require_alive(self) -> None:
        """ProgramError when it has ended."""
        if self._process.poll() is not None:
            raise self.error(f"ended with status {self._process.returncode}")

    def error(self, problem: str) -> ProgramError:
        """What to raise about it."""
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
        return ProgramError(f"{self._process.args!r} {problem}; its log ends:\n{tail}")

    async def listens(self, port: int, limit_s: float = 20.0) -> None:
        """Wait until it takes connections on a port of loopback. ProgramError when it ends or takes too long."""
        ends_at = asyncio.get_running_loop().time() + limit_s
        while not _is_open(port):
            self.require_alive()
            if asyncio.get_running_loop().time() > ends_at:
                raise self.error(f"does not listen on port {port} after {limit_s:g} s")
            await asyncio.sleep(POLL_S)


def _is_open(port: int) -> bool:
    """Whether somebody takes connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False
