"""What a task works with: its ledger, and the refusal of files that hosts do not share."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.utils.types import DagRunType
from sqlalchemy import make_url

from segue.errors import LedgerError, NotSetUp, SettingsError
from segue.ledger.engine import open_engine
from segue.operators import environment


@pytest.fixture
def celery(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")


def test_sqlite_is_refused_where_tasks_run_on_several_hosts(celery, monkeypatch, tmp_path):
    """Each host would have a ledger of its own, and send everything again."""
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path}/segue.db")
    with pytest.raises(SettingsError, match=r"SQLite file, and CeleryExecutor.*Use PostgreSQL"):
        environment.open_ledger()


def test_a_local_state_folder_is_refused_where_tasks_run_on_several_hosts(celery, monkeypatch):
    """A slice written by one worker would not be there for the next."""
    monkeypatch.setenv("SEGUE_LEDGER", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("SEGUE_STATE", "/var/lib/segue")
    with pytest.raises(SettingsError, match=r"local folder /var/lib/segue.*s3://"):
        environment.open_ledger()


def test_one_host_may_keep_both_in_files(monkeypatch, tmp_path):
    """LocalExecutor: the default settings work without any set-up."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path}/segue.db")
    assert environment.open_ledger().queries.list_deliveries() == []


def test_an_airflow_connection_can_hold_the_ledgers_address(monkeypatch):
    """``airflow://conn_id``: the password stays where the other passwords are."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", "postgres://segue:secret@db.example.com:5432/segue")
    found = environment.ledger_url("airflow://ledger")
    assert found == "postgresql://segue:secret@db.example.com:5432/segue"


@pytest.mark.parametrize(
    ("extra", "query"),
    [
        ({}, {}),
        ({"sslmode": "require", "sslrootcert": "/a b/ca.pem"}, ...),
        ({"keepalives_idle": 30, "keepalives": True, "sslsni": False}, ...),
        ({"cursor": "dictcursor", "iam": False, "redshift": False, "aws_conn_id": "aws"}, {}),
        ({"sqlalchemy_query": {"application_name": "x"}, "region_name": "eu"}, {}),
        ({"host": "elsewhere", "password": "other", "dbname": "other", "user": "u"}, {}),
        (
            {"options": "-c statement_timeout=0", "cursor": None},
            {"options": "-c statement_timeout=0"},
        ),
    ],
)
def test_of_a_connections_extras_postgresqls_own_are_passed_on(monkeypatch, extra, query):
    """Whatever else Airflow keeps there, and of whatever type, the ledger opens."""
    fields = {"host": "db", "login": "ann", "password": "p@ss/w:rd", "schema": "segue"}
    connection = {"conn_type": "postgres", **fields, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(connection))
    url = make_url(environment.ledger_url("airflow://ledger"))
    if query is ...:
        query = {key: str(int(v)) if isinstance(v, bool) else str(v) for key, v in extra.items()}
    assert dict(url.query) == query
    assert (url.host, url.database, url.password) == ("db", "segue", "p@ss/w:rd")
    assert open_engine(url.render_as_string(hide_password=False)).url.query == query


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"ssl_mode": "require"}, "'ssl_mode', which PostgreSQL does not know; did you mean 'ssl"),
        ({"SSLMODE": "require"}, "'SSLMODE', which PostgreSQL does not know"),
        ({"sslmode": {"x": "hunter2"}}, "'sslmode' is dict; allowed: a text"),
        ({"iam": True}, "iam: true; a password cannot be fetched"),
    ],
)
def test_extras_that_would_be_lost_are_an_error(monkeypatch, extra, message):
    """A connection without TLS is not what somebody wanted who wrote ``ssl_mode``."""
    connection = {"conn_type": "postgres", "host": "db", "password": "hunter2", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(connection))
    with pytest.raises(SettingsError, match=message) as caught:
        environment.ledger_url("airflow://ledger")
    assert "hunter2" not in str(caught.value)


def test_a_socket_is_a_host_too(monkeypatch):
    """libpq takes the folder of the server's socket for a host."""
    connection = {"conn_type": "postgres", "host": "/var/run/postgresql", "schema": "segue"}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(connection))
    url = make_url(environment.ledger_url("airflow://ledger"))
    assert (url.host, url.query) == (None, {"host": "/var/run/postgresql"})


@pytest.mark.parametrize("kind", ["mysql", "sqlite", "http"])
def test_a_connection_to_something_else_is_refused(monkeypatch, kind):
    """With what is allowed."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": kind, "host": "db"}))
    with pytest.raises(SettingsError, match=f"of type '{kind}'; allowed: postgres"):
        environment.ledger_url("airflow://ledger")


@pytest.mark.parametrize(("seconds", "word"), [(31, "ahead of"), (-31, "behind"), (-4e5, "behind")])
def test_a_host_whose_clock_is_another_than_the_ledgers_is_refused(seconds, word):
    """It would think others dead in the middle of their calls, or be thought dead."""
    with pytest.raises(LedgerError, match=rf"clock is {abs(seconds):.0f} s {word} that of"):
        environment.refuse_another_time(timedelta(seconds=seconds))
    environment.refuse_another_time(timedelta(seconds=29 if seconds > 0 else -29))


@pytest.mark.parametrize(("status", "paused"), [(404, False), (500, None)])
def test_a_workflow_without_a_dag_of_its_name_is_not_paused(status, paused):
    """Where Airflow does not answer, nobody may say that it is not: the task is tried again."""

    def get_dag(dag_id):
        detail = {"status_code": status}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))

    context = {"ti": SimpleNamespace(get_dag=get_dag)}
    if paused is None:
        with pytest.raises(AirflowRuntimeError):
            environment.is_paused("by_hand", context)
    else:
        assert environment.is_paused("by_hand", context) is paused


_SCHEDULE = (datetime(2026, 11, 2, 6, tzinfo=UTC), datetime(2026, 11, 3, 6, tzinfo=UTC))


@pytest.mark.parametrize("kind", list(DagRunType))
@pytest.mark.parametrize("given", [_SCHEDULE, (_SCHEDULE[1], _SCHEDULE[1]), (None, None)])
def test_only_the_schedules_own_runs_have_an_interval(kind, given):
    """For every other run Airflow infers the last whole interval, which was covered long ago."""
    dag_run = SimpleNamespace(
        run_id="r",
        run_type=kind,
        data_interval_start=given[0],
        data_interval_end=given[1],
        clear_number=2,
    )
    run = environment.run_of("greet", {"dag_run": dag_run})
    own = kind in ("scheduled", "backfill") and given == _SCHEDULE
    assert run.interval == (_SCHEDULE if own else None)
    assert (run.is_backfill, run.clear_number) == (kind == "backfill", 2)


@pytest.mark.parametrize("given", [_SCHEDULE, (_SCHEDULE[1], _SCHEDULE[1])])
def test_a_dags_test_is_of_the_date_that_it_is_given(given):
    """Its type is that of a run which a person triggers; a workflow may have no schedule."""
    dag_run = SimpleNamespace(
        run_id="r",
        run_type=DagRunType.MANUAL,
        triggering_user_name="dag_test",
        logical_date=_SCHEDULE[1],
        data_interval_start=given[0],
        data_interval_end=given[1],
        clear_number=0,
    )
    run = environment.run_of("greet", {"dag_run": dag_run})
    dag_run.run_id = "of the next start"
    assert environment.run_of("greet", {"dag_run": dag_run}) == run
    dag_run.conf = {"previous": "2026-11-01", "current": "2026-11-02", "deliver": True}
    other = environment.run_of("greet", {"dag_run": dag_run})
    assert other.run_id == f"{run.run_id} previous=2026-11-01 current=2026-11-02"
    assert run.interval == (_SCHEDULE if given == _SCHEDULE else None)
    assert run.until == _SCHEDULE[1]


@pytest.mark.parametrize("missing", ["SEGUE_LEDGER", "SEGUE_STATE"])
def test_what_several_hosts_need_and_nobody_set_is_not_set_up(celery, monkeypatch, missing):
    """A run of a workflow fails for it; Segue's own DAGs wait."""
    if missing == "SEGUE_STATE":
        monkeypatch.setenv("SEGUE_LEDGER", "postgresql://127.0.0.1:1/none")
    with pytest.raises(NotSetUp, match=f"^{missing} is not set; by default"):
        environment.open_ledger()
