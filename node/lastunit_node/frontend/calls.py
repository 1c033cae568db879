"""What every unary call has around it: the gate, a deadline, and errors turned into gRPC statuses."""

import asyncio
import logging
from types import TracebackType
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from lastunit_node.frontend.deadlines import seconds_for
from lastunit_node.frontend.errors import CallError, internal
from lastunit_node.frontend.gate import Gate

Context = grpc.aio.ServicerContext[Any, Any]
Unparsed = Any  # bytes: the request, to be read by who answers the call (methods.py)

log = logging.getLogger(__name__)


class Answering:
    """Around a call's body; gives its deadline in loop time. A CallError ends the call with its status.

    Without a gate the call is served while draining, too. `changes`: what it asks for may be done although it failed.
    (A class, since mypyc has no asynchronous generators.)
    """

    def __init__(self, context: Context, gate: Gate | None = None, *, changes: bool = False) -> None:
        self._context = context
        self._gate = gate
        self._changes = changes

    async def __aenter__(self) -> float:
        """Let the call in."""
        if self._gate is not None and (refusal := _refusal_of(self._gate)):
            await self._gate.may_refuse()
            await abort(self._context, refusal)
        return deadline_of(self._context)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note that the call ended, and answer it, if its body did not."""
        if self._gate is not None:
            self._gate.leave()
        if isinstance(error, CallError):
            await abort(self._context, error)
        if isinstance(error, Exception):
            log.error("a call failed", exc_info=error)
            await abort(
                self._context, internal("the call failed, and this node's log says how", definite=not self._changes)
            )


def _refusal_of(gate: Gate) -> CallError | None:
    """Why a call is not let in; None where it is."""
    try:
        gate.enter()
    except CallError as refusal:
        return refusal
    return None


def deadline_of(context: Any) -> float:  # whose stub knows no call without a deadline
    """When the call must have been answered, in loop time."""
    return asyncio.get_running_loop().time() + seconds_for(context.time_remaining())


async def abort(context: Context, error: CallError) -> NoReturn:
    """End the call with this error, its details in the trailing metadata."""
    status = rpc_status.to_status(error.status())
    await context.abort(status.code, status.details, status.trailing_metadata)
