"""Judges a history: check(history) -> verdict. Pure, and independent of the code of the nodes and of the client.

(a) every answer is the one that a naive model gives at that place of the log   replay
(b) the log's order is that of real time, reads included                        order
(c) acknowledged: there; certainly not applied: not there; in doubt: once or never   final, replay
(d) no unit twice, units conserved, tokens increase                             final, replay, order
(e) no hold ends before its ticks are over, none outlives them; ticks keep their pace   replay, clocks, order
(f) all nodes end with one hash                                                 final

`python -m chaos.checker build/chaos/history.jsonl` judges a history of an earlier run, or of anybody's.
"""

import sys
from pathlib import Path

from chaos.clocks import Clocks
from chaos.final import check_final, compare_final
from chaos.history import History, read_history
from chaos.order import check_order, check_pace, check_tokens
from chaos.replay import Replay
from chaos.verdict import Verdict, call_figures


def check(history: History) -> Verdict:
    """All checks; each goes on where another has found something."""
    verdict = Verdict()
    clocks = Clocks(history, verdict)
    check_order(history, verdict)
    check_tokens(history, verdict)
    check_pace(history, clocks.exactly, verdict)
    check_final(history, verdict)
    replay = Replay(history, clocks, verdict)
    if replay.run():
        compare_final(history, replay.model, verdict)
    return verdict


def main(path: str) -> int:
    """Print what is wrong; the exit status."""
    history = read_history(Path(path))
    verdict = check(history)
    for violation in verdict.violations:
        print(violation)
    print(f"{len(history.calls)} calls, {sum(verdict.counts.values())} violations; {call_figures(history)}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
