"""``python -m tests.benchmarks.pages``: how long each page takes with a million deliveries.

The pages are asked for through Airflow's own application, signed in, in this process: what is
measured is everything but the network. Beside the time it is noted how many rows the page read
from the ledger, and whether the database went through a whole table for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Connection, Engine, create_engine, event, select, text

from segue.ledger.engine import open_engine, upgrade
from segue.ledger.schema import changes, definitions, deliveries, requests, runs, spans
from segue.ledger.states import State
from tests.benchmarks.report import facts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
POSTGRESQL = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
LIMIT = 0.3  # seconds: what the issue allows a page at the median
WORKFLOWS, SEGMENTS, DAYS = 18, 9, 100
CONTACTS = 250  # of a daily run
HUGE = 50_000  # contacts of the one huge run
PEOPLE = 120_000  # of the directory, who come and go
ACTIONS = ("mail", "note")
STATES = {
    State.DELIVERED: 850,
    State.SKIPPED: 80,
    State.SUPPRESSED: 30,
    State.FAILED: 20,
    State.UNCERTAIN: 10,
    State.HELD: 10,
}
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BUSY = "CID_0000007"
BIG_TABLES = ("deliveries", "changes")
TEXT = """# What the pages take

Written by `python -m tests.benchmarks.pages`. A ledger with {count:,} deliveries and {changed:,}
changes: {workflows} workflows on {segments} segments, {days} days of runs, and one run with
{huge:,} contacts. Each page is asked for through Airflow's application, signed in, in one process;
medians of {repeats} calls after a first one, in milliseconds. A page may take {limit} ms. *Rows*
are what the page reads from the ledger. No page goes through a whole table of deliveries or
changes, as the databases' own plans say; one that did would be marked. Contacts' details come from
a small snapshot: what is measured is the ledger.

{table}

Largest median: {largest}.

Machine: {machine}; load average {load} before and {load_after} after, with other work running
beside it. {versions}. {day}.
"""


@dataclass(frozen=True)
class Page:
    """One page with its address."""

    name: str
    address: str


@dataclass(frozen=True)
class Measured:
    """What one page took."""

    seconds: float
    rows: int
    scans: tuple[str, ...]


# ---- the ledger --------------------------------------------------------------------------------


def fill(engine: Engine, days: int, huge: int) -> int:
    """Write the runs; return how many deliveries there are."""
    chance = random.Random(7)
    states = chance.choices(list(STATES), list(STATES.values()), k=10_000)
    total = run = 0
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # the keys are random: without a cache it takes hours
            connection.exec_driver_sql("PRAGMA cache_size = -2000000")
        for number in range(WORKFLOWS):
            body = json.dumps(_definition(number))
            row = {"hash": _hash(number), "workflow": _name(number), "body": body}
            connection.execute(definitions.insert(), {**row, "recorded_at": TODAY})
        for number in range(WORKFLOWS):
            for back in range(days, 0, -1):
                run += 1
                total += _write_run(connection, run, number, back, CONTACTS, chance, states)
        total += _write_run(connection, run + 1, 0, 0, huge, chance, states)
        connection.execute(requests.insert(), [_request(number) for number in range(1000)])
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE"))
    return total


def _name(number: int) -> str:
    return f"flow_{number:02}"


def _hash(number: int) -> str:
    return hashlib.sha256(_name(number).encode()).hexdigest()


def _segment(number: int) -> str:
    return f"segment_{number % SEGMENTS}"


def _definition(number: int) -> dict[str, Any]:
    match = {"field": "tier", "equals": "gold"}
    segment = {"segment": _segment(number), "directory": "people", "match": match}
    return {"workflow": {}, "segment": segment, "directory": {"directory": "people"}}


def _request(number: int) -> dict[str, Any]:
    names = ("action", "contact", "error", "keys")
    about = {"workflow": _name(number % WORKFLOWS), **dict.fromkeys(names)} | {"keys": []}
    return {
        "namespace": "bench",
        "kind": "retry",
        "body": json.dumps({"selection": about, "settlement": None}),
        "requested_by": "anna",
        "requested_at": TODAY,
        "done_at": TODAY,
        "outcome": "done",
    }


def _write_run(
    connection: Connection,
    run: int,
    number: int,
    back: int,
    contacts: int,
    chance: random.Random,
    states: list[State],
) -> int:
    as_of = TODAY - timedelta(days=back)
    key = (as_of - timedelta(days=1)).date().isoformat()
    name = _name(number)
    chosen = sorted({f"CID_{n:07}" for n in chance.sample(range(PEOPLE), contacts)} | {BUSY})
    common = {"namespace": "bench", "workflow": name}
    run_row = {**common, "id": run, "run_id": f"scheduled__{as_of.isoformat()}"}
    span_row = {
        **common,
        "id": run,
        "run": run,
        "segment": _segment(number),
        "kind": "changes",
        "previous_key": (as_of - timedelta(days=2)).date().isoformat(),
        "current_key": key,
        "previous_as_of": as_of - timedelta(days=1),
        "current_as_of": as_of,
        "previous_fingerprint": "p",
        "current_fingerprint": "c",
        "previous_size": 10_000 + run,
        "current_size": 10_000 + run + contacts,
        "definition": _hash(number),
        "recorded_at": as_of,
    }
    change_rows = [
        {"span": run, "contact_id": contact, "change": "added", "reason": ""} for contact in chosen
    ]
    rows = [
        {
            **common,
            "key": hashlib.sha256(f"{run}/{action}/{contact}".encode()).hexdigest(),
            "action": action,
            "contact_id": contact,
            "change": "added",
            "snapshot": key,
            "span": run,
            "channel": "email",
            "addressed_to": "contact",
            "event_at": as_of,
            "state": (state := states[(run * 7919 + index * 2 + turn) % len(states)]),
            "reason": _reason(state),
            "digest": "d" * 64 if state is State.DELIVERED else None,
            "attempts": 1,
            "planned_at": as_of,
            "called_at": as_of,
            "delivered_at": as_of if state is State.DELIVERED else None,
            "updated_at": as_of + timedelta(seconds=index),
        }
        for index, contact in enumerate(chosen)
        for turn, action in enumerate(ACTIONS)
    ]
    outcome = {"outcome": "recorded", "recorded_at": as_of}
    connection.execute(runs.insert(), {**run_row, **outcome})
    connection.execute(spans.insert(), span_row)
    connection.execute(changes.insert(), change_rows)
    connection.execute(deliveries.insert(), rows)
    return len(rows)


def _reason(state: State) -> str:
    reasons = {
        State.SKIPPED: "conditions",
        State.SUPPRESSED: "max_age",
        State.FAILED: "400: the address was refused",
        State.UNCERTAIN: "the answer was lost",
        State.HELD: "quiet_hours",
    }
    return reasons.get(state, "")


# ---- the pages ---------------------------------------------------------------------------------


def pages(engine: Engine) -> list[Page]:
    """Return each page with an address that exists."""
    mine = (deliveries.c.contact_id == BUSY, deliveries.c.workflow == _name(0))
    with engine.connect() as connection:
        key = connection.execute(select(deliveries.c.key).where(*mine).limit(1)).scalar_one()
    huge = f"run?workflow=flow_00&run=scheduled__{TODAY.isoformat().replace('+', '%2B')}"
    return [
        Page("Workflows", "workflows"),
        Page("Workflow", "workflow?workflow=flow_00"),
        Page("Run of 50,000 contacts", huge),
        Page("… its last page", f"{huge}&page=1000"),
        Page("… one outcome", f"{huge}&state=failed"),
        Page("… a contact", f"{huge}&contact=CID_00000"),
        Page("… a reason", f"{huge}&error=refused"),
        Page("Daily run", huge.replace(TODAY.isoformat()[:10], _day(2))),
        Page("Task", "task?workflow=flow_00&task=mail"),
        Page("Dead letters", "deliveries?workflow=flow_00&state=failed"),
        Page("Delivered", "deliveries?workflow=flow_00&state=delivered"),
        Page("… a contact", "deliveries?workflow=flow_00&state=delivered&contact=CID_00001"),
        Page("Delivery, message included", f"delivery?workflow=flow_00&key={key}"),
        Page("Requests", "requests"),
        Page("Segments", "segments"),
        Page("Segment, 30 days", "segment?segment=segment_0"),
        Page("Segment, 365 days", "segment?segment=segment_0&days=365"),
        Page("Membership of a contact", f"segment/explain?segment=segment_0&contact={BUSY}"),
        Page("Contact with 1,800 changes", f"contact?id={BUSY}"),
        Page("… its last page", f"contact?id={BUSY}&page=73"),
        Page("Contact like many others", "contact?id=CID_0000100"),
        Page("Contact that is not there", "contact?id=CID_00"),
        Page("API: workflows", "api/v1/workflows"),
        Page("API: deliveries", "api/v1/workflows/flow_00/deliveries?state=failed&limit=500"),
    ]


def _day(back: int) -> str:
    return (TODAY - timedelta(days=back)).date().isoformat()


def measure(client: Any, engine: Engine, page: Page, repeats: int) -> Measured:
    """Ask for a page, several times; raise SystemExit where it is not shown."""
    with _statements(engine) as said:
        answer = client.get(f"/segue/{page.address}")
    if answer.status_code != 200:
        raise SystemExit(f"{page.name}: {answer.status_code} {answer.text[:500]}")
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        client.get(f"/segue/{page.address}")
        seconds.append(time.perf_counter() - started)
    counted = [_look_at(engine, statement, parameters) for statement, parameters in said]
    scans = tuple(sorted({scan for _, found in counted for scan in found}))
    return Measured(statistics.median(seconds), sum(rows for rows, _ in counted), scans)


@contextmanager
def _statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Note what the pages ask the ledger meanwhile."""
    from segue.web.connections import _open_ledger

    asked = _open_ledger().engine
    said: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            said.append((statement, parameters))

    event.listen(asked, "before_cursor_execute", note)
    yield said
    event.remove(asked, "before_cursor_execute", note)


def _look_at(engine: Engine, statement: str, parameters: Any) -> tuple[int, list[str]]:
    """Return how many rows a statement gives, and which big tables it goes through as a whole."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(statement, parameters)
        rows = len(cursor.fetchall())
        cursor.execute(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement, parameters)
        plan = [str(row[-1]) for row in cursor.fetchall()]
    scan = "SCAN {}" if sqlite else "Seq Scan on {}"
    found = [table for table in BIG_TABLES if any(scan.format(table) in line for line in plan)]
    return rows, found


# ---- the world ---------------------------------------------------------------------------------


def world(folder: Path) -> Callable[[str], Any]:
    """Set Airflow and the definitions up; returns what signs in to the pages of a ledger."""
    _define(folder / "include")
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "anna:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW__API__SECRET_KEY": "benchmark",
            "AIRFLOW__API_AUTH__JWT_SECRET": "benchmark " * 8,
            "SEGUE_HOME": str(folder / "include"),
            "SEGUE_STATE": str(folder / "state"),
            "SEGUE_NAMESPACE": "bench",
        }
    )
    airflow = Path(sys.executable).parent / "airflow"
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True)
    from airflow import settings

    settings.initialize()
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    app = create_app(apps="core")

    def client(ledger: str) -> Any:
        os.environ["SEGUE_LEDGER"] = ledger
        found = TestClient(app)
        user = SimpleAuthManagerUser(username="anna", role="admin")
        found.cookies.set("_token", get_auth_manager().generate_jwt(user))
        return found

    return client


def _define(home: Path) -> None:
    """Write the definitions, and thirty small snapshots: what is measured is the ledger."""
    documents: dict[str, dict[str, Any]] = {
        "directories/people": {
            "directory": "people",
            "snapshots": "../../snapshots",
            "complete_marker": "_SUCCESS",
        }
    }
    for number in range(WORKFLOWS):
        documents[f"segments/{_segment(number)}"] = _definition(number)["segment"]
        mail = {"subject": "Hello", "text": "Dear {{ contact.first_name }}"}
        documents[f"workflows/{_name(number)}"] = {
            "workflow": _name(number),
            "segment": _segment(number),
            "changes": ["added"],
            "start": "2026-01-01",
            "schedule": "0 6 * * *",
            "actions": [{"id": action, "email": mail} for action in ACTIONS],
        }
    for name, document in documents.items():
        path = home / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document))
    for back in range(DAYS + 2):
        folder = home.parent / "snapshots" / _day(back)
        folder.mkdir(parents=True)
        rows = f"contact_id,first_name,email,tier\n{BUSY},Ann,ann@example.com,gold\n"
        (folder / "contacts.csv").write_text(rows)
        (folder / "_SUCCESS").touch()


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the URL of each ledger by its database's name; they are dropped afterwards."""
    admin = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    name = f"segue_bench_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = admin.url.set(database=name, drivername="postgresql")
    try:
        yield {
            "SQLite": f"sqlite:///{folder / 'segue.db'}",
            "PostgreSQL": url.render_as_string(hide_password=False),
        }
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def main() -> None:
    """Measure and write PAGES.md; end with an error where a page takes too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pages", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="calls of each page")
    parser.add_argument("--output", default=str(HERE), help="folder of PAGES.md")
    parser.add_argument("--days", type=int, default=DAYS, help="days of runs")
    parser.add_argument("--huge", type=int, default=HUGE, help="contacts of the huge run")
    arguments = parser.parse_args()
    load = _load()
    results: dict[str, list[tuple[Page, Measured]]] = {}
    with tempfile.TemporaryDirectory(prefix="segue-pages-") as made:
        folder = Path(made)
        sign_in = world(folder)
        with databases(folder) as urls:
            for name, url in urls.items():
                engine = open_engine(url)
                upgrade(engine)
                started = time.perf_counter()
                count = fill(engine, arguments.days, arguments.huge)
                print(f"{name}: {count:,} deliveries in {time.perf_counter() - started:.0f} s")
                client = sign_in(url)
                results[name] = []
                for page in pages(engine):
                    found = measure(client, engine, page, arguments.repeats)
                    print(f"{name} {page.name}: {found}", flush=True)
                    results[name].append((page, found))
                engine.dispose()
                _close()
    report = _report(results, count, arguments, load)
    (Path(arguments.output) / "PAGES.md").write_text(report)
    print(report)
    bad = [
        f"{name}, {page.name}"
        for name, found in results.items()
        for page, it in found
        if it.seconds > LIMIT or it.scans
    ]
    if bad:
        raise SystemExit(f"too slow, or through a whole table: {bad}")


def _close() -> None:
    from segue.web import connections

    connections._open_ledger().engine.dispose()
    connections._ledger.cache_clear()


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _report(
    results: dict[str, list[tuple[Page, Measured]]],
    count: int,
    chosen: argparse.Namespace,
    load: str,
) -> str:
    names = list(results)
    heads = "".join(f" {name}, ms | rows |" for name in names)
    lines = [f"| page |{heads}", "|---|" + "---:|---:|" * len(names)]
    for index, (page, _) in enumerate(results[names[0]]):
        cells = [results[name][index][1] for name in names]
        numbers = "".join(f" {_ms(it)} | {it.rows:,} |" for it in cells)
        lines.append(f"| {page.name} |{numbers}")
    slowest = max(
        (it.seconds, f"{page.name}, {name}") for name in names for page, it in results[name]
    )
    return TEXT.format(
        count=count,
        changed=count // len(ACTIONS),
        workflows=WORKFLOWS,
        segments=SEGMENTS,
        days=chosen.days,
        huge=chosen.huge,
        repeats=chosen.repeats,
        limit=int(LIMIT * 1000),
        table="\n".join(lines),
        largest=f"{slowest[0] * 1000:.0f} ms ({slowest[1]})",
        load=load,
        load_after=_load(),
        **facts(),
    )


def _ms(it: Measured) -> str:
    scans = f" (all of {', '.join(it.scans)})" if it.scans else ""
    return f"{it.seconds * 1000:.0f}{scans}"


if __name__ == "__main__":
    main()
