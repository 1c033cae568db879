"""An event loop on a private daemon thread, for clients that are called from threads."""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, Generic, TypeVar

import grpc

from lastunit_client.channel import open_channel
from lastunit_client.errors import ClientClosedError

T = TypeVar("T")

_DRAIN_SECONDS: Final = 0.5  # for calls that were closed and have yet to notice
_CLOSE_SECONDS: Final = 5.0  # a bound, so that a stuck connection cannot keep the interpreter from exiting


class BackgroundLoop:
    """Runs coroutines for other threads. Ends with close(), when its owner is collected, or at interpreter exit.

    owner: the object whose end is this loop's end. shutdown: closes what runs on the loop, on the loop.
    """

    def __init__(self, owner: object, shutdown: Callable[[], Awaitable[None]]) -> None:
        self._shutdown = shutdown
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._lock = threading.RLock()  # nothing may be handed to the loop once its end has been; a collection may try
        self._closed = False
        self._waited_for: set[concurrent.futures.Future[Any]] = set()
        self._thread = threading.Thread(target=self._serve, name="lastunit-client", daemon=True)
        self._thread.start()
        self.close = weakref.finalize(owner, self._close)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and hand over what it returns or raises. ClientClosedError when the loop is closed."""
        if threading.get_ident() == self._thread.ident:
            work.close()
            raise RuntimeError("called on the client's own thread, which cannot wait for itself")
        call = _Call(work)
        try:
            return self._hand_over(call.run()).result()
        except concurrent.futures.CancelledError:
            work.close()  # where it was not begun
            raise ClientClosedError("the client was closed during the call", definite=False) from None
        except ClientClosedError:
            work.close()  # where it was not begun
            raise
        except BaseException:
            if not call.is_over:  # Ctrl-C, while it waits or is being handed over: nobody wants the answer any more
                with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the call
                    self._loop.call_soon_threadsafe(call.leave)
            raise

    def iterate(self, items: AsyncGenerator[T, None], chunk: int) -> Iterator[T]:
        """The items, `chunk` of them per visit to the loop. What is left unfinished is closed soon, without waiting.

        A garbage collection may leave it, in any thread and at any line: on the loop, or where the loop is waited for.
        """
        try:
            while batch := self.run(_take(items, chunk)):
                yield from batch
        finally:
            with contextlib.suppress(ClientClosedError):
                self._hand_over(_close(items))

    def _hand_over(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Begin it on the loop. The future gets its end, or CancelledError when the loop has gone: never nothing."""
        if os.getpid() == self._process:
            with self._lock:
                if not self._closed:
                    handed = asyncio.run_coroutine_threadsafe(work, self._loop)
                    self._waited_for.add(handed)
                    handed.add_done_callback(self._waited_for.discard)
                    if self._loop.is_closed():  # since the last lines; it may not have seen this one
                        self._give_up()
                    return handed
        work.close()
        raise ClientClosedError("this client is closed, or was made before a fork()")

    def _serve(self) -> None:
        """The thread."""
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_report)
        try:
            self._loop.run_forever()
        finally:
            self._closed = True  # without the lock: a signal handler may have closed the client in a thread that has it
            self._loop.close()
            self._give_up()

    def _give_up(self) -> None:
        """End every wait for the closed loop. By two threads at once, it may be."""
        with contextlib.suppress(KeyError):
            while True:
                handed = self._waited_for.pop()
                with contextlib.suppress(concurrent.futures.InvalidStateError):
                    handed.set_exception(concurrent.futures.CancelledError())  # cancel() would call on the loop

    def _close(self) -> None:
        """End what runs, then the thread; without waiting when a garbage collection in that very thread calls it."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if self._closed:  # it broke
                return
            self._closed = True
            asyncio.run_coroutine_threadsafe(self._wind_down(), self._loop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_SECONDS)

    async def _wind_down(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._shutdown()
        finally:
            await _finish(asyncio.all_tasks() - {asyncio.current_task()})
            await self._loop.shutdown_asyncgens()
            self._loop.call_soon(self._loop.stop)  # not before what has just ended is told to who waits for it


class _Call(Generic[T]):
    """Work for the loop that can be left at any moment, also before who hands it over has anything to cancel."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.is_over = False
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self._is_left = False

    async def run(self) -> T:
        """Do the work."""
        self._task = asyncio.current_task()
        try:
            if not _grpc_is_kept:
                await _keep_grpc()
            if self._is_left:
                raise asyncio.CancelledError
            return await self._work
        finally:
            self.is_over = True

    def leave(self) -> None:
        """Nobody waits for it. Called on the loop."""
        self._is_left = True
        if self._task is None:
            self._work.close()
        else:
            self._task.cancel()


_grpc_is_kept = False  # in this process


async def _keep_grpc() -> None:
    """Let gRPC run from now on until the process ends. ClientClosedError where it cannot be used, after a fork().

    When the last of its objects goes, it stops, and takes itself off every loop it has met, from the thread that it
    happens to be in: a loop that runs in another thread breaks of it. A loop it has met stays in memory, 3 kB.
    """
    global _grpc_is_kept  # noqa: PLW0603  # of the process, as gRPC is
    channel = open_channel("127.0.0.1:1")  # which nobody connects to: it refuses where gRPC would hang
    grpc.aio.init_grpc_aio()
    _grpc_is_kept = True
    await channel.close()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As loops do, but for what gRPC does to each: all are woken for what is for one, or for a closed one."""
    error = context.get("exception")
    if not isinstance(error, BlockingIOError) and str(error) != "Event loop is closed":
        loop.default_exception_handler(context)


async def _finish(tasks: set[asyncio.Task[Any]]) -> None:
    """Let gRPC's own tasks see the end of their calls, so that nothing is left for a closed loop; cancel the rest."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _take(items: AsyncGenerator[T, None], count: int) -> list[T]:
    taken: list[T] = []
    async for item in items:
        taken.append(item)
        if len(taken) >= count:
            break
    return taken


async def _close(items: AsyncGenerator[T, None]) -> None:
    await items.aclose()
