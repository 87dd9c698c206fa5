"""``python -m tests.benchmarks.ledger``: what the ledger costs beside the bare inserts.

A new ledger records a run of contacts times two actions, releases it, claims a slice of it and
looks up who was written to under a cap. Beside it the very same rows are written into another new
ledger by the driver alone: ``executemany`` on SQLite, COPY on PostgreSQL. Nobody analyses a table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.progress import Progress
from sqlalchemy import Table, select

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import DetectedSpan, Run, SpanKind, StartRules
from segue.ledger.schema import changes, definitions, deliveries, runs, spans
from tests.benchmarks.delivery import NOW, STRETCH, postgresql_ledger
from tests.benchmarks.report import facts

HERE = Path(__file__).parent
ACTIONS = ("mail", "ticket")
DEFINITION = ("0" * 64, '{"directory": {"directory": "people"}, "segment": {"segment": "vip"}}')
SLICE = 500
ROUNDS = 25  # of four calls
TEXT = """# What the ledger costs

Written by `python -m tests.benchmarks.ledger`. Seconds, each on a new ledger without statistics:
recording a run of so many changes times two actions beside the bare inserts of the same rows under
the same indexes (`executemany` on SQLite, COPY on PostgreSQL); releasing it; claiming a slice of
{slice}; {rounds} rounds of four calls under a `frequency_cap`.

| ledger | changes | bare | recorded | times the bare | released | slice claimed | rounds |
|---|---:|---:|---:|---:|---:|---:|---:|
{rows}

The machine was doing other work as well: compare the figures of one line.
Machine: {machine}. {versions}. {day}.
"""


def main() -> None:
    """Measure and write LEDGER.md."""
    arguments = parse_arguments()
    cases = [(name, size) for size in arguments.sizes for name in arguments.ledgers]
    rows: list[str] = []
    with Progress() as progress:
        for case in progress.track(cases, description="Ledgers"):
            rows.append(row(*case))
            written = TEXT.format(slice=SLICE, rounds=ROUNDS, rows="\n".join(rows), **facts())
            (Path(arguments.output) / "LEDGER.md").write_text(written)  # a million takes a while
    print(written)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ledger", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--ledgers", nargs="+", default=list(LEDGERS), choices=list(LEDGERS))
    parser.add_argument("--output", default=str(HERE), help="folder of LEDGER.md")
    return parser.parse_args()


def row(name: str, size: int) -> str:
    """Measure one ledger with one size of run; return the table's line."""
    people = [f"CID_{number:012}" for number in range(size)]
    with LEDGERS[name]() as ledger, LEDGERS[name]() as other:
        recorded = seconds(lambda: record(ledger, people))
        bare = copied(ledger, other)
        (span,) = (
            ledger.runs.spans_of(found) if (found := ledger.runs.find_run("bench", "run")) else ()
        )
        released = seconds(lambda: ledger.runs.release([span.id], NOW))
        keys = [
            ledger.key("bench", "mail", contact, "added", STRETCH.current.key)
            for contact in people[:SLICE]
        ]
        lease = {"owner": "bench", "now": NOW, "lease_until": NOW + timedelta(hours=1)}
        claimed = seconds(lambda: ledger.deliveries.claim(keys, **lease))
        rules = StartRules("recording", "contact", cap=(1, timedelta(days=1)))
        capped = seconds(
            lambda: [
                ledger.deliveries.advance(
                    [], {key: {} for key in keys[at : at + 4]}, rules=rules, **lease
                )
                for at in range(0, 4 * ROUNDS, 4)
            ]
        )
    figures = f"{bare:,.1f} | {recorded:,.1f} | {recorded / bare:.1f} | {released:,.1f}"
    return f"| {name} | {size:,} | {figures} | {claimed:.2f} | {capped:.2f} |"


def record(ledger: Ledger, people: list[str]) -> None:
    found = [(contact, "added", "") for contact in people]
    span = DetectedSpan(SpanKind.CHANGES, "", STRETCH, "a", "b", 0, len(people), found)
    run = Run("bench", "run")
    ledger.runs.record_spans(run, [span], ACTIONS, DEFINITION, NOW, recorded_only=False)


def copied(ledger: Ledger, other: Ledger) -> float:
    """Write a ledger's rows into another by the driver alone; return the seconds."""
    for table in (definitions, runs, spans):
        write(other, table, rows_of(ledger, table))
    large = {table: rows_of(ledger, table) for table in (changes, deliveries)}

    def write_all() -> None:
        for table, rows in large.items():
            write(other, table, rows)

    return seconds(write_all)


def rows_of(ledger: Ledger, table: Table) -> list[tuple[Any, ...]]:
    with ledger.engine.connect() as connection:
        query = str(select(table).compile(ledger.engine))
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def write(ledger: Ledger, table: Table, rows: list[tuple[Any, ...]]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    with ledger.engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        if ledger.engine.dialect.name == "sqlite":
            places = ", ".join("?" * len(table.columns))
            driver.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)
            return
        copy = f"COPY {table.name} ({names}) FROM STDIN"
        connection.exec_driver_sql("SELECT 1")  # the transaction begins
        with driver.cursor() as cursor, cursor.copy(copy) as target:
            for values in rows:
                target.write_row(values)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def on_sqlite() -> Iterator[Ledger]:
    """A new ledger in a file."""
    with tempfile.TemporaryDirectory(prefix="segue-benchmark-") as folder:
        engine = open_engine(f"sqlite:///{folder}/segue.db")
        upgrade(engine)
        yield Ledger(engine, "bench")
        engine.dispose()


LEDGERS = {"SQLite": on_sqlite, "PostgreSQL": postgresql_ledger}


if __name__ == "__main__":
    main()
