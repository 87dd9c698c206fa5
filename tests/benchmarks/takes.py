"""``python -m tests.benchmarks.takes``: what a snapshot out of PostgreSQL costs beside its peers.

A table of contacts with twelve columns, and three transactions of each, from a server on this
machine into files. Each figure is of a fresh process; the ways take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url, text

HERE = Path(__file__).parent
SERVER = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
TABLES = ("contacts", "transactions")
FILL = (
    """CREATE TABLE contacts AS SELECT
        'CID_' || lpad(n::text, 12, '0') AS contact_id, 'First' || n % 5000 AS first_name,
        'Last' || n % 70000 AS last_name, 'person.' || n || '@example.com' AS email,
        '+44 20 ' || lpad((n % 10000000)::text, 8, '0') AS phone,
        (ARRAY['en', 'de', 'fr', 'tr'])[1 + n % 4] AS language, n % 9 = 0 AS unsubscribed,
        timestamptz '2020-01-01' + n * interval '90 seconds' AS created_at,
        timestamptz '2024-01-01' + n * interval '50 seconds' AS modified_at,
        (ARRAY['bronze', 'silver', 'gold'])[1 + n % 3] AS tier, n % 1000 AS points,
        date '1950-01-01' + (n % 20000)::int AS birthday
        FROM generate_series(1, {contacts}) AS n""",
    """CREATE TABLE transactions AS SELECT
        'CID_' || lpad((1 + n % {contacts})::text, 12, '0') AS contact_id,
        timestamptz '2025-11-22' + (n % 30000000) * interval '1 second' AS date,
        (ARRAY['purchase', 'visit', 'support_call'])[1 + n % 3] AS type,
        (n % 100000) / 100.0::numeric(10, 2) AS amount
        FROM generate_series(1, 3 * {contacts}) AS n""",
    "VACUUM ANALYZE contacts",
    "VACUUM ANALYZE transactions",
)
TEXT = """# What taking a snapshot costs

Written by `python -m tests.benchmarks.takes`. {contacts:,} contacts of twelve columns and three
transactions of each, from a PostgreSQL on the same machine into files on its disk, by each way in
turn: medians of {repeats}, each in a fresh process. Importing is not in the seconds, and is in the
memory; the server's own work is in the seconds, and not in the CPU seconds.

| way | seconds | rows a second | CPU s | peak MB | files MB |
|---|---:|---:|---:|---:|---:|
{rows}

- *bare ADBC*: `adbc_driver_postgresql`, batches as they come into a Parquet file (zstd).
- *psql*: `\\copy TO … CSV`, which is no snapshot of typed columns but the floor that people know.
- *pandas*: `read_sql` of each table whole, then `to_parquet`.
- *Segue, ADBC* and *Segue, DB-API*: `take_snapshot`, with what it checks of the tables before it
  publishes them.

Machine: {machine}. {versions}. {day}.
"""


def main() -> None:
    """Fill a database, take it by each way in turn, and write the page; or, in a child, take it."""
    arguments = parse_arguments()
    if arguments.way:
        print(json.dumps(measured(arguments.way, arguments.database, Path(arguments.folder))))
        return
    from tests.benchmarks.report import facts

    with database(arguments.contacts) as url:
        results = run_in_turn(url, arguments.repeats)
    rows = 4 * arguments.contacts
    page = TEXT.format(
        contacts=arguments.contacts,
        repeats=arguments.repeats,
        rows="\n".join(line(way, figures, rows) for way, figures in results.items()),
        **facts(),
    )
    Path(arguments.output).write_text(page)
    print(page)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.takes", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default=str(HERE / "TAKES.md"))
    for name in ("--way", "--database", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def database(contacts: int) -> Iterator[str]:
    """Yield the URL of a database with the tables in it, and drop it in the end."""
    admin = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    name = f"segue_bench_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        url = make_url(SERVER).set(database=name)
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in FILL:
                connection.exec_driver_sql(statement.format(contacts=contacts).replace("%", "%%"))
        yield url.set(drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def run_in_turn(url: str, repeats: int) -> dict[str, list[Mapping[str, Any]]]:
    """Return the figures of each way."""
    figures: dict[str, list[Mapping[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, each in figures.items():
            with tempfile.TemporaryDirectory(prefix="segue-takes-") as folder:
                flags = ["--way", way, "--database", url, "--folder", folder]
                command = [sys.executable, "-m", "tests.benchmarks.takes", *flags]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                each.append(json.loads(done.stdout))
                print(f"{way}: {each[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return figures


def line(way: str, figures: list[Mapping[str, Any]], rows: int) -> str:
    """Return the line of the table of one way."""
    seconds, cpu, peak, size = (
        statistics.median(each[name] for each in figures)
        for name in ("seconds", "cpu", "peak", "size")
    )
    return (
        f"| {way} | {seconds:.1f} | {rows / seconds:,.0f} | {cpu:.1f} | {peak:.0f} | {size:.0f} |"
    )


def measured(way: str, url: str, folder: Path) -> dict[str, float]:
    """Take the tables once; returns what it cost this process and its children."""
    take = WAYS[way](url, folder)
    cpu, wall = cpu_seconds(), time.perf_counter()
    take()
    seconds = time.perf_counter() - wall
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "seconds": seconds,
        "cpu": cpu_seconds() - cpu,
        "peak": max(own.ru_maxrss, children.ru_maxrss) / 1024,
        "size": sum(path.stat().st_size for path in files) / 1e6,
    }


def cpu_seconds() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return sum(each.ru_utime + each.ru_stime for each in (own, children))


def bare_adbc(url: str, folder: Path) -> Take:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from adbc_driver_postgresql import dbapi

    def take() -> None:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"SELECT * FROM {table}")
                reader = cursor.fetch_record_batch()
                schema = pa.schema([field.with_type(plain(field.type)) for field in reader.schema])
                path = folder / f"{table}.parquet"
                with pq.ParquetWriter(path, schema, compression="zstd") as file:
                    for batch in reader:
                        file.write_batch(batch.cast(schema))

    def plain(kind: Any) -> Any:
        return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind

    return take


def psql(url: str, folder: Path) -> Take:
    def take() -> None:
        for table in TABLES:
            copy = f"\\copy {table} TO '{folder / table}.csv' WITH (FORMAT csv, HEADER)"
            subprocess.run(["psql", "--quiet", "--dbname", url, "--command", copy], check=True)

    return take


def pandas(url: str, folder: Path) -> Take:
    import pandas as pd

    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))

    def take() -> None:
        for table in TABLES:
            frame = pd.read_sql(f"SELECT * FROM {table}", engine)
            frame.to_parquet(folder / f"{table}.parquet")

    return take


def segue(by_adbc: bool, url: str, folder: Path) -> Take:
    from segue.directory.definition import DirectoryDefinition
    from segue.takes.adbc import opened_by_adbc
    from segue.takes.database import opened
    from segue.takes.moments import Moment
    from segue.takes.take import take_snapshot

    tables = {table: f"SELECT * FROM {table} WHERE :as_of IS NOT NULL" for table in TABLES}
    directory = DirectoryDefinition.model_validate(
        {
            "directory": "shop",
            "snapshots": str(folder),
            "take": {"connection": "shop", "start": "2026-11-01", "tables": tables},
        }
    )
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    sources = directory.take.tables
    connect = partial(opened_by_adbc, url, sources) if by_adbc else partial(opened, engine, sources)
    moment = Moment("2026-11-22", datetime(2026, 11, 23, tzinfo=UTC))

    def take() -> None:
        take_snapshot(directory, moment, connect, remark=lambda _: None)

    return take


Take = Callable[[], None]
WAYS: Mapping[str, Callable[[str, Path], Take]] = {
    "bare ADBC": bare_adbc,
    "Segue, ADBC": partial(segue, True),
    "psql": psql,
    "Segue, DB-API": partial(segue, False),
    "pandas": pandas,
}

if __name__ == "__main__":
    main()
