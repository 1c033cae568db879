"""What a person sees of the sale: four acts, a few sentences and numbers each, the table, the verdict.

Only words and layout; every number is given to it. Without a terminal there are no colours and nothing moves.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Column, Table

from lastunit_node.cli import output
from lastunit_node.cli.errors import NodeFaultError
from lastunit_node.cli.sale.naive import APPLICATION_SERVERS, NaiveNumbers
from lastunit_node.cli.sale.plan import LAG_SECONDS, SKU, SalePlan
from lastunit_node.cli.sale.progress import Progress
from lastunit_node.cli.sale.records import BuyerReport, Ending, Evidence, LeaderKill, ZombieReport, unit_numbers
from lastunit_node.cli.sale.verdict import Verdict

REFRESHES_PER_SECOND: Final = 8
ORDER_HEADINGS: Final = ("order", "came through", "unit", "token", "returned before by")
TABLE_WIDTH: Final = 70  # the least in which the columns of these can be read
NAMES_WIDTH: Final = 34  # of what is counted, where there is that much room
LAG: Final = f"{LAG_SECONDS[0] * 1000:.0f}-{LAG_SECONDS[1] * 1000:.0f} ms"


class _Answers:
    """Standard output as it is now, for a Console: what it does not take is an UnwrittenError."""

    def write(self, text: str) -> int:
        """Write all of it, now."""
        output.write(text)
        return len(text)

    def flush(self) -> None:
        """All is written already."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


def open_console(json: bool) -> Console:
    """Standard output for people; for programs, standard error and only where somebody is looking at it."""
    if not json:
        return Console(highlight=False, file=cast("TextIO", _Answers()))
    is_watched = sys.stderr is not None and sys.stderr.isatty()  # None: closed by who started this program
    return Console(highlight=False, file=sys.stderr, quiet=not is_watched)


class Show:
    """Prints the sale as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def opening(self, plan: SalePlan) -> None:
        """Who wants what, and how to see the same choices again."""
        options = plan.options
        self._console.print(
            f"\n[bold]A flash sale:[/bold] {_count(options.units, 'vase')}, {_count(options.orders, 'buyer')}, "
            f"one vase each.\n[dim]--seed {options.seed} draws the same choices again.[/dim]"
        )

    def act_one(self) -> None:
        """Before the naive sale."""
        self._act(1, "naive: check, then deduct")
        self._say(
            f"{APPLICATION_SERVERS} application servers share one store whose calls take {LAG}. For each order a "
            "server reads the stock and, if a vase is left, deducts one. Both calls are correct; in between, the "
            "other servers sell the same vase."
        )

    def naive(self, numbers: NaiveNumbers) -> None:
        """After the naive sale."""
        self._numbers(
            [
                ("orders placed", numbers.placed),
                ("refused", numbers.refused),
                ("the store now says", numbers.left),
                ("oversold", numbers.oversold),
            ]
        )
        if numbers.oversold:
            customers = _count(numbers.oversold, "customer")
            self._console.print(f"  [red]{customers} paid for a vase that does not exist.[/red]")
        else:
            self._console.print("  It did not oversell this time: too little demand for the race to show.")

    def act_two(self, plan: SalePlan) -> None:
        """Before the cluster starts."""
        self._act(2, "the same buyers on a cluster")
        declined = plan.options.orders - plan.good_cards
        cards = f" {_count(declined, 'card')} will be declined." if declined else ""
        self._say(
            f"{plan.options.nodes} real node processes, the stock replicated between them through Raft. The buyers "
            "come through all nodes: reserve (the answer names the unit and a fencing token), pay, confirm. The same "
            f"lag applies, and every buyer's process pauses between reserve and confirm.{cards} A vase that is not "
            "paid goes back, and buyers who were refused come again with a new id while any vase is only on hold."
        )

    def cluster_serves(self, leader: str, term: int, seconds: float) -> None:
        """The throw-away cluster is up."""
        self.note(f"the cluster serves after {seconds:.1f} s: {leader} leads in term {term}")

    def act_three(self, kills: int, sold: int = 0) -> None:
        """At the first kill, in the middle of act two; or after it, when nobody is to be killed."""
        moment = "in the middle of the sale" if sold else "before a vase is sold"
        self._act(3, f"the leader is killed, {moment}" if kills else "no leader is killed")
        if kills:
            self._say("kill -9: no goodbye, nothing flushed. Calls under way are retried under the same id.")
        else:
            self._say("Not this time (--kills 0).")

    def killed(self, kill: LeaderKill) -> None:
        """A leader was killed and another one leads."""
        self.note(
            f"{_count(kill.sold, 'vase')} sold: [red]kill -9 {kill.node}[/red] (pid {kill.pid}), leader of term "
            f"{kill.term}; [green]{kill.next_leader}[/green] leads in term {kill.next_term} after {kill.seconds:.2f} s"
        )

    def started_again(self, node: str, index: int, sold: int) -> None:
        """A killed node has caught up."""
        self.note(f"{_count(sold, 'vase')} sold: {node} was started again and has caught up to log index {index}")

    def node_paused(self, node: str, seconds: float, buyers: int) -> None:
        """A follower's process was stopped for a while; so many buyers call it first."""
        told = f"; {_count(buyers, 'buyer')} got no answer from it meanwhile" if buyers else ""
        self.note(f"{node}, a follower, stood still for {seconds * 1000:.0f} ms (SIGSTOP){told}")

    def sold_out(self, buyers: Sequence[BuyerReport]) -> None:
        """After acts two and three: how it ended for the buyers."""
        endings = Counter(buyer.ending for buyer in buyers)
        self._say("The sale is over. What the buyers say:")
        self._numbers(
            [
                ("orders placed", endings[Ending.PLACED]),
                ("refused: sold out", endings[Ending.REFUSED]),
                ("payment failed: vase returned", endings[Ending.PAYMENT_FAILED]),
                ("calls without a definite answer", endings[Ending.FAILED]),
            ]
        )
        refusals = sum(buyer.refusals for buyer in buyers)
        self._say(f"  Answered OUT_OF_STOCK on the way, with a new id for each new try: {_count(refusals, 'call')}.")

    def act_four(self) -> None:
        """Before the zombie."""
        self._act(4, "the zombie")
        self._say(
            "One last vase. A buyer reserves it for a few ticks and its process freezes. No clock on any wall decides "
            "when the hold is over: ticks are entries in the log, the same on every node."
        )

    def zombie(self, zombie: ZombieReport) -> None:
        """How act four went, line by line."""
        self.note(f"{zombie.order} holds unit {zombie.unit} until tick {zombie.expires_at_tick}, token {zombie.token}")
        self.note(f"tick {zombie.clock}: {zombie.sold_to} buys unit {zombie.unit}, token {zombie.sold_token}")
        self.note(f"the zombie wakes up and confirms with token {zombie.token}: [bold]{zombie.outcome.name}[/bold]")
        answer = "refuses" if zombie.warehouse_refused else "[red]ships[/red]"
        self.note(
            f"it asks the warehouse to ship anyway: the warehouse has seen {zombie.sold_token} and [bold]{answer}"
            "[/bold], by one comparison"
        )

    def ending(self, plan: SalePlan, evidence: Evidence, verdict: Verdict, seconds: float) -> None:
        """The table from order to token, the totals, the verdict."""
        self._heading("What the nodes have on record")
        self._orders(_orders(evidence))
        self._numbers(
            [
                (f"vases sold, of {plan.options.units}", verdict.placed),
                ("oversold", verdict.oversold),
                ("units in two orders", verdict.duplicate_units),
                ("calls without a definite answer", verdict.failed),
                ("leaders killed", len(evidence.kills)),
                ("terms with a leader", ", ".join(map(str, evidence.terms))),
            ]
        )
        self._hashes(evidence, verdict)
        self._verdict(verdict, seconds)

    def note(self, text: str) -> None:
        """One thing that happened."""
        line = Table.grid("", Column(overflow="fold"), padding=(0, 1))
        line.add_row("  -" if self._console.options.ascii_only else "  ·", text)
        self._console.print(line)

    def failed(self, fault: Exception) -> None:
        """The sale could not be held to its end."""
        self._console.print(f"[red]{escape(str(fault))}[/red]")
        if isinstance(fault, NodeFaultError):
            self._console.print(escape(fault.log_tail))

    @contextmanager
    def live(self, progress: Progress) -> Iterator[None]:
        """On a terminal, the counts of the running sale on the last line."""
        if not self._console.is_terminal:
            yield
            return
        spinner = Spinner("line" if self._console.options.ascii_only else "dots")

        def render() -> Spinner:
            spinner.update(text=_counts(progress))
            return spinner

        with Live(
            console=self._console,
            get_renderable=render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
        ):
            yield

    def _act(self, number: int, title: str) -> None:
        self._heading(f"Act {number}: {title}")

    def _heading(self, title: str) -> None:
        """With a line to the right of it, where it leaves room for one; a rule would cut it off."""
        self._console.print()
        if len(title) < self._console.width - 2:
            self._console.rule(f"[bold]{title}[/bold]", align="left")
        else:
            self._console.print(f"[bold]{title}[/bold]")

    def _say(self, text: str) -> None:
        self._console.print(text)

    def _numbers(self, rows: list[tuple[str, int | str]]) -> None:
        table = Table.grid(padding=(0, 2))
        min_width = NAMES_WIDTH if self._console.width >= TABLE_WIDTH else None
        table.add_column(min_width=min_width, overflow="fold")
        table.add_column(justify="right", overflow="fold")
        for name, value in rows:
            table.add_row(f"  {name}", f"[bold]{value}[/bold]")
        self._console.print(table)

    def _orders(self, rows: Iterable[Sequence[str]]) -> None:
        """A table; where there is no room for one, what would be in its rows."""
        if self._console.width < TABLE_WIDTH:
            for row in rows:
                facts = (f"{heading} {value}" for heading, value in zip(ORDER_HEADINGS, row, strict=True) if value)
                self._say(f"  {', '.join(facts)}")
            return
        table = Table(box=None, padding=(0, 2), pad_edge=True)
        for heading in ORDER_HEADINGS:
            is_number = heading in ("unit", "token")
            table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def _hashes(self, evidence: Evidence, verdict: Verdict) -> None:
        if verdict.state_hash_equal:
            state_hash = evidence.nodes[0].state_hash
            killed = {kill.node for kill in evidence.kills}
            names = [f"{node.node} (was killed)" if node.node in killed else node.node for node in evidence.nodes]
            self._say(f"  state hash at index {state_hash.index}: {state_hash.digest.hex()[:16]} on {', '.join(names)}")
            return
        for node in evidence.nodes:
            self._console.print(f"  [red]state hash of {node.node}: {node.state_hash}[/red]")

    def _verdict(self, verdict: Verdict, seconds: float) -> None:
        for reason in verdict.reasons:
            self._console.print(f"  [red]wrong:[/red] {escape(reason)}")
        colour, word = ("green", "Sold exactly once each") if verdict.ok else ("red", "FAILED")
        self._console.print(f"\n[bold {colour}]{word}.[/bold {colour}]  [dim]{seconds:.1f} s[/dim]\n")


def _orders(evidence: Evidence) -> Iterator[tuple[str, ...]]:
    """A row for each order that was sold, under ORDER_HEADINGS."""
    homes = {buyer.order: buyer.home for buyer in evidence.buyers}
    returned = _returned(evidence.buyers)
    for order in evidence.nodes[0].sold(SKU) if evidence.nodes else []:
        units = unit_numbers(order)
        yield (
            order.reservation_id,
            homes.get(order.reservation_id, "?"),
            ", ".join(map(str, units)),
            str(order.token),
            ", ".join(name for unit in units for name in returned.get(unit, ())),
        )


def _returned(buyers: Sequence[BuyerReport]) -> dict[int, list[str]]:
    """Per unit, the holds that were given back because the card was declined."""
    returned: dict[int, list[str]] = {}
    for buyer in buyers:
        if buyer.ending is Ending.PAYMENT_FAILED and buyer.unit is not None:
            returned.setdefault(buyer.unit, []).append(str(buyer.order))
    return returned


def _counts(progress: Progress) -> str:
    return (
        f"{progress.placed} sold, {progress.on_hold} on hold, {progress.refusals} refusals, "
        f"{progress.payments_failed} payments failed"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
