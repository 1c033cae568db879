"""etcd, three members, through gRPC to the leader. Its Python clients are old or little used, so the few messages that
are needed are in etcd.proto beside this file, from which grpcio-tools makes the code in memory.

put                  no stock check at all
compare-and-swap     what is left, and the order's key, in one transaction if nobody changed the stock meanwhile
claim a unit         the stock is a million keys; an order takes one at random that nobody has: hardly any conflict
"""

import itertools
import random
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from support.etcd import PROGRAM, EtcdMembers

from benchmarks.plan import Live, Operation, closed, opened, require
from benchmarks.systems.orders import LIMIT_S, new_ids

PROTO = "benchmarks/systems/etcd.proto"
UNITS = 1_000_000


class Etcd:
    """See plan.System."""

    name = "etcd"
    nodes = 3
    cases = (
        *closed("put", 1, 64, 256),
        *closed("compare-and-swap", 1, 64),
        *closed("claim a unit", 1, 64, 256),
        *opened("put", 256),
    )

    def missing(self) -> str | None:
        """Debian: etcd-server."""
        return None if PROGRAM else "no etcd on PATH (Debian: etcd-server)"

    def version(self) -> str:
        """As it says itself."""
        said = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True).stdout
        return said.splitlines()[0].removeprefix("etcd Version: ")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[Live]:
        """Three members and a channel to their leader."""
        members = EtcdMembers(folder)
        try:
            for node in members.nodes:
                members.start(node)
            leader = await members.wait_leader()
            async with grpc.aio.insecure_channel(members.endpoint(leader)) as channel:
                live = _Live(channel)
                await live.stock()
                yield live
        finally:
            members.close()


class _Live:
    """See plan.Live. What each caller saw last of the stock: (units left, revision)."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        messages, services = grpc.protos_and_services(PROTO)
        self._pb: Any = messages
        self._kv: Any = services.KVStub(channel)
        self._ids = new_ids("order")
        self._seen: dict[int, tuple[int, int]] = {}
        self._rng = random.Random(1)
        self._puts = itertools.count(1)
        self.operations: Mapping[str, Operation] = {
            "put": self._put,
            "compare-and-swap": self._swap,
            "claim a unit": self._claim,
        }

    async def stock(self) -> None:
        """Enough."""
        await self._kv.Put(self._pb.PutRequest(key=b"stock", value=str(UNITS).encode()), timeout=LIMIT_S)

    async def _put(self, caller: int) -> int:
        key = b"put/%d" % next(self._puts)
        answer = await self._kv.Put(self._pb.PutRequest(key=key, value=b"hot 1"), timeout=LIMIT_S)
        return bool(answer.header.revision)

    async def _swap(self, caller: int) -> int:
        """Again and again until nobody was faster; a refusal brings the stock as it is, so each try is one RPC."""
        order = b"swap/" + next(self._ids).encode()
        while True:
            left, revision = self._seen.get(caller, (0, 0))
            answer = await self._kv.Txn(self._sale(order, left, revision), timeout=LIMIT_S)
            if answer.succeeded:
                self._seen[caller] = left - 1, answer.header.revision
                return 1
            found = answer.responses[0].response_range.kvs[0]
            self._seen[caller] = int(found.value), found.mod_revision
            if int(found.value) == 0:
                return 0

    def _sale(self, order: bytes, left: int, revision: int) -> Any:
        pb = self._pb
        return pb.TxnRequest(
            compare=[pb.Compare(key=b"stock", target="MOD", mod_revision=revision), self._is_new(order)],
            success=[self._writes(b"stock", b"%d" % (left - 1)), self._writes(order, b"hot 1")],
            failure=[pb.RequestOp(request_range=pb.RangeRequest(key=b"stock"))],
        )

    async def _claim(self, caller: int) -> int:
        order = next(self._ids).encode()
        while True:
            unit = b"unit/hot/%d" % self._rng.randrange(UNITS)
            request = self._pb.TxnRequest(compare=[self._is_new(unit)], success=[self._writes(unit, order)])
            if (await self._kv.Txn(request, timeout=LIMIT_S)).succeeded:
                return 1

    def _is_new(self, key: bytes) -> Any:
        return self._pb.Compare(key=key, target="VERSION", version=0)

    def _writes(self, key: bytes, value: bytes) -> Any:
        return self._pb.RequestOp(request_put=self._pb.PutRequest(key=key, value=value))

    async def check(self, done: Mapping[str, int]) -> None:
        """As many keys as answers, and so many fewer in stock."""
        for workload, prefix in (("put", b"put/"), ("compare-and-swap", b"swap/"), ("claim a unit", b"unit/")):
            answered, there = done.get(workload, 0), await self._count(prefix)
            require(there == answered, f"{workload}: {answered} were answered, {there} are there")
        found = await self._kv.Range(self._pb.RangeRequest(key=b"stock"), timeout=LIMIT_S)
        left, sold = int(found.kvs[0].value), done.get("compare-and-swap", 0)
        require(left == UNITS - sold, f"{sold} were sold of {UNITS}, {left} are left")

    async def _count(self, prefix: bytes) -> int:
        after = prefix[:-1] + bytes([prefix[-1] + 1])
        request = self._pb.RangeRequest(key=prefix, range_end=after, count_only=True)
        return int((await self._kv.Range(request, timeout=LIMIT_S)).count)
