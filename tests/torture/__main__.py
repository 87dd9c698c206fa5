"""``python -m tests.torture``: kill workers, spoil answers, restart databases; print what came.

Ends with 1 when a delivery went out twice, was lost in silence, or is in doubt though its channel
could have been asked.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.torture.databases import Cluster, NoPostgresql, cluster
from tests.torture.experiments import Experiment
from tests.torture.plan import Result, one_result, plan, set_up

WIDTH = 130  # columns of the table in a file


def main() -> int:
    """Carry out the experiments and print the table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or PostgreSQL would outlive us
    arguments = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    with tempfile.TemporaryDirectory(prefix="segue-torture-") as folder, ExitStack() as stack:
        shared = None
        try:
            shared = stack.enter_context(cluster())
        except NoPostgresql as missing:
            console.print(f"Without PostgreSQL: {missing}.")
        wanted = [
            one
            for one in plan(full=arguments.full)
            if (shared or one.database == "sqlite") and _is_wanted(one, arguments.only)
        ]
        started = time.monotonic()
        results = sorted(
            _carry_out_all(wanted, arguments.jobs, (Path(folder), shared), console),
            key=lambda result: wanted.index(result[0]),
        )
    return _report(results, time.monotonic() - started, console)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--full", action="store_true", help="1,000 deliveries, 50 kills each")
    parser.add_argument("--only", default="", help="experiments with this in their row")
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=min(cores, 4), help="experiments at once")
    return parser.parse_args()


def _is_wanted(experiment: Experiment, text: str) -> bool:
    return text in f"{experiment.name} {experiment.vendor} {experiment.database}"


def _carry_out_all(
    experiments: Sequence[Experiment],
    jobs: int,
    of_a_bench: tuple[Path, Cluster | None],
    console: Console,
) -> Iterator[Result]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    spawn = multiprocessing.get_context("spawn")  # a sandbox has a thread: it is not to be forked
    with (
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
        ProcessPoolExecutor(jobs, spawn, set_up, of_a_bench) as pool,
    ):
        bar = progress.add_task("torture", total=len(experiments))
        try:
            for done in as_completed([pool.submit(one_result, one) for one in experiments]):
                experiment, _ = result = done.result()
                yield result
                progress.advance(bar)
                if not console.is_terminal:  # a bar is shown at its end only
                    console.print(f"{experiment.name}, {experiment.vendor}, {experiment.database}")
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, only what has begun ends


def _report(results: Sequence[Result], seconds: float, console: Console) -> int:
    """Print the table and what is wrong; return the exit code."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("what was done")
    for name in ("channel", "ledger"):
        table.add_column(name)
    columns = ("deliveries", "kills", "received", "duplicates", "lost", "uncertain")
    for name in columns:
        table.add_column(name, justify="right")
    for experiment, figures in results:
        wrong = "; ".join(experiment.problems(figures))
        numbers = (
            figures.deliveries,
            figures.interruptions,
            figures.received,
            figures.duplicates,
            figures.lost,
            figures.uncertain,
        )
        table.add_row(
            experiment.name,
            experiment.vendor,
            experiment.database,
            *(f"{number:,}" for number in numbers),
            style="red" if wrong else None,
        )
    console.print(table)
    return _sum_up(results, seconds, console)


def _sum_up(results: Sequence[Result], seconds: float, console: Console) -> int:
    total = {
        name: sum(getattr(figures, name) for _, figures in results)
        for name in ("deliveries", "interruptions", "duplicates", "lost", "uncertain")
    }
    console.print(
        f"\n{len(results)} experiments in {seconds / 60:.1f} minutes: "
        f"{total['deliveries']:,} deliveries, {total['interruptions']:,} kills and restarts; "
        f"{total['duplicates']} duplicates, {total['lost']} lost; "
        f"{total['uncertain']} uncertain and reported, all where the server cannot be asked or "
        "cannot tell"
    )
    wrong = [(one, problems) for one, figures in results if (problems := one.problems(figures))]
    for experiment, problems in wrong:
        where = f"{experiment.name}, {experiment.vendor}, {experiment.database}"
        console.print(f"WRONG: {where}: {'; '.join(problems)}", style="red")
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main())
