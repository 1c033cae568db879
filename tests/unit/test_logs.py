"""The node's log."""

import io
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from lastunit_node.streams import guard_streams

PROGRAM = """
import threading, structlog
from lastunit_node.logs import configure_logging
configure_logging("n7")
log = structlog.get_logger()
thread = threading.Thread(target=log.info, args=("elsewhere",))
thread.start()
thread.join()
log.warning("here", index=3)
"""


def test_every_line_names_its_node_whatever_thread_it_comes_from() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert "level=info node=n7 event=elsewhere" in first
    assert "level=warning node=n7 event=here index=3" in second


NOBODY_READS = """
import logging, os, sys, warnings
import structlog
from lastunit_node.logs import configure_logging
from lastunit_node.streams import guard_streams
guard_streams()
configure_logging("n7")
assert os.open(os.devnull, os.O_RDONLY) > 2
for _ in range(100):
    structlog.get_logger().info("a line", of="x" * 200)
    logging.getLogger("library").error("another")
    warnings.warn("and another")
    sys.stderr.write("and one of nobody's")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("library").exception("with a traceback")
"""


@pytest.fixture(params=["2>&$PIPE", "2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def dead_stderr(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """What a shell is to be told so that no line can be written, and the descriptor of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield request.param.replace("$PIPE", str(writing)), writing
    os.close(writing)


def test_what_cannot_be_written_is_dropped(dead_stderr: tuple[str, int]) -> None:
    redirection, pipe = dead_stderr
    shell = ["bash", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, NOBODY_READS]
    done = subprocess.run(shell, check=False, capture_output=True, pass_fds=[pipe])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def a_socket() -> tuple[int, int]:
    """As systemd gives it: the descriptor of whom reads, and of who writes."""
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


@pytest.mark.parametrize("make", [os.pipe, a_socket])
def test_nobody_waits_for_a_pipe_or_socket_that_is_full(make: Callable[[], tuple[int, int]]) -> None:
    """Whose reader lives, and does not read: the Raft thread stood still in the write."""
    reading, writing = make()
    full = NOBODY_READS.replace("range(100)", "range(1_000)")
    done = subprocess.run([sys.executable, "-c", full], check=False, stdout=subprocess.PIPE, stderr=writing, timeout=60)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    assert done.returncode == 0
    assert told.startswith(b"timestamp=")
    assert len(told) > 4 * select.PIPE_BUF, "as long as there was room"


def test_a_stderr_that_was_closed_since_drops_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(io.StringIO()) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        guard_streams()
        sys.stderr.write("heard")
        assert stream.getvalue() == "heard"
    sys.stderr.write("lost")
    sys.stderr.flush()
