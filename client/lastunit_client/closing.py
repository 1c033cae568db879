"""Several things to close, each whatever becomes of the others.

Not compiled: of a `finally` that awaits, mypyc makes one that raises whatever exception its caller is handling.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack


async def close_all(closers: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Call and await each in turn, though one fails or the caller is cancelled; then raise that."""
    async with AsyncExitStack() as rest:
        for close in reversed(list(closers)):
            rest.push_async_callback(close)
