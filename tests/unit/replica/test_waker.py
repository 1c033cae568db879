"""The waker of the Raft thread: no wake-up is lost, however many ask, and none comes twice."""

import threading
import time
from collections.abc import Callable

from pysyncobj.poller import createPoller

from lastunit_node.replica.waker import Waker

LONG = 5.0  # seconds


def seconds_of(call: Callable[[], None]) -> float:
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


def test_who_asks_once_or_a_hundred_thousand_times_wakes_one_poll() -> None:
    """A pipe that is full would raise, after the proposal was queued."""
    poller = createPoller("auto")
    waker = Waker(poller)
    for times in (1, 100_000):
        for _ in range(times):
            waker.notify()
        assert seconds_of(lambda: poller.poll(LONG)) < LONG
        assert seconds_of(lambda: poller.poll(0.02)) > 0.01


def test_what_was_there_before_somebody_asked_is_found_at_once() -> None:
    """Threads put and then ask; who polls looks after each poll, and never waits while something is there."""
    poller = createPoller("auto")
    waker, queue = Waker(poller), list[int]()

    def put(count: int) -> None:
        for number in range(count):
            queue.append(number)
            waker.notify()

    threads = [threading.Thread(target=put, args=(2_000,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    found = 0
    while found < 6_000:
        assert seconds_of(lambda: poller.poll(LONG)) < LONG
        while queue:
            queue.pop()
            found += 1
    for thread in threads:
        thread.join()
