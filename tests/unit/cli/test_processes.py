"""A node's process is found again by its PID file, and nobody else's is ever signalled."""

import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lastunit_node.cli.processes import (
    NodeProcess,
    ProcessError,
    ProcessState,
    identity_of,
    started_since_boot,
    wait_until,
)

WAIT_FOR_EVER = "import signal; print('here', flush=True); signal.pause()"
ANSWER_SIGUSR1 = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("alive", flush=True))
print("here", flush=True)
while True:
    signal.pause()
"""


def make(folder: Path, program: str = WAIT_FOR_EVER) -> NodeProcess:
    return NodeProcess("n1", folder, [sys.executable, "-c", program])


@pytest.fixture
def process(tmp_path: Path) -> Iterator[NodeProcess]:
    made = make(tmp_path)
    yield made
    made.end()


def test_the_files_of_another_user_do_not_say_that_it_is_down(
    process: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        with pytest.raises(ProcessError, match=r"node\.pid is not to be read: ask as the user who started the nodes"):
            assert process.state


def test_a_process_that_was_never_started(process: NodeProcess) -> None:
    assert (process.state, process.pid, process.log_tail()) == (ProcessState.DOWN, None, "")
    process.terminate()
    with pytest.raises(ProcessError, match="n1 is not running; start it with `lastunit start n1`"):
        process.kill()


def test_start_kill_and_start_again(process: NodeProcess) -> None:
    first = process.start()
    assert (process.state, process.pid) == (ProcessState.RUNNING, first)
    process.kill()
    assert process.state is ProcessState.DOWN
    assert process.start() != first


def test_it_is_not_started_twice(process: NodeProcess, tmp_path: Path) -> None:
    pid = process.start()
    for same in (process, make(tmp_path)):
        with pytest.raises(ProcessError, match=rf"n1 is running already \(PID {pid}\)"):
            same.start()


def test_one_that_ends_at_the_first_signal_is_terminated(process: NodeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    send = psutil.Process.send_signal

    def sent(found: psutil.Process, number: int) -> None:
        send(found, number)
        assert process.wait_gone(10)

    process.start()
    monkeypatch.setattr(psutil.Process, "send_signal", sent)
    process.terminate()
    process.end()
    assert process.state is ProcessState.DOWN


def test_another_program_finds_it_again(process: NodeProcess, tmp_path: Path) -> None:
    pid = process.start()
    again = make(tmp_path)
    assert again.pid == pid
    again.kill()
    assert process.state is ProcessState.DOWN


def test_one_of_another_user_is_left_alone_and_no_bug(process: NodeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(found: psutil.Process, number: int) -> None:
        raise psutil.AccessDenied(found.pid)

    pid = process.start()
    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "send_signal", denied)
        for end in (process.kill, process.terminate):
            with pytest.raises(ProcessError, match=rf"n1 \(PID {pid}\) is another user's"):
                end()
    assert process.state is ProcessState.RUNNING


def test_pause_and_resume(process: NodeProcess) -> None:
    pid = process.start()
    process.pause()
    assert process.state is ProcessState.PAUSED
    process.resume()
    assert process.pid == pid
    assert process.state.value == "running"


def test_a_paused_process_hears_terminate(process: NodeProcess) -> None:
    process.start()
    process.pause()
    process.terminate()
    assert process.wait_gone(10)


def test_it_outlives_the_terminal_it_was_started_from(tmp_path: Path) -> None:
    process = make(tmp_path, ANSWER_SIGUSR1)
    shell, terminal = pty.fork()
    if shell == 0:  # leads a session with that terminal, as a shell does
        try:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
            process.start()
            signal.pause()
        finally:
            os._exit(1)
    try:
        assert wait_until(lambda: "here" in process.log_tail() and process.pid is not None, 10)
        os.close(terminal)
        assert os.waitpid(shell, 0)[1] == signal.SIGHUP
        process.send(signal.SIGUSR1)  # a hang-up that waits would be delivered before it
        assert wait_until(lambda: "alive" in process.log_tail(), 10)
    finally:
        if process.state is not ProcessState.DOWN:
            process.kill()


def test_ctrl_c_reaches_only_who_started_it(process: NodeProcess) -> None:
    pid = process.start()
    assert os.getpgid(pid) == pid != os.getpgrp()


def test_the_log_tail_is_of_the_last_start(process: NodeProcess) -> None:
    for _ in range(2):
        process.start()
        assert wait_until(lambda: process.log_tail() == "here", 10)
        process.kill()
    assert process.log_file.read_text() == "here\nhere\n"


def test_added_environment(tmp_path: Path) -> None:
    process = make(tmp_path, "import os; print(os.environ['CLOCK'])")
    process.start({**os.environ, "CLOCK": "crazy"})
    assert process.wait_gone(10)
    assert process.log_tail() == "crazy"


def test_a_pid_that_was_given_to_another_process(process: NodeProcess) -> None:
    """Our own PID with another start time: it must not be signalled."""
    record = {"pid": os.getpid(), "started_s": 1.0, "folder": identity_of(process.pid_file.parent)}
    process.pid_file.write_text(json.dumps(record))
    assert process.state is ProcessState.DOWN
    with pytest.raises(ProcessError, match="not running"):
        process.send(signal.SIGKILL)


@pytest.mark.parametrize("copy_file", [shutil.copy2, os.link])
def test_a_copy_of_a_folder_is_not_the_process_of_the_original(
    tmp_path: Path, copy_file: Callable[[str, str], None]
) -> None:
    """Copied as a backup is, with every file, or by hard links; one that was renamed is still the same."""
    folder, copied = tmp_path / "data", tmp_path / "copy"
    folder.mkdir()
    original = make(folder)
    pid = original.start()
    shutil.copytree(folder, copied, copy_function=copy_file)
    copy = make(copied)
    with pytest.raises(ProcessError, match="n1 is not running"):
        copy.kill()
    copy.terminate()
    assert (copy.state, original.pid) == (ProcessState.DOWN, pid)
    shutil.rmtree(copied)
    folder.rename(copied)
    copy.kill()


@pytest.mark.parametrize(
    "content", ["", "12", "{}", '{"pid": 1}', '{"pid": "x", "started_s": 1}', '{"pid": -1, "started_s": 1}']
)
def test_a_damaged_pid_file(process: NodeProcess, content: str) -> None:
    process.pid_file.write_text(content)
    assert process.state is ProcessState.DOWN


def test_no_process_is_left_when_its_pid_cannot_be_written(process: NodeProcess) -> None:
    """As on a full disk: nobody would find it again."""
    process.pid_file.with_suffix(".pid.new").mkdir()
    with pytest.raises(IsADirectoryError):
        process.start()
    assert "signal.pause" not in str([child.cmdline() for child in psutil.Process().children()])


HOLD_LOCK = "import os, signal; lock = open('LOCK', 'w'); print(os.getpid(), file=lock, flush=True); signal.pause()"


def test_without_a_pid_file_the_lock_file_says_who_it_is(
    process: NodeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    holding = make(tmp_path, HOLD_LOCK)
    pid = holding.start()
    lock = tmp_path / "LOCK"
    assert wait_until(lambda: lock.is_file() and bool(lock.read_text()), 10)
    holding.pid_file.unlink()
    assert (process.state, process.pid) == (ProcessState.RUNNING, pid)
    process.kill()
    assert process.state is ProcessState.DOWN
    lock.write_text(f"{os.getpid()}\n")
    assert process.state is ProcessState.DOWN, "we do not have it open"


def test_a_start_time_does_not_move_with_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = started_since_boot(psutil.Process())
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 86_400)
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + 86_400)
    assert started_since_boot(psutil.Process()) == pytest.approx(before, abs=0.01)


def test_a_process_lives_as_long_as_its_last_thread(tmp_path: Path) -> None:
    """After kill -9 the first thread may be gone while another still holds the ports."""
    end_first_thread = "import ctypes; ctypes.CDLL(None).pthread_exit(0)"
    process = make(
        tmp_path, f"import signal, threading; threading.Thread(target=signal.pause).start(); {end_first_thread}"
    )
    process.start()
    assert wait_until(lambda: (found := process.find()) is not None and found.status() == psutil.STATUS_ZOMBIE, 10)
    process.kill()
    assert process.state is ProcessState.DOWN


def test_wait_until_gives_up() -> None:
    assert not wait_until(lambda: False, 0.05)
