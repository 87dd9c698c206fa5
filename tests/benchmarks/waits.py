"""``python -m tests.benchmarks.waits``: what segue_release costs while many deliveries wait.

A ledger holds a run whose mails all wait, and whose tickets wait with them. Measured is what
segue_release asks of it: with nothing due, and with all of it due, and the first portion that it
takes up. Nobody analyses a table.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from rich.progress import Progress
from sqlalchemy import update

from segue.delivery.resumption import AT_ONCE
from segue.ledger import Ledger
from segue.ledger.reasons import Reason, after
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.upkeep.due_work import find_work
from tests.benchmarks.delivery import NOW
from tests.benchmarks.ledger import ACTIONS, LEDGERS, record, seconds
from tests.benchmarks.report import facts

HERE = Path(__file__).parent
DUE = NOW + timedelta(days=3)
TIMES = 5
TEXT = """# What segue_release costs while deliveries wait

Written by `python -m tests.benchmarks.waits`. Milliseconds, the median of {times} times: so many
mails wait for three days, and as many tickets with them. *Nothing due* and *all due* are all that
segue_release asks the ledger before it takes anything up; *portion* is the reading of the first
{portion:,} mails.

| ledger | mails | nothing due | all due | portion |
|---|---:|---:|---:|---:|
{rows}

Machine: {machine}. {versions}. {day}.
"""


def main() -> None:
    """Measure and write WAITS.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waits", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--output", default=str(HERE), help="folder of WAITS.md")
    arguments = parser.parse_args()
    cases = [(name, size) for size in arguments.sizes for name in LEDGERS]
    rows: list[str] = []
    with Progress() as progress:
        for name, size in progress.track(cases, description="Ledgers"):
            rows.append(row(name, size))
    written = TEXT.format(times=TIMES, portion=AT_ONCE, rows="\n".join(rows), **facts())
    (Path(arguments.output) / "WAITS.md").write_text(written)
    print(written)


def row(name: str, size: int) -> str:
    """Measure one ledger with so many that wait; return the table's line."""
    people = [f"CID_{number:012}" for number in range(size)]
    with LEDGERS[name]() as ledger:
        record(ledger, people)
        let_wait(ledger)
        figures = (
            milliseconds(lambda: find_work(ledger, NOW)),
            milliseconds(lambda: find_work(ledger, DUE)),
            milliseconds(lambda: ledger.deliveries.due("bench", ACTIONS[0], DUE, AT_ONCE)),
        )
    return f"| {name} | {size:,} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |"


def let_wait(ledger: Ledger) -> None:
    """Let the first action's deliveries wait, and the second's with them."""
    first, second = ACTIONS
    for action, reason in ((first, Reason.WAIT), (second, after(first, State.WAITING))):
        values = {"state": State.WAITING, "reason": reason, "held_until": DUE}
        with ledger.engine.begin() as connection:
            mine = deliveries.c.action == action
            connection.execute(update(deliveries).where(mine).values(**values))


def milliseconds(do: Callable[[], object]) -> float:
    """Return the median of some times."""
    return 1_000 * statistics.median(seconds(do) for _ in range(TIMES))


if __name__ == "__main__":
    main()
