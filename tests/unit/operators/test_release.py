"""segue_release's tasks: what goes wrong after a run is told, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import URL, text, update

from segue.airflow_compat import AirflowException, AirflowFailException, AirflowSkipException
from segue.dag_builder import housekeeping_dag, release_dag
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import Run, Wishes
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.ledger.schema import VERSION_TABLE, deliveries, metadata
from segue.ledger.states import State
from segue.operators import FindWork, KeepHouse, Resume, TryOut
from segue.segments.membership.store import MembershipStore
from tests.unit.builders import planned_again
from tests.unit.channels.support import mail_server

ANN = "ann@host"
WORKFLOW = """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-01
policies: {max_age: null POLICIES}
report: {max_failed: MAX_FAILED}
notify:
  on_failure:
    notifier: tests.airflow.told.FileNotifier
    path: TOLD
    text: "{{ report | join(' / ') }}"
actions:
  - id: mail
    email: {subject: hello, text: "for {{ contact.contact_id }}"}
"""
DEFINITIONS = {
    "directories/customers": (
        "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
}


class Release:
    """A workflow whose mail of yesterday is held and due, and segue_release's tasks."""

    def __init__(self, root: Path, policies: str = "", max_failed: int = 0) -> None:
        self.root, self.home = root, root / "include"
        engine = open_engine(f"sqlite:///{root / 'segue.db'}")
        upgrade(engine)
        self.ledger = Ledger(engine, "test")
        text = WORKFLOW.replace("POLICIES", policies).replace("MAX_FAILED", str(max_failed))
        texts = {**DEFINITIONS, "workflows/welcome": text.replace("TOLD", str(root / "told"))}
        for name, written in texts.items():
            path = self.home / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(written)
        for key, tier in (("2026-11-21", "silver"), ("2026-11-22", "gold")):
            folder = self.home / "snapshots" / key
            folder.mkdir(parents=True)
            row = f"a,a@example.com,{tier}\n"
            (folder / "contacts.csv").write_text("contact_id,email,tier\n" + row)
            (folder / "_SUCCESS").touch()
        self.paused = False
        self.dag_file: str | None = None
        self.project: str | None = None
        self._hold()

    def _hold(self) -> None:
        from segue.runs.context import RunContext
        from segue.runs.span_detection import detect
        from segue.workflows.catalog import Catalog

        now = datetime.now(UTC)
        resolved = Catalog(self.home).resolve("welcome")
        store = MembershipStore(str(self.root / "state"))
        wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
        run = Run("welcome", "run-1")
        found = detect(RunContext(resolved, run, self.ledger, now, wishes), store)
        self.ledger.runs.release([span.id for span in found.spans], now)
        self.let_hold(since=now)

    def let_hold(self, since: datetime) -> None:
        held = {"held_until": since, "held_since": since, "reason": "quiet_hours"}
        with self.ledger.engine.begin() as connection:
            connection.execute(update(deliveries).values(state=State.HELD, **held))

    def dag(self, workflow: str) -> SimpleNamespace:
        return SimpleNamespace(is_paused=self.paused)

    def run(self) -> list[str]:
        """One run of segue_release; returns how its tasks of actions failed."""
        dag = SimpleNamespace(fileloc=self.dag_file) if self.dag_file else None
        context = {"ti": SimpleNamespace(id="x", try_number=1, get_dag=self.dag), "dag": dag}
        problems = []
        for work in FindWork(task_id="find_work", project=self.project).execute(context):
            try:
                Resume(task_id="resume", work=work, project=self.project).execute(context)
            except (AirflowException, AirflowFailException) as error:
                problems.append(str(error))
        return problems

    @property
    def outcomes(self) -> set[str]:
        rows = self.ledger.queries.list_deliveries()
        return {f"{row.outcome}:{row.reason}".rstrip(":") for row in rows}

    @property
    def told(self) -> list[str]:
        path = self.root / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Let mails go to a server that answers as it is told; settings are this test's."""
    for name, value in {
        "SEGUE_HOME": tmp_path / "include",
        "SEGUE_LEDGER": f"sqlite:///{tmp_path / 'segue.db'}",
        "SEGUE_STATE": tmp_path / "state",
        "SEGUE_NAMESPACE": "test",
    }.items():
        monkeypatch.setenv(name, str(value))

    def use(port: int) -> None:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
        fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(fields))

    return use


@pytest.mark.parametrize(
    ("replies", "held_for", "outcome", "told"),
    [
        ({"rcpt": b"550 5.1.1 no such user"}, 0, "failed", "1 failed"),
        ({"content": None}, 0, "uncertain", "1 uncertain"),
        ({}, 49, "skipped:expired", "1 expired"),
    ],
)
def test_what_goes_wrong_after_its_run_is_told_once(
    tmp_path, served, replies, held_for, outcome, told
):
    """Refused, in doubt, or held for too long: the task fails and ``on_failure`` hears of it."""
    quiet = ', quiet_hours: {from: "03:00", to: "03:01", expires: 48h}'
    release = Release(tmp_path, quiet if held_for else "")
    release.let_hold(since=datetime.now(UTC) - timedelta(hours=held_for, minutes=1))
    with mail_server(**replies) as port:
        served(port)
        [problem] = release.run()
        [found] = release.outcomes
        assert found.startswith(outcome)
        line = f"welcome mail: {told} after the end of run run-1"
        assert line in problem
        assert release.told == [line]
        assert release.run() == []
    assert len(release.told) == 1


def test_what_is_due_is_sent_by_the_definitions_beside_the_dag_file(tmp_path, served, monkeypatch):
    """Of a DAG bundle, the newest; the task's Airflow knows no others."""
    release = Release(tmp_path)
    with mail_server() as port:
        served(port)
        monkeypatch.delenv("SEGUE_HOME")
        [problem] = release.run()
        assert "welcome mail is not defined" in problem
        assert release.outcomes == {"held:quiet_hours"}
        release.dag_file = str(tmp_path / "dags/segue_release.py")
        release.let_hold(since=datetime.now(UTC) - timedelta(minutes=1))
        assert release.run() == []
    assert release.outcomes == {"delivered"}


def test_failures_that_the_runs_report_allows_are_not_told(tmp_path, served):
    release = Release(tmp_path, max_failed=1)
    with mail_server(rcpt=b"550 5.1.1 no such user") as port:
        served(port)
        assert release.run() == []
    assert release.told == []


AWAY: dict[str, Callable[[Path], object]] = {
    "the folder": shutil.rmtree,
    "all of its files": lambda home: [path.unlink() for path in home.rglob("*.yaml")],
    "the workflow": lambda home: (home / "workflows/welcome.yaml").unlink(),
    "the segment": lambda home: (home / "segments/gold.yaml").unlink(),
    "the directory": lambda home: (home / "directories/customers.yaml").unlink(),
    "the action": lambda home: (home / "workflows/welcome.yaml").write_text(
        (home / "workflows/welcome.yaml").read_text().replace("id: mail", "id: other")
    ),
    "half of a file": lambda home: (home / "workflows/welcome.yaml").write_text("workflow: wel"),
    "a file that is no YAML yet": lambda home: os.truncate(home / "segments/gold.yaml", 0),
}


@pytest.mark.parametrize("away", AWAY)
def test_what_is_held_waits_while_its_definition_is_away(tmp_path, served, away):
    """A volume is not mounted, or a folder half copied: the task fails, and it goes out later."""
    release = Release(tmp_path)
    shutil.copytree(release.home, tmp_path / "kept")
    AWAY[away](release.home)
    [problem] = release.run()
    assert str(release.home) in problem
    assert release.outcomes == {"held:quiet_hours"}
    shutil.rmtree(release.home, ignore_errors=True)
    shutil.copytree(tmp_path / "kept", release.home)
    with mail_server() as port:
        served(port)
        assert release.run() == []
    assert release.outcomes == {"delivered"}


TOLD = "welcome mail: 1 failed after the end of run run-1"


def failed_untold(release: Release) -> None:
    """The worker ended after it had written the outcome down, and before it told anybody."""
    values = {"state": State.FAILED, "reason": "550", "untold": 1}
    with release.ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(**values, held_until=None, held_since=None))


@pytest.mark.parametrize("away", AWAY)
def test_what_went_wrong_is_told_while_its_definition_is_away(tmp_path, served, away):
    """Whom to tell, the newest recorded definition says."""
    release = Release(tmp_path)
    failed_untold(release)
    AWAY[away](release.home)
    [problem] = release.run()
    assert TOLD in problem
    assert release.told == [TOLD]
    assert release.run() == []
    assert release.told == [TOLD]


def test_failures_that_a_definition_allowed_which_is_away_are_not_told(tmp_path, served):
    release = Release(tmp_path, max_failed=1)
    failed_untold(release)
    shutil.rmtree(release.home)
    assert TOLD not in release.run()[0]
    assert release.told == []
    assert release.run() == []


def test_what_no_notifier_could_tell_is_told_by_the_next_run(tmp_path, served):
    """Its task fails each time, and what was told stays so."""
    release = Release(tmp_path)
    failed_untold(release)
    (tmp_path / "told").mkdir()
    assert release.run() == release.run() == [TOLD]
    (tmp_path / "told").rmdir()
    assert release.run() == [TOLD]
    assert release.told == [TOLD]
    assert release.run() == []


def test_an_action_that_was_removed_for_good_is_dropped_and_may_come_back(tmp_path, served):
    """``segue drop`` ends it; clearing the run from detect_changes takes that back."""
    release = Release(tmp_path)
    path = release.home / "workflows/welcome.yaml"
    path.rename(tmp_path / "kept")
    assert "segue drop welcome --action mail" in release.run()[0]
    meant = Selection("welcome", "mail")
    number = release.ledger.people.file_request(RequestKind.DROP, meant, ANN, datetime.now(UTC))
    assert release.run() == []
    assert release.ledger.people.find_request(number).outcome == "1 dropped"
    assert release.outcomes == {"suppressed:dropped"}
    (tmp_path / "kept").rename(path)
    [span] = release.ledger.runs.all_spans("welcome")
    planned_again(release.ledger, span.id)
    assert release.outcomes == {"planned"}


LEFT = {  # by what is asked for: what a removed action's delivery becomes, and when it is over
    "drop": {
        State.HELD: "suppressed:dropped",
        State.UNCERTAIN: "uncertain:because",
        State.SENDING: "uncertain:nobody was asked: it was dropped",
    },
    "settle": {State.UNCERTAIN: "delivered:settled by ann@host"},
    "settle, and drop": {State.UNCERTAIN: "suppressed:dropped"},
    "retry, and drop": {State.FAILED: "suppressed:dropped"},
}


@pytest.mark.parametrize(
    ("asked", "state"), [(asked, state) for asked in LEFT for state in LEFT[asked]]
)
def test_what_is_left_of_a_removed_action_can_be_ended(tmp_path, served, asked, state):
    """Whatever it stands in, a person's word ends it: segue_release is quiet afterwards."""
    release = Release(tmp_path)
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    values = {"state": state, "reason": "because", "held_until": None, "held_since": None}
    if state in (State.HELD, State.UNCERTAIN):  # the latter is to be sent once more
        values["held_until"] = long_ago
    if state is State.SENDING:
        values |= {"owner": "dead", "lease_until": long_ago, "called_at": long_ago}
    with release.ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(values))
    path = release.home / "workflows/welcome.yaml"
    path.write_text(path.read_text().replace("id: mail", "id: other"))
    if state is not State.FAILED:  # a failure is told by its run
        [problem] = release.run()
        assert "1 deliveries that are held, waiting or in doubt" in problem
    now, meant = datetime.now(UTC), Selection("welcome", "mail")
    if asked.startswith("settle"):
        how = Settlement.NOT_DELIVERED if asked.endswith("drop") else Settlement.DELIVERED
        release.ledger.people.file_request(RequestKind.SETTLE, meant, ANN, now, how)
    if asked.startswith("retry"):
        release.ledger.people.file_request(RequestKind.RETRY, meant, ANN, now)
    if asked.endswith(", and drop"):
        assert "is not defined" in release.run()[0]
    if asked.endswith("drop"):
        release.ledger.people.file_request(RequestKind.DROP, meant, ANN, now)
    assert release.run() == []
    assert release.outcomes == {LEFT[asked][state]}
    assert release.ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


def test_nothing_of_a_paused_workflow_is_sent(tmp_path, served):
    release = Release(tmp_path)
    release.paused = True
    with mail_server() as port:
        served(port)
        assert release.run() == []
        assert release.outcomes == {"held:quiet_hours"}
        release.paused = False
        assert release.run() == []
    assert release.outcomes == {"delivered"}


# ---- before Segue is set up, and the ledger's upgrade without a shell -------------------------


@pytest.fixture
def bare(monkeypatch, tmp_path) -> Path:
    """An Airflow in which nobody has set anything: its home."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    return tmp_path / "airflow"


def own_task(kind: type, conf: dict | None = None):
    """Execute a task of Segue's own DAGs; ``conf`` is what a person triggered it with."""
    task = kind(task_id=kind.__name__.lower())
    run = SimpleNamespace(conf=conf, run_id="r", run_type="manual")
    ti = SimpleNamespace(id="x", try_number=1)
    return task.execute({"ti": ti, "dag": None, "dag_run": run, "params": conf or {}})


OWN = [FindWork, TryOut, KeepHouse]
UNSET = {
    "one host": ({}, "there is no ledger at .*; the first run of a workflow makes it"),
    "several hosts": (
        {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"},
        "SEGUE_LEDGER is not set; by default SEGUE_LEDGER is a SQLite file, and CeleryExecutor",
    ),
    "no place for states": (
        {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "SEGUE_LEDGER": "postgresql://127.0.0.1:1/none",
        },
        "SEGUE_STATE is not set; by default SEGUE_STATE is the local folder",
    ),
}


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("state", UNSET)
def test_before_anything_is_set_up_nothing_fails_and_the_reason_is_told(
    bare, monkeypatch, kind, state
):
    """The DAGs are on from the moment their files are copied."""
    settings, message = UNSET[state]
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AirflowSkipException, match=f"nothing can be due yet: {message}"):
        own_task(kind)
    assert not bare.exists()


@pytest.mark.postgres
@pytest.mark.parametrize("kind", OWN)
def test_a_database_without_tables_is_one_that_is_not_set_up(bare, monkeypatch, tables, kind):
    """And the message says what makes them, with a shell and without."""
    monkeypatch.setenv("SEGUE_LEDGER", tables)
    with pytest.raises(AirflowSkipException, match=r"no tables yet.*segue db upgrade.*upgrade_led"):
        own_task(kind)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize(
    "settings",
    [
        {"SEGUE_LEDGER": "sqlite:////tmp/x.db", "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"},
        {"SEGUE_LEDGER": "postgresql://127.0.0.1:1/none"},
        {"SEGUE_LEDGER": "mysql://127.0.0.1/x"},
        {"SEGUE_LEDGER": "airflow://nobody_has_it"},
    ],
)
def test_what_is_set_and_wrong_fails(bare, monkeypatch, kind, settings):
    """Somebody wants it to work, and nothing of it would be sent."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AirflowException) as caught:
        own_task(kind)
    assert not isinstance(caught.value, AirflowSkipException)


@pytest.fixture
def tables(new_database: URL) -> str:
    """A database on PostgreSQL in which nobody has made the tables."""
    url = new_database.render_as_string(hide_password=False)
    engine = open_engine(url)
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    engine.dispose()
    return url


@pytest.mark.postgres
def test_the_ledger_is_upgraded_without_a_shell_by_who_asks(bare, monkeypatch, tables):
    """The nightly run does not: an upgrade is a person's word."""
    monkeypatch.setenv("SEGUE_LEDGER", tables)
    with pytest.raises(AirflowSkipException):
        own_task(KeepHouse, {"upgrade_ledger": False})
    assert own_task(KeepHouse, {"upgrade_ledger": True}) == {"run_areas": 0, "unfinished_files": 0}
    assert own_task(FindWork) == []
    engine = open_engine(tables)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(AirflowException, match=r"at revision 9999.*install the newer version"):
        own_task(KeepHouse, {"upgrade_ledger": True})


def test_an_upgrade_that_is_asked_for_and_cannot_be_is_not_passed_over(bare, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    with pytest.raises(AirflowFailException, match="SEGUE_LEDGER is not set"):
        own_task(KeepHouse, {"upgrade_ledger": True})


def test_a_misspelt_wish_for_an_upgrade_is_told(bare):
    with pytest.raises(AirflowFailException, match=r"'upgrade'; allowed: upgrade_ledger"):
        own_task(KeepHouse, {"upgrade": True})


def test_a_task_that_airflow_could_not_start_is_tried_again_before_it_is_an_alarm():
    """What may be done again; what is due is tried by the next run, a test message never twice."""
    tasks = {**housekeeping_dag().task_dict, **release_dag().task_dict}
    retries = {name: task.retries for name, task in tasks.items()}
    assert retries == {"keep_house": 2, "find_work": 2, "resume": 0, "try_out": 0}


# ---- several projects in one ledger -----------------------------------------------------------


def test_what_another_project_holds_is_left_alone_whatever_is_defined_here(
    tmp_path, served, monkeypatch
):
    """A worker that lacks the definition ends nothing, drops nothing, and is no alarm."""
    release = Release(tmp_path)
    release.ledger.runs.claim("welcome", "growth")
    home = tmp_path / "growth/include"
    shutil.move(release.home, home)
    release.home.mkdir()
    assert release.run() == []
    assert release.outcomes == {"held:quiet_hours"}
    release.dag_file, release.project = str(tmp_path / "growth/dags/growth.py"), "growth"
    with mail_server() as port:
        served(port)
        assert release.run() == []
    assert release.outcomes == {"delivered"}


def test_a_workflow_of_the_same_name_in_another_project_sends_nothing_of_it(tmp_path, served):
    """Both have a file welcome.yaml: the run that began is whose it is."""
    release = Release(tmp_path)
    release.ledger.runs.claim("welcome", "growth")
    with mail_server() as port:
        served(port)
        work = {"workflow": "welcome", "action": "mail"}
        ti = SimpleNamespace(id="x", try_number=1, get_dag=release.dag)
        with pytest.raises(AirflowFailException, match="is the project growth's"):
            Resume(task_id="resume", work=work).execute({"ti": ti, "dag": None})
    assert release.outcomes == {"held:quiet_hours"}


def test_a_project_carries_out_the_checks_that_its_own_people_ask_for(tmp_path, served):
    release = Release(tmp_path)
    people, now = release.ledger.people, datetime.now(UTC)
    mine, other = people.file_check([], ANN, now), people.file_check([], ANN, now, "growth")
    own_task(TryOut)
    assert people.find_request(mine).done_at is not None
    assert people.find_request(other).done_at is None
    assert people.open_trials("growth") == [people.find_request(other)]
