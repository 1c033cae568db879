"""InventoryClient: many threads, one stream; and its end, expected or not."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from grpc import StatusCode

from lastunit.v1 import inventory_pb2
from lastunit_client import (
    ClientClosedError,
    CommandResult,
    DeadlineError,
    FencingToken,
    InventoryClient,
    PaidButExpired,
    UnavailableError,
)

from .fake_node import NodeThread, error, until


@pytest.fixture
def client(host: NodeThread) -> Iterator[InventoryClient]:
    with InventoryClient([host.node.endpoint]) as opened:
        yield opened


def client_threads() -> int:
    return sum(thread.name == "lastunit-client" for thread in threading.enumerate())


def test_sixteen_threads_get_their_own_answers_over_one_stream(client: InventoryClient, host: NodeThread) -> None:
    ids = [f"order-{number}" for number in range(800)]
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda name: client.place_order({"VASE": 1}, reservation_id=name), ids))
    assert [result.request_id for result in results] == ids
    assert host.node.streams == 1
    assert len(host.node.applied) == 800


def test_threads_are_batched_while_a_message_is_in_flight(client: InventoryClient, host: NodeThread) -> None:
    gate = asyncio.Event()
    host.node.reactions.extend([host.node.wait_for(gate)] * 2)
    with ThreadPoolExecutor(16) as threads:
        calls = [threads.submit(client.place_order, {"VASE": 1}) for _ in range(16)]
        host.run(host.node.inbox.get())
        host.loop.call_soon_threadsafe(gate.set)
        assert all(call.result().accepted for call in calls)
    assert len(host.node.messages) < 16


def test_every_call_of_the_asynchronous_client_is_there(client: InventoryClient, host: NodeThread) -> None:
    token = FencingToken(2, 7, 0)
    calls: list[Callable[[], Any]] = [
        lambda: client.place_order({"VASE": 1}),
        lambda: client.reserve({"VASE": 1}, hold_ticks=5),
        lambda: client.confirm("r1", token, {"VASE": 1}),
        lambda: client.release("r1", token),
        lambda: client.extend_hold("r1", token, 99),
        lambda: client.return_units("r1", {"VASE": [(1, 1)]}),
        lambda: client.receive_stock({"VASE": 1}),
        lambda: client.adjust_stock("VASE", quantity=1, reason="broken"),
    ]
    assert all(call().accepted for call in calls)
    assert client.get_stock("VASE", stale=True).received == 5
    assert client.get_reservation("r1").reservation_id == "r1"
    assert [level.sku for level in client.list_stock(page_size=2)] == ["S0", "S1", "S2", "S3", "S4"]
    assert len(list(client.list_reservations())) == 1
    assert client.status(host.node.endpoint).node == "n1"
    assert client.transfer_leadership(host.node.endpoint) == "n2"


@pytest.mark.parametrize("page_size", [0, 2, 1_000_000])
def test_a_list_may_be_left_half_read(client: InventoryClient, host: NodeThread, page_size: int) -> None:
    host.node.skus = 1_001  # the nodes make no larger pages, whatever is asked for
    levels = client.list_stock(page_size=page_size)
    assert next(levels).sku == "S0"
    assert len(host.node.queries) == 1
    client.close()
    with pytest.raises(ClientClosedError):
        list(levels)


def on_its_own_thread(client: InventoryClient, work: Callable[[], object]) -> Any:
    """Run on the thread of the client's loop."""

    async def run() -> object:
        return work()

    return asyncio.run_coroutine_threadsafe(run(), client._loop._loop).result(5)


def test_a_list_left_half_read_may_be_collected_on_the_thread_of_the_client(client: InventoryClient) -> None:
    unfinished = [client.list_stock(page_size=2) for _ in range(3)]
    assert [next(levels).sku for levels in unfinished] == ["S0"] * 3
    on_its_own_thread(client, unfinished.clear)
    assert client.place_order({"VASE": 1}).accepted


def test_a_collection_while_a_call_is_handed_over_may_end_a_list(client: InventoryClient) -> None:
    levels = client.list_stock(page_size=2)
    assert next(levels).sku == "S0"
    with client._loop._lock:
        del levels
    assert client.place_order({"VASE": 1}).accepted


def test_a_call_on_the_thread_of_the_client_is_refused(client: InventoryClient) -> None:
    with pytest.raises(RuntimeError, match="own thread"):
        on_its_own_thread(client, lambda: client.get_stock("VASE"))
    assert client.get_stock("VASE").received == 5


def test_errors_arrive_in_the_calling_thread(client: InventoryClient, host: NodeThread) -> None:
    host.node.reactions.append(host.node.fail_with(error(StatusCode.RESOURCE_EXHAUSTED, definite=True)))
    with pytest.raises(UnavailableError):
        client.place_order({"VASE": 1})
    host.node.reactions.append(host.node.hang)
    with pytest.raises(DeadlineError):
        client.place_order({"VASE": 1}, timeout=0.1)


def test_checkout_pays_in_the_calling_thread(client: InventoryClient) -> None:
    def pay(reserved: CommandResult) -> str:
        return threading.current_thread().name

    bought = client.checkout({"VASE": 1}, pay)
    assert (bought.placed, bought.payment) == (True, threading.current_thread().name)


def test_checkout_releases_and_raises_as_the_asynchronous_one(client: InventoryClient, host: NodeThread) -> None:
    assert client.checkout({"VASE": 1}, lambda _: False).released is not None

    async def too_late(request: Any, context: Any) -> Any:
        response = await host.node.answer(request, context)
        response.results[0].result.outcome = inventory_pb2.OUTCOME_EXPIRED
        return response

    host.node.reactions.extend([host.node.answer, too_late])
    with pytest.raises(PaidButExpired):
        client.checkout({"VASE": 1}, lambda _: "receipt 7")


def test_checkout_wants_a_plain_function(client: InventoryClient, host: NodeThread) -> None:
    async def pay(reserved: CommandResult) -> str:
        raise AssertionError

    for function in (pay, partial(pay)):
        with pytest.raises(TypeError, match="plain pay"):
            client.checkout({"VASE": 1}, function)
    assert not host.node.messages

    class Payment:  # of which that can be seen only when it is called
        async def __call__(self, reserved: CommandResult) -> str:
            raise AssertionError

    with pytest.raises(TypeError, match="plain pay"):
        client.checkout({"VASE": 1}, Payment())
    assert steps_seen(host) == ["reserve", "release"]


def test_checkout_releases_when_pay_returns_something_to_wait_for(client: InventoryClient, host: NodeThread) -> None:
    with pytest.raises(TypeError, match="plain pay"):
        client.checkout({"VASE": 1}, lambda _: host.loop.create_future())
    assert steps_seen(host) == ["reserve", "release"]


def steps_seen(host: NodeThread) -> list[str | None]:
    return [message.commands[0].WhichOneof("command") for message in host.node.messages]


def is_busy(client: InventoryClient) -> bool:
    """Whether a call is under way."""
    return "_Call.run" in repr(asyncio.all_tasks(client._loop._loop))


def test_ctrl_c_while_a_call_is_handed_over_ends_it_too(
    client: InventoryClient, host: NodeThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop may be at the call already when the thread that made it has yet to wait for it."""
    host.node.reactions.append(host.node.hang)
    hand_over = client._loop._hand_over

    def interrupted(work: Any) -> Any:
        hand_over(work)
        host.run(host.node.inbox.get())
        assert is_busy(client)
        raise KeyboardInterrupt

    monkeypatch.setattr(client._loop, "_hand_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.place_order({"VASE": 1}, timeout=60.0)
    monkeypatch.undo()
    host.run(until(lambda: not is_busy(client)))


def test_ctrl_c_ends_the_call_and_leaves_the_client_usable(client: InventoryClient, host: NodeThread) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    gate, main = asyncio.Event(), threading.get_ident()
    host.node.reactions.extend([host.node.wait_for(gate)] * 9)

    def interrupt() -> None:
        host.run(host.node.inbox.get())
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.place_order({"VASE": 1}, timeout=60.0)
    host.run(until(lambda: not is_busy(client)))
    host.node.reactions.clear()
    host.loop.call_soon_threadsafe(gate.set)
    assert client.place_order({"VASE": 1}).accepted


def test_close_ends_the_thread_and_the_calls_of_others(client: InventoryClient, host: NodeThread) -> None:
    host.node.reactions.append(host.node.hang)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.place_order, {"VASE": 1})
        host.run(host.node.inbox.get())
        client.close()
        with pytest.raises(ClientClosedError) as caught:
            call.result()
    assert not caught.value.definite
    assert client_threads() == 0
    client.close()
    with pytest.raises(ClientClosedError, match="closed"):
        client.get_stock("VASE")


def test_a_client_from_before_a_fork_is_refused(client: InventoryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ClientClosedError, match="fork"):
            client.get_stock("VASE")
    assert client.get_stock("VASE").received == 5


def test_a_client_that_is_forgotten_ends_its_thread(host: NodeThread) -> None:
    InventoryClient([host.node.endpoint]).place_order({"VASE": 1})
    gc.collect()
    assert client_threads() == 0


def run_script(script: str, host: NodeThread) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, which finds the node in `node`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"node = {host.node.endpoint!r}\n{textwrap.dedent(script)}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_an_open_client_does_not_keep_the_interpreter_from_exiting(host: NodeThread) -> None:
    script = """
        from lastunit_client import InventoryClient
        client = InventoryClient([node])
        print(client.place_order({"VASE": 1}).outcome.name)
    """
    ended = run_script(script, host)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ORDER_PLACED\n", "")


def test_several_clients_in_one_process_say_nothing_on_stderr(host: NodeThread) -> None:
    """Each has a loop, and gRPC wakes all of them for what is for one."""
    script = """
        from concurrent.futures import ThreadPoolExecutor
        from lastunit_client import InventoryClient
        clients = [InventoryClient([node]) for _ in range(4)]
        with ThreadPoolExecutor(16) as threads:
            results = list(threads.map(lambda number: clients[number % 4].place_order({"VASE": 1}), range(400)))
        for client in clients:
            client.close()
        print({result.outcome.name for result in results})
    """
    ended = run_script(script, host)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "{'ORDER_PLACED'}\n", "")


def test_the_last_client_to_be_closed_leaves_the_loops_of_other_threads_alone(host: NodeThread) -> None:
    """gRPC, when nothing uses it any more, takes itself off every loop it has met, from whatever thread it is in."""
    script = """
        import asyncio, gc, grpc, threading
        from lastunit_client import InventoryClient

        async def meet_grpc():
            await grpc.aio.insecure_channel(node).close()

        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # gRPC wakes it for nothing
        threading.Thread(target=loop.run_forever, daemon=True).start()
        with InventoryClient([node]) as client:
            client.place_order({"VASE": 1})
            asyncio.run_coroutine_threadsafe(meet_grpc(), loop).result(5)
            watched = set(loop._selector.get_map())
        del client
        gc.collect()
        print(set(loop._selector.get_map()) == watched)
    """
    ended = run_script(script, host)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_clients_that_come_and_go_leave_no_threads_and_no_files_behind(host: NodeThread) -> None:
    script = """
        import gc, os, threading
        from lastunit_client import InventoryClient

        def counts():
            with InventoryClient([node]) as client:
                client.place_order({"VASE": 1})
            gc.collect()
            return threading.active_count(), len(os.listdir("/proc/self/fd"))

        first, *_, last = [counts() for _ in range(40)]
        print(all(after - before < 20 for before, after in zip(first, last)))  # gRPC closes sockets when it likes
    """
    ended = run_script(script, host)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_clients_that_are_closed_during_calls_say_nothing_on_stderr(host: NodeThread) -> None:
    script = """
        import threading
        from lastunit_client import ClientClosedError, InventoryClient

        def ask(client, asked):
            try:
                while True:
                    client.get_stock("VASE")
                    asked.set()
            except ClientClosedError:
                pass

        for _ in range(30):
            client, asked = InventoryClient([node]), threading.Event()
            asking = threading.Thread(target=ask, args=(client, asked), daemon=True)
            asking.start()
            asked.wait(5)
            client.close()
            asking.join(5)
            if asking.is_alive():
                print("hangs")
    """
    ended = run_script(script, host)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


FORK = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads: that is what is tried here
    from lastunit_client import ClientClosedError, InventoryClient

    def buy(client):
        try:
            return client.place_order({"VASE": 1}, timeout=5.0).outcome.name
        except ClientClosedError as error:
            return f"{error.definite} {error}"

    client = InventoryClient([node])
    if USED_BEFORE:
        buy(client)
    child = os.fork()
    if child == 0:
        with InventoryClient([node]) as new:
            print(buy(client), buy(new), sep="\\n", flush=True)
        sys.exit()
    print(os.waitpid(child, 0)[1], buy(client), sep="\\n")
"""


def test_a_process_that_used_grpc_before_it_was_forked_is_told_so(host: NodeThread) -> None:
    ended = run_script(FORK.replace("USED_BEFORE", "True"), host)
    old, new, *parent = ended.stdout.splitlines()
    assert old == "True this client is closed, or was made before a fork()"
    assert new.startswith("True gRPC was used before fork(): start processes by spawn or exec")
    assert (parent, ended.returncode, ended.stderr) == (["0", "ORDER_PLACED"], 0, "")


def test_a_process_that_is_forked_before_the_first_call_makes_clients_of_its_own(host: NodeThread) -> None:
    ended = run_script(FORK.replace("USED_BEFORE", "False"), host)
    old, new, *parent = ended.stdout.splitlines()
    assert old == "True this client is closed, or was made before a fork()"
    assert new == "ORDER_PLACED"
    assert (parent, ended.returncode, ended.stderr) == (["0", "ORDER_PLACED"], 0, "")
