"""From messages of lastunit.v1 to what callers get.

Written for speed: lists in the tuples and not generators, and [:] because protobuf's own iterators cost twice as much.
"""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Final, NoReturn

from google.protobuf.message import DecodeError

from lastunit.v1 import cluster_pb2, inventory_pb2
from lastunit_client.errors import ProtocolError
from lastunit_client.fencing import FencingToken
from lastunit_client.models import (
    ClusterStatus,
    CommandResult,
    Line,
    Outcome,
    Parameters,
    Reservation,
    ReservationState,
    Role,
    Shortage,
    StateHash,
    StockLevel,
    UnitLine,
    UnitRange,
)
from lastunit_client.plain import plain_outcome, plain_token

_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}
_new: Final = object.__new__  # looked up once
_set: Final = object.__setattr__
_OUT_OF_STOCK: Final = Outcome.OUT_OF_STOCK
_RESERVED: Final = Outcome.RESERVED
_STATES: Final = {state.value: state for state in ReservationState}
_ROLES: Final = {role.value: role for role in Role}


def command_result(request_id: str, encoded: bytes) -> CommandResult:
    """The answer to the command with this id, from an encoded ExecuteResult that has one.

    ProtocolError when it is damaged, or has an outcome that this library does not know.
    """
    number = plain_outcome(encoded)
    is_plain = number != 0
    if not is_plain:
        number = _outcome(request_id, encoded)
    outcome = _OUTCOMES.get(number) or _unknown(Outcome, number, request_id)
    result: CommandResult = _new(CommandResult)
    _set(result, "request_id", request_id)
    _set(result, "outcome", outcome)
    if outcome is _RESERVED and is_plain:  # its token is what most look at, and little beside reading it all
        token = plain_token(encoded)
        if token is not None:
            _set(result, "token", FencingToken(*token))
    _set(result, "_fill", partial(_fill, encoded))  # not the message, which takes a kilobyte more
    return result


def _outcome(request_id: str, encoded: bytes) -> int:
    """The outcome of an answer of any kind. All else that may be wrong with it is said here, not when it is read."""
    try:
        message = inventory_pb2.ExecuteResult.FromString(encoded).result
    except DecodeError as error:
        raise ProtocolError(f"unexpected answer: {error}", definite=False, request_id=request_id) from error
    if message.HasField("reservation"):
        _state(message.reservation)
    return message.outcome


def _fill(encoded: bytes, result: CommandResult) -> None:
    """Set all that a result has beside its id and its outcome."""
    message = inventory_pb2.ExecuteResult.FromString(encoded).result
    applied_index = message.applied_index
    shortages = message.shortages[:] if result.outcome is _OUT_OF_STOCK else ()  # no other has any
    _set(result, "replayed", message.replayed)
    _set(result, "result_index", message.result_index)
    _set(result, "applied_index", applied_index)
    _set(result, "token", _token(message.token) if message.HasField("token") else None)
    _set(result, "expires_at_tick", message.expires_at_tick)
    _set(result, "units", _units(message.units))
    _set(result, "shortages", tuple([Shortage(short.sku, short.requested, short.available) for short in shortages]))
    present = message.HasField("reservation")
    _set(result, "reservation", reservation(message.reservation, applied_index) if present else None)


def reservation(message: inventory_pb2.Reservation, applied_index: int) -> Reservation:
    """A reservation as it stood at that index."""
    return Reservation(
        reservation_id=message.reservation_id,
        state=_state(message),
        token=_token(message.token) if message.HasField("token") else None,
        created_at_tick=message.created_at_tick,
        expires_at_tick=message.expires_at_tick,
        lines=tuple([Line(line.sku, line.quantity) for line in message.lines[:]]),
        units=_units(message.units),
        applied_index=applied_index,
    )


def _state(message: inventory_pb2.Reservation) -> ReservationState:
    return _STATES.get(message.state) or _unknown(ReservationState, message.state, message.reservation_id)


def stock_level(message: inventory_pb2.StockLevel, applied_index: int) -> StockLevel:
    """A stock level as it stood at that index."""
    return StockLevel(
        sku=message.sku,
        received=message.received,
        available=message.available,
        held=message.held,
        sold=message.sold,
        removed=message.removed,
        applied_index=applied_index,
    )


def cluster_status(message: cluster_pb2.GetStatusResponse) -> ClusterStatus:
    """How a node stands."""
    state_hash = message.state_hash
    return ClusterStatus(
        cluster=message.cluster,
        node=message.node,
        role=_ROLES.get(message.role) or _unknown(Role, message.role),
        leader=message.leader or None,
        term=message.term,
        last_index=message.last_index,
        commit_index=message.commit_index,
        applied_index=message.applied_index,
        clock=message.clock,
        has_quorum=message.has_quorum,
        is_admitted=message.is_admitted,
        state_hash=StateHash(state_hash.index, state_hash.chain, state_hash.digest),
        parameters=_parameters(message.parameters) if message.HasField("parameters") else None,
        version=message.version,
    )


def _parameters(message: cluster_pb2.Parameters) -> Parameters:
    return Parameters(
        tick_ms=message.tick_ms,
        hold_ticks=message.hold_ticks,
        hold_cap_ticks=message.hold_cap_ticks,
        retention_ticks=message.retention_ticks,
        sweep_size=message.sweep_size,
    )


def _token(message: inventory_pb2.FencingToken) -> FencingToken:
    return FencingToken(message.term, message.index, message.position)


def _units(messages: Sequence[inventory_pb2.UnitLine]) -> tuple[UnitLine, ...]:
    return tuple([UnitLine(line.sku, _ranges(line.ranges)) for line in messages[:]])


def _ranges(messages: Sequence[inventory_pb2.UnitRange]) -> tuple[UnitRange, ...]:
    return tuple([UnitRange(units.first, units.last) for units in messages[:]])


def _unknown(kind: type[Enum], value: int, request_id: str | None = None) -> NoReturn:
    """A number from a newer cluster has no meaning here, so it must not look like one that has."""
    message = f"{kind.__name__} {value} is unknown to this version of the library"
    raise ProtocolError(message, definite=False, request_id=request_id)
