"""Commands and queries of the API, through the client library: a refusal is an answer, with exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lastunit_client import (
    CommandResult,
    FencingToken,
    InventoryClient,
    LastUnitError,
    Line,
    ReservationState,
    UnitLine,
)
from lastunit_node.cli import output, rendering
from lastunit_node.cli.errors import ExitStatus, UntoldError
from lastunit_node.cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_TIMEOUT_S,
    LAST_TICK,
    MOST_UNITS,
    ConfigOption,
    IdOption,
    JsonOption,
    LinesArgument,
    MinIndexOption,
    ReservationArgument,
    StaleOption,
    StateChoice,
    TimeoutOption,
    TokenArgument,
    parse_line,
    parse_ranges,
    parse_token,
    parse_unit_line,
)
from lastunit_node.config import ConfigError, load_cluster

app = typer.Typer()
STOCK = "Stock"
RESERVATIONS = "Reservations"


def connect(config: Path, timeout: float) -> InventoryClient:
    """A client of the cluster that a cluster file describes."""
    return InventoryClient(load_cluster(config).endpoints(), timeout=timeout)


@contextmanager
def asking(request_id: str) -> Iterator[None]:
    """While a change is asked for and its answer printed: whatever ends this says under which id to repeat it."""
    try:
        yield
    except (ConfigError, LastUnitError):
        raise  # they know whether it may have been applied
    except (Exception, KeyboardInterrupt) as problem:
        raise UntoldError(problem, request_id) from problem


def answer(result: CommandResult, as_json: bool) -> ExitStatus:
    """Print the answer to a command."""
    if as_json:
        output.print_json(result)
    else:
        rendering.show_result(result)
    return ExitStatus.ACCEPTED if result.accepted else ExitStatus.REFUSED


@app.command(rich_help_panel=STOCK)
def receive(
    lines: LinesArgument,
    *,
    receipt_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Add new units to stock: `lastunit receive vase=10`."""
    with asking(receipt_id), connect(config, timeout) as client:
        return answer(client.receive_stock(lines, receipt_id=receipt_id), as_json)


@app.command(rich_help_panel=STOCK)
def adjust(
    sku: Annotated[str, typer.Argument(metavar="SKU", help="The sku.")],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")],
    quantity: Annotated[
        int | None, typer.Option(min=1, max=MOST_UNITS, metavar="N", help="So many units, lowest numbers first.")
    ] = None,
    units: Annotated[str | None, typer.Option(metavar="UNITS", help="These units, e.g. 1-3,7.")] = None,
    adjustment_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Remove damaged or lost units from available: `lastunit adjust vase --quantity 1 --reason broken`."""
    if (quantity is None) == (units is None):
        raise typer.BadParameter("give one of the two", param_hint="--quantity and --units")
    ranges = None if units is None else parse_ranges(units, "--units")
    with asking(adjustment_id), connect(config, timeout) as client:
        result = client.adjust_stock(sku, reason=reason, quantity=quantity, ranges=ranges, adjustment_id=adjustment_id)
        return answer(result, as_json)


@app.command(rich_help_panel=STOCK)
def stock(
    skus: Annotated[list[str] | None, typer.Argument(metavar="[SKU]...", help="Only these; all when left out.")] = None,
    *,
    stale: StaleOption = False,
    min_index: MinIndexOption = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Show stock levels."""
    with connect(config, timeout) as client:
        if skus:
            levels = iter([client.get_stock(sku, stale=stale, min_index=min_index) for sku in skus])
        else:
            levels = client.list_stock(page_size=output.PIECE, stale=stale, min_index=min_index)
        if as_json:
            output.print_json_list("stock", levels)
        else:
            rendering.show_stock(levels)
    return ExitStatus.ACCEPTED


@app.command(rich_help_panel=RESERVATIONS)
def order(
    lines: LinesArgument,
    *,
    reservation_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Reserve and confirm in one step: `lastunit order vase=1 mug=2 --id my-1`."""
    with asking(reservation_id), connect(config, timeout) as client:
        return answer(client.place_order(lines, reservation_id=reservation_id), as_json)


@app.command(rich_help_panel=RESERVATIONS)
def reserve(
    lines: LinesArgument,
    *,
    reservation_id: IdOption,
    hold_ticks: Annotated[
        int, typer.Option(min=0, max=LAST_TICK, metavar="TICKS", help="How long to hold; 0 for the cluster's default.")
    ] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Hold units for a later confirm; prints the fencing token that confirm needs."""
    with asking(reservation_id), connect(config, timeout) as client:
        return answer(client.reserve(lines, reservation_id=reservation_id, hold_ticks=hold_ticks), as_json)


@app.command(rich_help_panel=RESERVATIONS)
def confirm(
    reservation_id: ReservationArgument,
    token: TokenArgument,
    lines: Annotated[
        list[Line] | None,
        typer.Argument(parser=parse_line, metavar="[SKU=QUANTITY]...", help="Keep only so many; the rest is freed."),
    ] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Sell what is held: `lastunit confirm my-1 2.14.0`."""
    with asking(reservation_id), connect(config, timeout) as client:
        return answer(client.confirm(reservation_id, token, lines or None), as_json)


@app.command(rich_help_panel=RESERVATIONS)
def release(
    reservation_id: ReservationArgument,
    token: Annotated[
        FencingToken | None,
        typer.Argument(parser=parse_token, metavar="[TOKEN]", help="Left out: cancel an id whose answer never came."),
    ] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Free what is held: `lastunit release my-1 2.14.0`; without a token, cancel for good an id that was given up."""
    with asking(reservation_id), connect(config, timeout) as client:
        return answer(client.release(reservation_id, token), as_json)


@app.command(rich_help_panel=RESERVATIONS)
def extend(
    reservation_id: ReservationArgument,
    token: TokenArgument,
    until_tick: Annotated[
        int,
        typer.Argument(min=0, max=LAST_TICK, metavar="UNTIL_TICK", help="The clock at which the hold shall expire."),
    ],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Move a hold's expiry later, never earlier: `lastunit extend my-1 2.14.0 9000`."""
    with asking(reservation_id), connect(config, timeout) as client:
        return answer(client.extend_hold(reservation_id, token, until_tick), as_json)


@app.command(name="return", rich_help_panel=RESERVATIONS)
def return_units(
    reservation_id: ReservationArgument,
    units: Annotated[
        list[UnitLine], typer.Argument(parser=parse_unit_line, metavar="SKU=UNITS...", help="E.g. vase=1-3,7.")
    ],
    *,
    return_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Put sold units back to available: `lastunit return my-1 vase=3`."""
    with asking(return_id), connect(config, timeout) as client:
        return answer(client.return_units(reservation_id, units, return_id=return_id), as_json)


@app.command(rich_help_panel=RESERVATIONS)
def reservation(
    reservation_id: ReservationArgument,
    *,
    stale: StaleOption = False,
    min_index: MinIndexOption = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """Show one reservation. Exit status 1 when the id is unknown, was refused, or is forgotten."""
    with connect(config, timeout) as client:
        found = client.get_reservation(reservation_id, stale=stale, min_index=min_index)
    if as_json:
        output.print_json(found)
    else:
        rendering.show_reservations([found])
    return ExitStatus.ACCEPTED


@app.command(rich_help_panel=RESERVATIONS)
def reservations(
    *,
    state: Annotated[StateChoice | None, typer.Option(help="Only those in this state.")] = None,
    stale: StaleOption = False,
    min_index: MinIndexOption = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    as_json: JsonOption = False,
) -> ExitStatus:
    """List reservations, by id."""
    wanted = None if state is None else ReservationState[state.name]
    with connect(config, timeout) as client:
        found = client.list_reservations(state=wanted, page_size=output.PIECE, stale=stale, min_index=min_index)
        if as_json:
            output.print_json_list("reservations", found)
        else:
            rendering.show_reservations(found)
    return ExitStatus.ACCEPTED
