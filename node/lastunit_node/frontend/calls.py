"""What every unary call has around it: the gate, a deadline, and errors turned into gRPC statuses."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from lastunit_node.frontend.deadlines import seconds_for
from lastunit_node.frontend.errors import CallError, internal
from lastunit_node.frontend.gate import Gate

Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)


@asynccontextmanager
async def answering(context: Context, gate: Gate | None = None) -> AsyncIterator[float]:
    """Run a call's body; gives its deadline in loop time. A CallError ends the call with its status.

    Without a gate the call is served while draining, too.
    """
    try:
        if gate is None:
            yield deadline_of(context)
        else:
            with gate:
                yield deadline_of(context)
    except CallError as error:
        await abort(context, error)
    except Exception:
        log.exception("a call failed")
        await abort(context, internal("the call failed, and this node's log says how", definite=False))


def deadline_of(context: Context) -> float:
    """When the call must have been answered, in loop time."""
    return asyncio.get_running_loop().time() + seconds_for(context.time_remaining())


async def abort(context: Context, error: CallError) -> NoReturn:
    """End the call with this error, its details in the trailing metadata."""
    status = rpc_status.to_status(error.status())
    await context.abort(status.code, status.details, status.trailing_metadata)
