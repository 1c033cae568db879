"""`lastunit sale`: the command line of the sale.

Exit status: 0 every promise was kept, 1 one was not, 2 bad options, 3 standard output did not take the story, 4 the
sale could not be held to its end, 130 it was stopped, 141 nobody read the output. With --json one object on standard
output and nothing else.
"""

import asyncio
import random
import signal
from typing import Annotated, Final

import typer

from lastunit_node.cli import output
from lastunit_node.cli.errors import StoppedError
from lastunit_node.cli.sale.plan import Options
from lastunit_node.cli.sale.run import SaleResult, hold_sale
from lastunit_node.cli.sale.show import Show, open_console
from lastunit_node.config import NODE_COUNTS

MOST_UNITS: Final = 1_000_000
MOST_ORDERS: Final = 2_000
MOST_KILLS: Final = 20
LARGEST_SEED: Final = 999_999
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def sale(
    *,
    units: Annotated[int, typer.Option(min=1, max=MOST_UNITS, help="Vases in stock.")] = 10,
    orders: Annotated[int, typer.Option(min=1, max=MOST_ORDERS, help="Buyers, one vase each.")] = 15,
    nodes: Annotated[int, typer.Option(help="Nodes of the cluster: 3 or 5.")] = 3,
    kills: Annotated[int, typer.Option(min=0, max=MOST_KILLS, help="Times the leader is killed with -9.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Draw the same choices again.", show_default="random")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """A flash sale in four acts, on a throw-away cluster: naive, replicated, leader killed, zombie."""
    if nodes not in NODE_COUNTS:
        raise typer.BadParameter(f"{nodes}; a cluster has 3 or 5", param_hint="--nodes")
    if seed is None:
        seed = random.SystemRandom().randint(0, LARGEST_SEED)
    result = _run(Options(units, orders, nodes, kills, seed), json)
    if json:
        output.print_json(result.report)
    raise typer.Exit(result.status)


def _run(options: Options, json: bool) -> SaleResult:
    try:
        return asyncio.run(_until_stopped(options, Show(open_console(json))))
    except asyncio.CancelledError:
        raise StoppedError("stopped; nothing is left of the cluster") from None


async def _until_stopped(options: Options, show: Show) -> SaleResult:
    """Hold the sale; the first signal cancels it, so that the cluster is cleaned up before the program ends."""
    loop = asyncio.get_running_loop()
    selling = asyncio.create_task(hold_sale(options, show))

    def stop() -> None:
        if not selling.cancelling():
            selling.cancel()

    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, stop)
    return await selling
