"""Requests are counted in bytes of protobuf, entries are bounded in bytes of the log: the one must cover the other."""

import pytest

from lastunit.v1 import inventory_pb2 as pb
from lastunit_node.frontend.message import ExecuteMessage
from lastunit_node.statemachine.codec import encode_entry
from lastunit_node.statemachine.commands import Entry
from lastunit_node.statemachine.limits import MAX_COMMANDS, MAX_ENTRY_BYTES, MAX_MESSAGE_BYTES, MAX_TICK

LARGE = 1 << 32  # 9 bytes in the log, 5 and a tag in a request: where the log's encoding loses most
TOKEN = pb.FencingToken(term=LARGE, index=LARGE, position=(1 << 32) - 1)


@pytest.mark.parametrize(
    "command",
    [
        pb.Command(release=pb.ReleaseRequest(reservation_id="a")),
        pb.Command(release=pb.ReleaseRequest(reservation_id="a", token=pb.FencingToken())),
        pb.Command(extend_hold=pb.ExtendHoldRequest(reservation_id="a", token=pb.FencingToken())),
        pb.Command(extend_hold=pb.ExtendHoldRequest(reservation_id="a", token=TOKEN, until_tick=MAX_TICK)),
        pb.Command(place_order=pb.PlaceOrderRequest(reservation_id="a", lines=[pb.Line(sku="a", quantity=1)])),
        pb.Command(reserve=pb.ReserveRequest(reservation_id="a" * 64, lines=[pb.Line(sku="a", quantity=65536)] * 100)),
        pb.Command(
            adjust_stock=pb.AdjustStockRequest(
                adjustment_id="a", sku="a", ranges=[pb.UnitRange(first=LARGE, last=LARGE)] * 1000
            )
        ),
        pb.Command(
            return_units=pb.ReturnUnitsRequest(
                return_id="a",
                reservation_id="a",
                lines=[pb.UnitLine(sku="a", ranges=[pb.UnitRange(first=LARGE, last=LARGE)] * 10)] * 100,
            )
        ),
    ],
    ids=lambda command: command.WhichOneof("command"),
)
def test_the_fullest_message_fits_an_entry(command: pb.Command) -> None:
    each = pb.ExecuteRequest(commands=[command]).ByteSize()
    request = pb.ExecuteRequest(commands=[command] * min(MAX_COMMANDS, MAX_MESSAGE_BYTES // each))
    message = ExecuteMessage(request.SerializeToString(), 0.0)
    assert len(message.commands) == len(request.commands)
    entry = Entry(nonce=(1 << 64) - 1, valid_until_tick=MAX_TICK, commands=tuple(message.commands))
    assert len(encode_entry(entry)) <= MAX_ENTRY_BYTES
