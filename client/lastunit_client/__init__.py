"""Client library of lastunit, the inventory service that sells the last unit exactly once.

    with InventoryClient(["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"]) as client:
        result = client.place_order({"VASE": 1})
        print(result.outcome, result.units if result.accepted else result.shortages)

Reading order: models, read_later, fencing, errors, ids (values); aio, background, sync (the clients); checkout; then,
from the outside in, calls, retry, failures, nodes, node, channel, stream, batch, deadlines, closing (what keeps a call
alive over dying nodes); limits, arguments, wire, orders, commands, queries (what is sent); plain, answers (what comes
back).
"""

from lastunit_client.aio import AsyncInventoryClient
from lastunit_client.channel import service_config
from lastunit_client.checkout import Checkout, CheckoutOutcome
from lastunit_client.errors import (
    CheckoutError,
    ClientClosedError,
    DeadlineError,
    InvalidRequestError,
    LastUnitError,
    NotFoundError,
    NotPossibleError,
    PaidButExpired,
    PaidButUnconfirmed,
    ProtocolError,
    UnavailableError,
)
from lastunit_client.fencing import FencingGate, FencingToken
from lastunit_client.models import (
    ClusterStatus,
    CommandResult,
    Line,
    Lines,
    Outcome,
    Parameters,
    Ranges,
    Reservation,
    ReservationState,
    Role,
    Shortage,
    StateHash,
    StockLevel,
    UnitLine,
    UnitRange,
    Units,
)
from lastunit_client.sync import InventoryClient

__all__ = [
    "AsyncInventoryClient",
    "Checkout",
    "CheckoutError",
    "CheckoutOutcome",
    "ClientClosedError",
    "ClusterStatus",
    "CommandResult",
    "DeadlineError",
    "FencingGate",
    "FencingToken",
    "InvalidRequestError",
    "InventoryClient",
    "LastUnitError",
    "Line",
    "Lines",
    "NotFoundError",
    "NotPossibleError",
    "Outcome",
    "PaidButExpired",
    "PaidButUnconfirmed",
    "Parameters",
    "ProtocolError",
    "Ranges",
    "Reservation",
    "ReservationState",
    "Role",
    "Shortage",
    "StateHash",
    "StockLevel",
    "UnavailableError",
    "UnitLine",
    "UnitRange",
    "Units",
    "service_config",
]
