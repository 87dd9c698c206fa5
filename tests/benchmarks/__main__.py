"""``python -m tests.benchmarks``: the daily run, the cold run, the diff of what is stored.

Every measurement is the first call in a fresh process. Engines take turns in every round, so that
what else the machine does meets them all. This process imports no data library: a child inherits
the peak memory of the process it was started from.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.job import KINDS
from tests.benchmarks.report import write_report

HERE = Path(__file__).parent
ENGINES = ("segue", "polars_lazy", "duckdb_sql", "usual_pandas")
SIZES = "100000,1000000,10000000"
Results = dict[tuple[int, str, str], dict[str, float]]  # by size, kind and engine: medians


def main() -> None:
    """Run all measurements and write the report."""
    arguments = parse_arguments()
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    results: Results = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="segue-benchmark-") as folder:
            results |= measure_size(size, arguments.repeats, Path(folder))
    path = write_report(results, arguments.repeats, Path(arguments.output))
    print(f"written: {path}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--sizes", default=SIZES, help="numbers of contacts, with commas")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--output", default=str(HERE), help="folder of RESULTS.md and the plot")
    return parser.parse_args()


def measure_size(size: int, repeats: int, folder: Path) -> Results:
    """Generate a directory and measure everything on it, engines in turn."""
    print(f"{size:,} contacts: generating", flush=True)
    snapshots, prepared = folder / "snapshots", folder / "prepared"
    prepared.mkdir()
    run("generated", snapshots, size)
    run("engines.segue", snapshots, prepared)
    measured: dict[tuple[int, str, str], list[dict[str, Any]]] = defaultdict(list)
    for kind in KINDS:
        for figures, engine in rounds(kind, repeats, snapshots, prepared, folder):
            measured[size, kind, engine].append(figures)
        answers = {figures["answer"] for e in ENGINES for figures in measured[size, kind, e]}
        if len(answers) != 1:
            raise SystemExit(f"{kind}, {size:,} contacts: the engines do not agree")
    return {key: medians(several) for key, several in measured.items()}


def rounds(
    kind: str, repeats: int, snapshots: Path, prepared: Path, folder: Path
) -> Iterator[tuple[dict[str, Any], str]]:
    for number in range(repeats):
        for engine in ENGINES:
            state, output = folder / "state", folder / "output"
            for used in (state, output):
                shutil.rmtree(used, ignore_errors=True)
                used.mkdir()
            if kind != "cold":
                shutil.copytree(prepared, state, dirs_exist_ok=True)
            started = time.monotonic()
            printed = run("measured", kind, snapshots, state, output, engine)
            figures = json.loads(printed.splitlines()[-1])
            print(
                f"  {kind}, round {number + 1} of {repeats}, {engine}: "
                f"{figures['seconds']:.3f} s, {figures['megabytes']:.0f} MB "
                f"({time.monotonic() - started:.1f} s in all)",
                flush=True,
            )
            yield figures, engine


def run(module: str, *arguments: object) -> str:
    """Run a module of the benchmark in a fresh process; return what it printed."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return done.stdout


def medians(several: list[dict[str, Any]]) -> dict[str, float]:
    names = ("imports", "seconds", "megabytes", "changes")
    return {name: statistics.median(figures[name] for figures in several) for name in names}


if __name__ == "__main__":
    main()
