"""A year of snapshots on a server that speaks S3, by the requests that the server itself logs.

The server is moto's, the client s3fs, both independent of Segue. They cannot be pinned beside
Airflow (botocore wants an older python-dateutil), so that they are installed where they are wanted:
``pip install s3fs 'moto[s3]' flask flask-cors``.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from segue.cli.main import app
from segue.ledger import Ledger
from segue.ledger.facts import Run
from segue.runs.context import RunContext
from segue.runs.snapshot_pair import waiting_for
from segue.runs.span_detection import detect
from segue.segments.membership.store import MembershipStore
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow

WHY = "needs moto and s3fs: pip install s3fs 'moto[s3]' flask flask-cors"
DAYS, PARTS = 365, 20
FILES = 2 * 2 * PARTS  # of two tables in two snapshots
TODAY = date(2026, 11, 22)
NOW = datetime(2027, 1, 1, 6, tzinfo=UTC)  # when every object has settled
INTERVAL = (datetime(2026, 11, 22, 6, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC))
DEFINITIONS: dict[str, dict[str, Any]] = {
    "directories": {"directory": "people", "snapshots": "s3://snapshots/people"},
    "segments": {
        "segment": "gold",
        "directory": "people",
        "match": {"field": "tier", "equals": "gold"},
    },
    "workflows": {
        "workflow": "greet",
        "segment": "gold",
        "changes": ["added"],
        "start": "2026-11-01",
        "actions": [{"id": "mail", "email": {"subject": "Hello", "text": "Hello"}}],
    },
}


class Requests(logging.Handler):
    """What the server logs of each request to the snapshots, as ``list``, ``get`` or ``head``."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()
        self.days: set[str] = set()  # in what was asked for

    def emit(self, record: logging.LogRecord) -> None:
        line = re.search(r"([A-Z]+) /snapshots(\S*) HTTP", record.getMessage())
        if line is not None:
            verb, path = line.groups()
            self.counts["list" if "list-type=2" in path else verb.lower()] += 1
            self.days |= set(re.findall(r"\d{4}-\d\d-\d\d", path))

    def of(self, work: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        """Return what ``work`` returns, and the requests that it cost."""
        self.counts.clear()
        self.days.clear()
        return work(), dict(self.counts)


@pytest.fixture(scope="module")
def requests() -> Iterator[Requests]:
    """The log of a running server that holds the snapshots, and an empty bucket for the state."""
    moto = pytest.importorskip("moto.server", reason=WHY)
    s3fs = pytest.importorskip("s3fs", reason=WHY)
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    log, logger = Requests(), logging.getLogger("werkzeug")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(logger, "level", logging.INFO)
        patch.setattr(logger, "handlers", [log])
        patch.setattr(logger, "propagate", False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        store.create_bucket("snapshots", "us-east-1")
        store.create_bucket("state", "us-east-1")
        for name, content in objects():
            store.put_object("snapshots", name, content)
        s3fs.S3FileSystem.clear_instance_cache()
        yield log
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


def objects() -> Iterator[tuple[str, bytes]]:
    """A year of two tables in twenty parts each; on the last day ten more contacts are gold."""
    tables = {
        tier: [content(contact_id=f"c{number:02}", tier=tier) for number in range(PARTS)]
        for tier in ("gold", "silver")
    }
    calls = [content(contact_id=f"c{number:02}", date=NOW) for number in range(PARTS)]
    for back in range(DAYS):
        folder = f"people/{TODAY - timedelta(days=back)}"
        for number in range(PARTS):
            tier = "gold" if back == 0 or number < PARTS // 2 else "silver"
            yield f"{folder}/contacts/part-{number:02}.parquet", tables[tier][number]
            yield f"{folder}/transactions/part-{number:02}.parquet", calls[number]


def content(**row: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), written)
    return written.getvalue()


@pytest.fixture
def home(requests, tmp_path, monkeypatch):
    for folder, data in DEFINITIONS.items():
        (tmp_path / folder).mkdir()
        name = data[folder.removesuffix("s") if folder != "directories" else "directory"]
        (tmp_path / folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    return tmp_path


@pytest.fixture
def ledger(home) -> Iterator[Ledger]:
    ledger = Ledger.open(f"sqlite:///{home / 'segue.db'}", "default")
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def workflow(home) -> ResolvedWorkflow:
    return Catalog(home).resolve("greet")


def test_a_sensors_poke_costs_three_listings(requests, workflow, ledger):
    """The root, and the two folders of the run's span."""
    run = Run("greet", "day", interval=INTERVAL)
    reason, cost = requests.of(lambda: waiting_for(RunContext(workflow, run, ledger, NOW)))
    assert reason is None
    assert cost == {"list": 3}
    assert requests.days == {"2026-11-21", "2026-11-22"}


def test_a_run_asks_for_what_it_compares_alone(requests, workflow, ledger):
    """A few listings, and each file a few times: its footer, its ids, and what is judged."""
    run = Run("greet", "day", interval=INTERVAL)
    store = MembershipStore("s3://state/segue")
    found, cost = requests.of(lambda: detect(RunContext(workflow, run, ledger, NOW), store))
    assert found.outcome == "recorded"
    assert {row.contact_id for row in ledger.queries.list_deliveries()} == {
        f"c{number}" for number in range(PARTS // 2, PARTS)
    }
    assert requests.days == {"2026-11-21", "2026-11-22"}
    assert set(cost) <= {"list", "get", "head"}
    assert cost["list"] <= 20
    assert cost["get"] + cost.get("head", 0) <= 3 * FILES


def test_the_list_of_snapshots_costs_a_listing_per_thousand_files(requests, home):
    """And a few more, however many snapshots there are."""
    answer, cost = requests.of(
        lambda: CliRunner().invoke(app, ["snapshots", "people", "--format", "csv"])
    )
    assert answer.exit_code == 0, answer.output
    assert answer.output.count("contacts") == DAYS
    assert set(cost) == {"list"}
    assert cost["list"] <= 12 + -(-DAYS * FILES // 2 // 1000)
