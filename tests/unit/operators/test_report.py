"""The report's task: metrics, whom it tells, and what it says of a run that did not finish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest

from segue.airflow_compat import AirflowFailException
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.operators import Report
from tests.unit.runs.test_span_detection import Place


class Gauges:
    """Airflow's metrics, kept."""

    def __init__(self) -> None:
        self.values: dict = {}

    def gauge(self, name, value, *, tags) -> None:
        self.values[name, *tags.values()] = value


def listen(logger, monkeypatch) -> Iterator[None]:
    """Make a logger that of Airflow's metrics for a while."""
    try:
        from airflow.sdk.observability import stats
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
    except ImportError:  # 3.1 and 3.2
        from airflow.stats import Stats

        monkeypatch.setattr(Stats, "gauge", logger.gauge, raising=False)
        yield
        return
    stats.initialize(factory=lambda: logger, export_legacy_names=True)
    yield
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def gauges(monkeypatch) -> Iterator[Gauges]:
    found = Gauges()
    for _ in listen(found, monkeypatch):
        yield found


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    """The run of the 10th: a removed, c added."""
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    made = Place(tmp_path)
    for day, golden in ((7, "a"), (8, "ab"), (9, "bc")):
        made.snapshot(day, *golden)
    tell = {"notifier": "tests.airflow.told.FileNotifier", "path": str(tmp_path / "told")}
    made.more = {"notify": {"on_held": {**tell, "text": "{{ report | join(' / ') }}"}}}
    made.day(10)
    return made


def stand(place: Place, **by_contact: State) -> None:
    with place.ledger.engine.begin() as connection:
        for contact_id, state in by_contact.items():
            row = deliveries.c.contact_id == contact_id
            connection.execute(deliveries.update().where(row).values(state=state))


def report(place: Place, **states: str) -> list[str]:
    """Run the task; ``states`` are those of the run's other tasks."""
    run = SimpleNamespace(
        run_id="day-10",
        run_type="scheduled",
        data_interval_start=None,
        data_interval_end=None,
        clear_number=0,
    )
    ti = SimpleNamespace(dag_id="greet", get_task_states=lambda **_: {"day-10": states})
    task = Report(task_id="report", workflow=place.workflow, watched=["guard"])
    return task.execute({"ti": ti, "dag_run": run, "dag": None})


def test_every_run_sets_its_gauges(place, gauges):
    """Tagged with the workflow; the gap is 7 to 8."""
    stand(place, a=State.DELIVERED, c=State.HELD)
    report(place)
    of_workflow = {key: value for key, value in gauges.values.items() if len(key) == 2}
    assert of_workflow == {
        ("segue.delivered", "greet"): 1,
        ("segue.failed", "greet"): 0,
        ("segue.held", "greet"): 1,
        ("segue.waiting", "greet"): 0,
        ("segue.uncertain", "greet"): 0,
        ("segue.under_way", "greet"): 0,
        ("segue.gaps", "greet"): 1,
    }
    assert {key: value for key, value in gauges.values.items() if key not in of_workflow} == {
        ("segue.action.delivered", "greet", "mail"): 1,
        ("segue.action.failed", "greet", "mail"): 0,
        ("segue.action.held", "greet", "mail"): 1,
        ("segue.action.waiting", "greet", "mail"): 0,
        ("segue.action.uncertain", "greet", "mail"): 0,
        ("segue.action.under_way", "greet", "mail"): 0,
    }


def test_the_latency_is_the_longest_from_as_of_to_delivery(place, gauges):
    """The snapshot of the 9th knows all before the 10th; nobody's is told who got nothing."""
    stand(place, a=State.DELIVERED, c=State.DELIVERED)
    as_of = datetime(2026, 11, 10, tzinfo=UTC)
    for contact_id, seconds in (("a", 90), ("c", 3600)):
        row = deliveries.c.contact_id == contact_id
        values = {"event_at": as_of, "delivered_at": as_of + timedelta(seconds=seconds)}
        with place.ledger.engine.begin() as connection:
            connection.execute(deliveries.update().where(row).values(values))
    report(place)
    assert gauges.values["segue.latency", "greet"] == 3600
    assert gauges.values["segue.action.latency", "greet", "mail"] == 3600


def test_a_run_that_fails_sets_them_too(place, gauges):
    """Both deliveries were never released."""
    with pytest.raises(AirflowFailException, match="2 deliveries were not tried"):
        report(place)
    assert gauges.values["segue.under_way", "greet"] == 2


def test_held_deliveries_fail_no_run_and_somebody_is_told(place, tmp_path):
    """With the report's own lines."""
    stand(place, a=State.DELIVERED, c=State.HELD)
    lines = report(place)
    assert "- mail: 1 delivered, 1 held" in lines
    assert (tmp_path / "told").read_text() == " / ".join(lines) + "\n"


def test_nobody_is_told_where_nothing_is_held(place, tmp_path):
    stand(place, a=State.DELIVERED, c=State.DELIVERED)
    report(place)
    assert not (tmp_path / "told").exists()


def test_a_notifier_that_fails_stops_nothing(place, tmp_path, caplog):
    """It is in the log."""
    (tmp_path / "told").mkdir()  # cannot be written to
    stand(place, a=State.DELIVERED, c=State.HELD)
    assert "- mail: 1 delivered, 1 held" in report(place)


def test_a_run_that_did_not_finish_is_accounted_for_and_fails(place):
    """The guard's deadline passed; what was rejected is no problem of its own."""
    stand(place, a=State.SUPPRESSED, c=State.SUPPRESSED)
    with pytest.raises(AirflowFailException, match=r"^the run did not finish: guard failed$"):
        report(place, guard="failed")


class PlainClient:
    """What a StatsD client is asked to send: a name and a number, with no place for tags."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}

    def gauge(self, name, value, rate, delta) -> None:
        self.sent[name] = value


def logger_of_statsd() -> type:
    """Return Airflow's own, which each of its minor versions has in another place."""
    for place in ("airflow.sdk._shared", "airflow._shared"):
        with suppress(ImportError):
            module = import_module(f"{place}.observability.metrics.statsd_logger")
            return module.SafeStatsdLogger
    return import_module("airflow.metrics.statsd_logger").SafeStatsdLogger  # 3.1


@pytest.fixture
def statsd(monkeypatch) -> Iterator[PlainClient]:
    """Airflow's own logger for StatsD, as it is set up where ``statsd_on`` is all that is said."""
    client = PlainClient()
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    for _ in listen(logger_of_statsd()(client), monkeypatch):
        yield client


def test_plain_statsd_tells_workflows_apart_by_the_gauges_name(place, statsd):
    """It drops tags: else the workflows would overwrite each other's gauges."""
    stand(place, a=State.DELIVERED, c=State.HELD)
    report(place)
    assert statsd.sent == {
        "segue.delivered.greet": 1,
        "segue.failed.greet": 0,
        "segue.held.greet": 1,
        "segue.waiting.greet": 0,
        "segue.uncertain.greet": 0,
        "segue.under_way.greet": 0,
        "segue.gaps.greet": 1,
        "segue.action.delivered.greet.mail": 1,
        "segue.action.failed.greet.mail": 0,
        "segue.action.held.greet.mail": 1,
        "segue.action.waiting.greet.mail": 0,
        "segue.action.uncertain.greet.mail": 0,
        "segue.action.under_way.greet.mail": 0,
    }


@pytest.mark.parametrize("form", ["INFLUXDB", "DATADOG"])
def test_statsd_with_tags_has_the_workflow_for_one(place, gauges, monkeypatch, form):
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{form}_ENABLED", "True")
    stand(place, a=State.DELIVERED, c=State.DELIVERED)
    report(place)
    assert gauges.values["segue.delivered", "greet"] == 2
