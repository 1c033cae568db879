"""Reads what every node has on record after a sale, and its state hash at one common index."""

import asyncio
from collections.abc import Mapping
from typing import Final

from lastunit_client import AsyncInventoryClient
from lastunit_node.cli.sale.records import NodeRecords

LIMIT_SECONDS: Final = 30.0  # a node that was started again may have to catch up first


async def audit(endpoints: Mapping[str, str]) -> tuple[NodeRecords, ...]:
    """The records of all nodes (name -> gRPC address), each read from that node alone.

    The log goes on meanwhile, so the nodes' newest hashes differ by nature: all are asked for the hash at an index
    that one of them has reached, and wait for it.
    """
    index = max(await asyncio.gather(*map(_applied_index, endpoints.values())))
    return tuple(await asyncio.gather(*(_read(node, endpoint, index) for node, endpoint in endpoints.items())))


async def _applied_index(endpoint: str) -> int:
    async with AsyncInventoryClient([endpoint]) as client:
        return (await client.status(endpoint)).applied_index


async def _read(node: str, endpoint: str, index: int) -> NodeRecords:
    async with AsyncInventoryClient([endpoint], timeout=LIMIT_SECONDS) as client:
        status = await client.status(endpoint, hash_at_index=index, timeout=LIMIT_SECONDS)
        reservations = [order async for order in client.list_reservations(min_index=index)]
        stock = {level.sku: level async for level in client.list_stock(min_index=index)}
    return NodeRecords(node, tuple(reservations), stock, status.state_hash)
