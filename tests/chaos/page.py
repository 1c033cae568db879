"""The page of a run: one HTML file that needs nothing else. The picture is an SVG made of rectangles."""

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from string import Template
from typing import Any

from chaos.history import FaultRecord, History
from chaos.latency import Figures, latency_figures

WIDTH, HEIGHT = 1180, 220
LANE = 11
COLOURS = {"kill": "#c0392b", "pause": "#d68910", "wipe": "#7d3c98", "full": "#7d3c98", "move": "#2e86c1"}
LINKS = "#7f8c8d"
Row = Sequence[object]

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>lastunit: chaos, seed $seed</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: ${width}px; color: #222; padding: 0 1em }
table { border-collapse: collapse; margin: .5em 0 1.5em } td, th { padding: .15em .9em .15em 0; text-align: right }
td:first-child, th:first-child { text-align: left } th { border-bottom: 1px solid #999; font-weight: 600 }
code { background: #f2f2f2; padding: .1em .4em } pre { white-space: pre-wrap; background: #fbeaea; padding: 1em }
.good { color: #1e8449 } .bad { color: #c0392b } svg text { font: 11px system-ui, sans-serif; fill: #555 }
</style></head><body>
<h1 class="$tone">$verdict</h1>
<p>$summary</p><p>Again: <code>$command</code> (a seed repeats the plan of faults, not the run)</p>
$violations
<h2>Commands answered per second, and what went wrong meanwhile</h2>
$picture
<h2>From a leader's end to the next committed order, in milliseconds</h2>$recovery
<h2>Latency of answered calls, in milliseconds, faults included</h2>$latency
<h2>Faults</h2>$faults
</body></html>
""")


def page(history: History, figures: dict[str, Any]) -> str:
    """The whole page."""
    broken = figures["violations"]
    return PAGE.substitute(
        width=WIDTH + 20,
        seed=figures["seed"],
        tone="bad" if broken else "good",
        verdict=f"{len(broken)} promises were broken" if broken else "Every promise was kept",
        summary=_summary(figures),
        command=html.escape(figures["command"]),
        violations=f"<pre>{html.escape(chr(10).join(broken))}</pre>" if broken else "",
        picture=picture(history),
        recovery=_percentiles(figures["recovery_ms_by"], ("count", "p50", "p90", "max")),
        latency=_percentiles(latency_figures(history), ("count", "p50", "p90", "p99", "max")),
        faults=_table(("fault", "times"), figures["faults"].items()),
    )


def _summary(figures: dict[str, Any]) -> str:
    return (
        f"{figures['nodes']} nodes, {figures['seconds']:g} s of faults, seed {figures['seed']}: "
        f"{figures['acked']:,} commands acknowledged, {figures['refused']:,} refused, {figures['unknown']:,} left in "
        f"doubt and settled later, {figures['reads']:,} reads; lost {figures['lost']}, applied twice "
        f"{figures['twice']}, oversold {figures['oversold']}, units given twice {figures['duplicate_units']}, "
        f"linearizable: {'yes' if figures['linearizable'] else 'no'}."
    )


def _percentiles(by_name: dict[str, Figures], columns: Sequence[str]) -> str:
    rows = ([name, *(values[column] for column in columns)] for name, values in by_name.items())
    return _table(("", *columns), rows)


def _table(head: Row, rows: Iterable[Row]) -> str:
    def line(tag: str, cells: Row) -> str:
        texts = ("-" if cell is None else html.escape(str(cell)) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    return f"<table>{line('th', head)}{''.join(line('td', row) for row in rows)}</table>"


def picture(history: History) -> str:
    """Throughput over time, and below it a bar for every fault, in as few lanes as have room."""
    ended = [call.returned_at for call in history.calls if call.answer and not call.is_read and call.returned_at]
    total = max([1.0, *ended, *(fault.ended_at for fault in history.faults)])
    lanes = _lanes(history.faults)
    height = HEIGHT + LANE * len(lanes) + 20
    parts = [*_throughput(ended, total), *_axis(total, height)]
    for number, lane in enumerate(lanes):
        parts += [_bar(fault, total, HEIGHT + 6 + LANE * number) for fault in lane]
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" role="img">{"".join(parts)}</svg>'


def _throughput(ended: list[float], total: float) -> list[str]:
    step = max(0.25, total / 600)
    counts = Counter(int(moment / step) for moment in ended)
    most = max(counts.values(), default=1)
    wide = step / total * WIDTH
    bars = [
        f'<rect x="{at * wide:.1f}" y="{HEIGHT - count / most * (HEIGHT - 20):.1f}" width="{wide:.2f}" '
        f'height="{count / most * (HEIGHT - 20):.1f}" fill="#5dade2"/>'
        for at, count in sorted(counts.items())
    ]
    return [*bars, f'<text x="2" y="14">{most / step:.0f} a second</text>']


def _axis(total: float, height: int) -> list[str]:
    step = next((each for each in (5, 10, 30, 60, 120) if total / each <= 16), 300)
    marks = range(0, int(total) + 1, step)
    return [
        f'<line x1="{at / total * WIDTH:.1f}" x2="{at / total * WIDTH:.1f}" y1="20" y2="{height - 14}" '
        f'stroke="#ddd"/><text x="{at / total * WIDTH:.1f}" y="{height - 2}">{at} s</text>'
        for at in marks
    ]


def _lanes(faults: list[FaultRecord]) -> list[list[FaultRecord]]:
    lanes: list[list[FaultRecord]] = []
    for fault in sorted(faults, key=lambda each: each.began_at):
        free = next((lane for lane in lanes if lane[-1].ended_at + 0.3 < fault.began_at), None)
        if free is None:
            lanes.append([fault])
        else:
            free.append(fault)
    return lanes


def _bar(fault: FaultRecord, total: float, top: int) -> str:
    left = fault.began_at / total * WIDTH
    wide = max(2.0, (fault.ended_at - fault.began_at) / total * WIDTH)
    colour = COLOURS.get(fault.name.split()[0], LINKS)
    words = f"{fault.name} {' '.join(fault.nodes)} {fault.detail} at {fault.began_at:.1f} s"
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{LANE - 2}" fill="{colour}">'
        f"<title>{html.escape(words)}</title></rect>"
    )
