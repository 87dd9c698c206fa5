"""``python -m tests.benchmarks.delivery``: what the door costs beside the bare client.

The same messages go to the same server through the same sender with the same concurrency: once
through the door, with the ledger on PostgreSQL or SQLite, once without it. The server is the
sandbox's Zendesk in a process of its own on loopback. The ways take turns in every round.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress
from sqlalchemy import create_engine, text

from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms, judge
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import DetectedSpan, Run
from segue.ledger.stretches import Point, Stretch
from tests.benchmarks.report import facts

HERE = Path(__file__).parent
POSTGRESQL = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
BARE = "the bare client"
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
STRETCH = Stretch(
    Point(NOW.replace(day=21), "2026-11-20"), Point(NOW.replace(day=22), "2026-11-21")
)
TEXT = """# What the door costs

Written by `python -m tests.benchmarks.delivery` (`make bench`). {count:,} Zendesk tickets to the
sandbox on loopback, one worker, {concurrency} calls at once, the same sender in every way; medians
of {repeats} rounds in which the ways take turns. For the bare client messages are rendered before
the clock starts; the door's time holds rendering, claims, every committed state and the final
count.

| way | tickets per second | of the bare client | overhead per contact |
|---|---:|---:|---:|
{rows}

Machine: {machine}. {versions}. {day}.
"""


def main() -> None:
    """Measure and write DELIVERY.md."""
    arguments = parse_arguments()
    count, repeats = arguments.count, arguments.repeats
    with tempfile.TemporaryDirectory(prefix="segue-benchmark-") as folder, sandbox() as url:
        os.environ["AIRFLOW_CONN_ZENDESK_DEFAULT"] = json.dumps(
            {
                "conn_type": "http",
                "host": f"{url}/zendesk",
                "login": "agent@example.com/token",
                "password": "sandbox",
                "extra": {"segue_rate": "none"},
            }
        )
        ways = {
            BARE: bare,
            "door, SQLite": on_sqlite(Path(folder)),
            "door, PostgreSQL": on_postgresql,
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():  # connections, imports, compiled statements
            way(200)
        with Progress() as progress:
            for _ in progress.track(range(repeats), description="Rounds"):
                for name, way in ways.items():
                    seconds[name].append(way(count))
    medians = {name: statistics.median(several) for name, several in seconds.items()}
    written = TEXT.format(
        count=count,
        repeats=repeats,
        concurrency=ZendeskTicket.concurrency,
        rows="\n".join(rows(medians, count)),
        **facts(),
    )
    path = Path(arguments.output) / "DELIVERY.md"
    path.write_text(written)
    print(written)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.delivery", description=__doc__
    )
    parser.add_argument("--count", type=int, default=2000, help="tickets of one round")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--output", default=str(HERE), help="folder of DELIVERY.md")
    return parser.parse_args()


def rows(medians: dict[str, float], count: int) -> Iterator[str]:
    for name, seconds in medians.items():
        share = medians[BARE] / seconds
        overhead = (seconds - medians[BARE]) / count * 1000
        cells = ("–", "–") if name == BARE else (f"{share:.0%}", f"{overhead:.2f} ms")
        yield f"| {name} | {count / seconds:,.0f} | {cells[0]} | {cells[1]} |"


def channel() -> ZendeskTicket:
    fields = {"subject": "Call {{ contact.contact_id }}", "comment": "Dear {{ contact.name }}"}
    return ZendeskTicket.model_validate(fields)


def candidates(ledger: Ledger, count: int) -> list[Candidate]:
    """Record and release as many deliveries in a new namespace, and return them."""
    people = [f"c{number:06}" for number in range(count)]
    changes = [(contact, "added", "") for contact in people]
    span = DetectedSpan("changes", "", STRETCH, "a", "b", 0, count, changes)
    run = Run("bench", "run")
    definition = (
        uuid.uuid4().hex * 2,
        '{"directory": {"directory": "people"}, "segment": {"segment": "vip"}}',
    )
    ledger.runs.record_spans(run, [span], ["ticket"], definition, NOW, recorded_only=False)
    recorded = ledger.runs.find_run("bench", "run")
    assert recorded is not None
    ledger.runs.release([item.id for item in ledger.runs.spans_of(recorded)], NOW)
    return [
        Candidate(
            key=ledger.key("bench", "ticket", contact, "added", STRETCH.current.key),
            contact_id=contact,
            change="added",
            snapshot=STRETCH.current.key,
            fields={"contact_id": contact, "name": f"Name {contact}"},
            opted_in=True,
        )
        for contact in people
    ]


def bare(count: int) -> float:
    """Send through the sender alone; return the seconds."""
    tickets = channel()
    made = [
        Candidate(
            uuid.uuid4().hex,
            f"c{n:06}",
            "added",
            "",
            {"contact_id": f"c{n:06}", "name": "Name"},
            True,
        )
        for n in range(count)
    ]
    ready, _ = judge(tickets, Terms("bench"), made)
    started = time.perf_counter()
    with tickets.connect() as sender, ThreadPoolExecutor(tickets.concurrency) as pool:
        list(pool.map(lambda item: sender.send(item.message, key=item.key), ready))
    return time.perf_counter() - started


def through_the_door(ledger: Ledger, count: int) -> float:
    """Send through the door; return the seconds. Raises where anything was not delivered."""
    made = candidates(ledger, count)
    started = time.perf_counter()
    result = Door(ledger, channel(), Terms("bench"), owner="bench").deliver(made)
    seconds = time.perf_counter() - started
    if dict(result.standing) != {"delivered": count}:
        raise SystemExit(f"not all was delivered: {result}")
    return seconds


def on_sqlite(folder: Path) -> Callable[[int], float]:
    engine = open_engine(f"sqlite:///{folder / 'segue.db'}")
    upgrade(engine)
    return lambda count: through_the_door(Ledger(engine, uuid.uuid4().hex), count)


def on_postgresql(count: int) -> float:
    """Send with a ledger on a database made for this round."""
    with postgresql_ledger() as ledger:
        return through_the_door(ledger, count)


@contextmanager
def postgresql_ledger() -> Iterator[Ledger]:
    """A new ledger in a database of its own."""
    admin = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    name = f"segue_bench_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = open_engine(admin.url.set(database=name).render_as_string(hide_password=False))
    try:
        upgrade(engine)
        yield Ledger(engine, "bench")
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@contextmanager
def sandbox() -> Iterator[str]:
    """Serve the sandbox in a process of its own; yield its URL."""
    port, mail = free_port(), free_port()
    command = [str(Path(sys.executable).parent / "segue"), "sandbox"]
    options = ["--http-port", str(port), "--smtp-port", str(mail)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
