"""``python -m tests.benchmarks.details``: what the details of a few contacts cost beside peers.

A table of contacts times columns, ids in random order, in one row group as pyarrow writes it; 500
contacts are read from it, some of their columns or all. Each figure is of a fresh process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY, ASKED, NAMED = "2026-11-22", 500, ("t5", "i0", "f7")
ENGINES = ("segue", "polars", "duckdb")
TEXT = """# What details cost

Written by `python -m tests.benchmarks.details`. {asked} contacts of {contacts:,} with {columns}
columns, ids in random order, in one row group as pyarrow writes it; three columns of them, as
messages name them, or all. Medians of {repeats} first calls, each in a fresh process, engines in
turn; importing is not in the seconds, and is in the memory. All gave the same rows.

| columns read | engine | seconds | CPU s | peak MB |
|---|---|---:|---:|---:|
{rows}

The machine was doing other work as well: compare the figures of one table. Machine: {machine}.
{versions}. {day}.

What looking for a run's snapshots costs on object storage is counted by
`tests/unit/directory/test_requests.py`: of 365 days with two tables of 20 parts each, a poke is 3
listings, where listing the history is 15; finding one snapshot is 2; the footers of a table are
read once in a process while the files' checksums stay the same.
"""


def main() -> None:
    """Generate, measure the engines in turn, and write the page; or, in a child, measure one."""
    arguments = parse_arguments()
    if arguments.engine == "generate":
        generate(Path(arguments.home), arguments.contacts, arguments.columns)
        return
    if arguments.engine:
        print(json.dumps(measured(arguments.engine, Path(arguments.home), arguments.all)))
        return
    from tests.benchmarks.report import facts

    with tempfile.TemporaryDirectory(prefix="segue-details-") as folder:
        home = Path(arguments.home or folder)
        if not arguments.home:
            size = ["--contacts", str(arguments.contacts), "--columns", str(arguments.columns)]
            child("generate", home, *size)  # a child inherits its parent's peak memory
        lines = [line for every in (False, True) for line in rows(home, arguments.repeats, every)]
    page = TEXT.format(
        asked=ASKED,
        contacts=arguments.contacts,
        columns=arguments.columns,
        repeats=arguments.repeats,
        rows="\n".join(lines),
        **facts(),
    )
    Path(arguments.output).write_text(page)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.details", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default=str(HERE / "DETAILS.md"))
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--home", help="a folder where the snapshot was generated before")
    parser.add_argument("--all", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def rows(home: Path, repeats: int, every: bool) -> list[str]:
    """Return the lines of the table for some columns, or all."""
    found: dict[str, list[Mapping[str, Any]]] = {engine: [] for engine in ENGINES}
    for _ in range(repeats):
        for engine in ENGINES:
            flags = ["--engine", engine, "--home", str(home), *(["--all"] if every else [])]
            command = [sys.executable, "-m", "tests.benchmarks.details", *flags]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[engine].append(json.loads(done.stdout))
    answers = {figures["answer"] for each in found.values() for figures in each}
    if len(answers) > 1:
        raise SystemExit("the engines do not agree")
    lines = []
    for engine, figures in found.items():
        seconds, cpu, peak = (
            statistics.median(each[name] for each in figures) for name in ("seconds", "cpu", "peak")
        )
        what = "all" if every else "three"
        lines.append(f"| {what} | {engine} | {seconds:.2f} | {cpu:.2f} | {peak:.0f} |")
    return lines


def child(engine: str, home: Path, *flags: str) -> str:
    """Run this module once more, for one thing; returns what it printed."""
    command = [sys.executable, "-m", "tests.benchmarks.details", "--engine", engine]
    command += ["--home", str(home), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def generate(home: Path, contacts: int, columns: int) -> None:
    """Write a home with one snapshot: texts of few values, whole numbers and floats."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    folder = home / "snapshots" / KEY
    folder.mkdir(parents=True)
    words = pa.array([f"word_{number}" for number in range(50)])
    table: dict[str, Any] = {"contact_id": [f"CID_{n:015d}" for n in random.permutation(contacts)]}
    for number in range(columns // 2):
        codes = pa.array(random.integers(0, 50, contacts), pa.int32())
        table[f"t{number}"] = pa.DictionaryArray.from_arrays(codes, words).cast(pa.string())
    for number in range(columns // 4):
        table[f"f{number}"] = random.integers(0, 1000, contacts).astype("float64")
        table[f"i{number}"] = random.integers(0, 100, contacts)
    pq.write_table(pa.table(table), folder / "contacts.parquet")
    (folder / "_SUCCESS").touch()


def measured(engine: str, home: Path, every: bool) -> dict[str, Any]:
    """Run one engine once; returns what it cost, and a digest of what it read."""
    read = READ[engine](home, every)
    cpu, wall = time.process_time(), time.perf_counter()
    found = read()
    figures = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - wall}
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = [[found[who][name] for name in NAMED] for who in sorted(found)]
    return {**figures, "answer": json.dumps(shown)}


def asked() -> list[str]:
    return [f"CID_{number:015d}" for number in range(ASKED)]


def segue(home: Path, every: bool) -> Callable[[], dict[str, dict[str, Any]]]:
    """Details as a task loads them, down to what a template sees."""
    from segue.contacts.fields import contact_fields, load_details
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import find_snapshot
    from segue.workflows.definition import WorkflowDefinition

    directory = DirectoryDefinition(
        directory="people", snapshots=str(home / "snapshots"), complete_marker="_SUCCESS"
    )
    snapshot = find_snapshot(directory, KEY, now=datetime(2026, 11, 23, 6, tzinfo=UTC))
    message = {"id": "mail", "slack_message": {"channel": "c", "text": "x"}}
    workflow = WorkflowDefinition.model_validate(
        {
            "workflow": "w",
            "segment": "s",
            "changes": ["added"],
            "start": "2026-11-01",
            "actions": [message],
        }
    )
    fields = None if every else NAMED
    return lambda: contact_fields(
        workflow, load_details(workflow, directory, snapshot, asked(), fields=fields)
    )


def polars(home: Path, every: bool) -> Callable[[], dict[str, dict[str, Any]]]:
    import polars as pl

    scan = pl.scan_parquet(home / "snapshots" / KEY / "contacts.parquet")
    chosen = scan.filter(pl.col("contact_id").is_in(asked()))
    wanted = chosen if every else chosen.select("contact_id", *NAMED)
    return lambda: {row["contact_id"]: row for row in wanted.collect().to_dicts()}


def duckdb(home: Path, every: bool) -> Callable[[], dict[str, dict[str, Any]]]:
    import duckdb as db

    columns = "*" if every else ", ".join(("contact_id", *NAMED))
    path = home / "snapshots" / KEY / "contacts.parquet"
    query = f"SELECT {columns} FROM '{path}' WHERE contact_id IN (SELECT unnest(?))"

    def read() -> dict[str, dict[str, Any]]:
        found = db.execute(query, [asked()])
        names = [column[0] for column in found.description or ()]
        rows = (dict(zip(names, row, strict=True)) for row in found.fetchall())
        return {row["contact_id"]: row for row in rows}

    return read


READ = {"segue": segue, "polars": polars, "duckdb": duckdb}

if __name__ == "__main__":
    main()
