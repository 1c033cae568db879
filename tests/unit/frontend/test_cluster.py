"""ClusterService over a real channel."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from lastunit.v1 import cluster_pb2 as pb
from lastunit.v1 import inventory_pb2
from lastunit_node.frontend import FrontEnd
from lastunit_node.replica.interface import ReadRefused, Role, ScanFailed, ScanUnderWay
from lastunit_node.statemachine.limits import MAX_TICK
from lastunit_node.statemachine.results import Scan, StateHash

from .errors_of_calls import error_of
from .fakes import PARAMETERS, STATUS, FakeReplica, turns, until

if TYPE_CHECKING:
    from lastunit.v1.cluster_pb2_grpc import ClusterServiceAsyncStub
    from lastunit.v1.inventory_pb2_grpc import InventoryServiceAsyncStub

FOLLOWER = replace(STATUS, role=Role.FOLLOWER, leader="n2")


async def test_status_tells_how_the_node_stands(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    await replica.set(replace(FOLLOWER, last_index=9, commit_index=8, applied_index=7))
    replica.hashes[7] = StateHash(7, b"c" * 16, b"d" * 16)
    assert await cluster.GetStatus(pb.GetStatusRequest()) == pb.GetStatusResponse(
        cluster="vases",
        node="n1",
        role=pb.ROLE_FOLLOWER,
        leader="n2",
        term=3,
        last_index=9,
        commit_index=8,
        applied_index=7,
        clock=7,
        has_quorum=True,
        is_admitted=True,
        state_hash=pb.StateHash(index=7, chain=b"c" * 16, digest=b"d" * 16),
        parameters=pb.Parameters(**PARAMETERS._asdict()),
        version="0.1.0",
    )
    assert not replica.proposals


async def test_status_answers_before_there_is_anything_to_tell(
    cluster: "ClusterServiceAsyncStub", replica: FakeReplica
) -> None:
    await replica.set(replace(STATUS, role=Role.CANDIDATE, leader=None, has_quorum=False, parameters=None))
    response = await cluster.GetStatus(pb.GetStatusRequest())
    assert (response.role, response.leader, response.has_quorum) == (pb.ROLE_CANDIDATE, "", False)
    assert not response.HasField("parameters")
    assert not response.HasField("state_hash")


async def test_status_waits_for_the_index_whose_hash_is_asked(
    cluster: "ClusterServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.hashes[5] = StateHash(5, b"c", b"d")
    call = cluster.GetStatus(pb.GetStatusRequest(hash_at_index=5))
    await until(lambda: replica.waited_for == [5])
    await replica.reach(6)
    response = await call
    assert (response.applied_index, response.state_hash.index) == (6, 5)


async def test_a_hash_that_is_gone_is_out_of_range(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    await replica.reach(100)
    error = await error_of(cluster.GetStatus(pb.GetStatusRequest(hash_at_index=5)))
    assert error.code == grpc.StatusCode.OUT_OF_RANGE.value[0]


async def test_no_index_is_that_large(cluster: "ClusterServiceAsyncStub") -> None:
    error = await error_of(cluster.GetStatus(pb.GetStatusRequest(hash_at_index=MAX_TICK + 1)))
    assert error.fields == ["hash_at_index"]


async def test_a_scan_tells_what_is_kept_and_what_was_found(
    cluster: "ClusterServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.scanned = Scan(StateHash(7, b"c" * 16, b"d" * 16), b"e" * 16, 12)
    assert await cluster.ScanState(pb.ScanStateRequest()) == pb.ScanStateResponse(
        node="n1",
        kept=pb.StateHash(index=7, chain=b"c" * 16, digest=b"d" * 16),
        scanned_digest=b"e" * 16,
        rows=12,
    )


async def test_one_scan_at_a_time(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    replica.scan_problem = ScanUnderWay()
    error = await error_of(cluster.ScanState(pb.ScanStateRequest()))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "SCAN_UNDER_WAY")
    assert error.retry_seconds > 0


async def test_rows_that_cannot_be_read_are_data_loss(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    replica.scan_problem = ScanFailed("database disk image is malformed")
    error = await error_of(cluster.ScanState(pb.ScanStateRequest()))
    assert (error.code, error.reason) == (grpc.StatusCode.DATA_LOSS.value[0], "DAMAGED")
    assert "malformed; this node stops" in error.message


async def test_rows_that_the_system_will_not_read_are_not_called_damaged(
    cluster: "ClusterServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.scan_problem = ReadRefused("unable to open database file")
    error = await error_of(cluster.ScanState(pb.ScanStateRequest()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "READ_REFUSED")
    assert "(unable to open database file)" in error.message


async def test_the_leader_hands_over_to_the_node_named(
    cluster: "ClusterServiceAsyncStub", replica: FakeReplica
) -> None:
    response = await cluster.TransferLeadership(pb.TransferLeadershipRequest(node="n3"))
    assert response.leader == "n3"
    response = await cluster.TransferLeadership(pb.TransferLeadershipRequest())
    assert response.leader == "n2"
    assert replica.transfers == ["n3", None]


async def test_a_transfer_waits_for_the_proposal_under_way_and_holds_the_next(
    front_end: FrontEnd, inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.hold()
    replica.transfer_gate.clear()
    first = asyncio.ensure_future(inventory.Release(inventory_pb2.ReleaseRequest(reservation_id="a")))
    await replica.proposed(1)
    transfer = asyncio.create_task(front_end.transfer_leadership())
    await turns()
    assert not replica.transfers
    replica.let_go()
    await first
    await until(lambda: len(replica.transfers) == 1)
    second = asyncio.ensure_future(inventory.Release(inventory_pb2.ReleaseRequest(reservation_id="b")))
    await until(lambda: bool(front_end._batcher._batch))
    await turns()
    assert len(replica.proposals) == 1
    replica.transfer_gate.set()
    assert await transfer == "n2"
    await second


async def test_a_follower_names_the_leader_instead(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    await replica.set(FOLLOWER)
    error = await error_of(cluster.TransferLeadership(pb.TransferLeadershipRequest()))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION.value[0], "NOT_LEADER")
    assert "n2" in error.message
    await replica.set(replace(FOLLOWER, leader=None))
    error = await error_of(cluster.TransferLeadership(pb.TransferLeadershipRequest()))
    assert "no leader" in error.message
    assert not replica.transfers


async def test_a_transfer_that_fails_says_why(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    replica.transfer_problem = "n3 is too far behind; try again"
    error = await error_of(cluster.TransferLeadership(pb.TransferLeadershipRequest(node="n3")))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION.value[0], "TRANSFER_FAILED")
    assert error.message == "n3 is too far behind; try again"


async def test_a_transfer_that_takes_too_long_is_indefinite(
    cluster: "ClusterServiceAsyncStub", inventory: "InventoryServiceAsyncStub", replica: FakeReplica
) -> None:
    replica.hold()
    order = asyncio.ensure_future(inventory.Release(inventory_pb2.ReleaseRequest(reservation_id="a")))
    await replica.proposed(1)
    error = await error_of(cluster.TransferLeadership(pb.TransferLeadershipRequest(), timeout=0.5))
    assert (error.code, error.definite) == (grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "false")
    replica.let_go()
    await order


async def test_only_a_member_can_be_named(cluster: "ClusterServiceAsyncStub", replica: FakeReplica) -> None:
    error = await error_of(cluster.TransferLeadership(pb.TransferLeadershipRequest(node="n9")))
    assert error.fields == ["node"]
    assert "n1, n2, n3" in error.message
    assert not replica.transfers
