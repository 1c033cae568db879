"""grpc.health.v1: SERVING while this node can get a command applied, NOT_SERVING otherwise and while draining."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from grpc_health.v1 import health, health_pb2

POLL_SECONDS: Final = 0.05


class Health:
    """Keeps the health service in step with `serves`, for "" and each of these services."""

    def __init__(self, services: Sequence[str], serves: Callable[[], bool]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)
        self._serves = serves
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Say how it stands now, and begin to watch."""
        await self._say(self._serves())
        self._task = asyncio.create_task(self._watch())

    async def drain(self) -> None:
        """NOT_SERVING from now on, for good."""
        await self.servicer.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Stop watching."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        said = self._serves()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._serves() != said:
                said = not said
                await self._say(said)

    async def _say(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.servicer.set(service, status)
