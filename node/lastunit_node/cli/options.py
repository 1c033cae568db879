"""Arguments and options that several commands share, and how their texts are read."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from lastunit_client import FencingToken, Line, UnitLine, UnitRange
from lastunit_client.ids import new_id

DEFAULT_CONFIG: Final = Path("cluster.yml")
DEFAULT_TIMEOUT_S: Final = 10.0  # longer than a failover
LONGEST_TIMEOUT_S: Final = 43_200.0  # half of the default retention: an id may be repeated for no longer
LAST_TICK: Final = (1 << 63) - 1
MOST_UNITS: Final = 1_000_000  # of a line
RANGE: Final = re.compile(r"(?P<first>[0-9]{1,18})(-(?P<last>[0-9]{1,18}))?")


def parse_line(text: str) -> Line:
    """`vase=2`: so many units of one sku."""
    sku, sign, quantity = text.partition("=")
    if not (sku and sign and quantity.isascii() and quantity.isdigit()):
        raise typer.BadParameter(f"{text!r} is not SKU=QUANTITY, e.g. vase=2")
    if len(quantity) > len(str(MOST_UNITS)) or not 1 <= int(quantity) <= MOST_UNITS:
        raise typer.BadParameter(f"{text!r}: the quantity must be 1 to {MOST_UNITS:,}")
    return Line(sku, int(quantity))


def parse_ranges(text: str, option: str | None = None) -> list[UnitRange]:
    """`1-3,7`: unit numbers. `option`: where they were given, when typer does not know."""
    matches = [RANGE.fullmatch(part) for part in text.split(",")]
    if not all(matches):
        raise typer.BadParameter(f"{text!r} is not a list of unit numbers, e.g. 1-3,7", param_hint=option)
    return [UnitRange(int(match["first"]), int(match["last"] or match["first"])) for match in matches if match]


def parse_unit_line(text: str) -> UnitLine:
    """`vase=1-3,7`: named units of one sku."""
    sku, sign, ranges = text.partition("=")
    if not (sku and sign):
        raise typer.BadParameter(f"{text!r} is not SKU=UNITS, e.g. vase=1-3,7")
    return UnitLine(sku, tuple(parse_ranges(ranges)))


def parse_token(text: str) -> FencingToken:
    """`2.14.0`: a fencing token as it was printed."""
    try:
        return FencingToken.parse(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a token TERM.INDEX.POSITION, e.g. 2.14.0") from None


class StateChoice(StrEnum):
    """Reservation states as they are typed."""

    HELD = "held"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"


ConfigOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The cluster file.", show_default=True)
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]
TimeoutOption: TypeAlias = Annotated[
    float,
    typer.Option(min=0.001, max=LONGEST_TIMEOUT_S, metavar="SECONDS", help="Give up after so long without an answer."),
]
IdOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--id",
        metavar="ID",
        default_factory=new_id,
        show_default=False,
        help="Your id. The same id again gives the first answer again. Made up when left out.",
    ),
]
StaleOption: TypeAlias = Annotated[
    bool, typer.Option("--stale", help="Take what one node has, perhaps a little old; answers without a quorum.")
]
MinIndexOption: TypeAlias = Annotated[
    int, typer.Option(min=0, metavar="INDEX", help="Wait until the node has applied this log index.")
]
NodeArgument: TypeAlias = Annotated[str, typer.Argument(metavar="NODE", help="Name of a node in the cluster file.")]
LinesArgument: TypeAlias = Annotated[
    list[Line],
    typer.Argument(parser=parse_line, metavar="SKU=QUANTITY...", help="Units per sku; all lines or nothing."),
]
ReservationArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The reservation's id.")]
TokenArgument: TypeAlias = Annotated[
    FencingToken, typer.Argument(parser=parse_token, metavar="TOKEN", help="Its fencing token, as printed.")
]
