"""What a trial may reach: look-alikes, and nothing that is anybody's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from segue.cli import trial
from segue.contracts.channel import BUILT_IN
from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.people.protection import copy_protection
from segue.ledger.people.suppressions import SuppressionKind
from segue.sandbox.connections import connections_by_channel
from segue.sandbox.server import Sandbox
from segue.settings import Settings
from segue.workflows.catalog import Catalog


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as running:
        yield running


def resolved(home, **more):
    """The team's workflow with other keys."""
    path = home.include / "workflows/welcome.yaml"
    data = {**yaml.safe_load(path.read_text()), **more}
    data["start"] = str(data["start"])
    path.write_text(yaml.safe_dump(data))
    return Catalog(path.parents[1]).resolve("welcome")


def test_there_is_a_look_alike_for_each_channel_that_comes_with_segue(sandbox):
    assert connections_by_channel(sandbox).keys() == BUILT_IN.keys()


def test_every_connection_that_a_workflow_names_leads_to_the_sandbox(home, sandbox):
    found = trial.connections_of(resolved(home), sandbox)
    assert set(found) == {"slack_default", "zendesk_default", "smtp_default"}
    assert sandbox.url in json.dumps(found["slack_default"])
    assert found["smtp_default"]["port"] == sandbox.smtp_port


def test_a_vendors_own_channel_says_whose_a_connection_is(home, sandbox):
    """``http_request`` may call the vendor's API over the same one."""
    call = {"connection": "zendesk_default", "path": "/x", "json": {}}
    ticket = {"subject": "Call", "comment": "now"}
    actions = [{"id": "call", "http_request": call}, {"id": "ticket", "zendesk_ticket": ticket}]
    found = trial.connections_of(resolved(home, actions=actions), sandbox)
    assert found["zendesk_default"]["host"] == f"{sandbox.url}/zendesk"


def test_what_has_no_look_alike_is_refused_before_anything_runs(home, sandbox):
    request = {
        "connection": "crm",
        "path": "/c/{{ contact.contact_id }}",
        "fields": {"plan": "plan"},
    }
    live = {"http": request}
    with pytest.raises(SettingsError, match="looks contacts up live"):
        trial.connections_of(resolved(home, load=live), sandbox)


def test_a_channel_of_a_team_of_which_nobody_knows_where_it_goes_is_refused(
    home, sandbox, monkeypatch
):
    workflow = resolved(home)
    monkeypatch.setattr(type(workflow.channels["mail"]), "name", "carrier_pigeon")
    with pytest.raises(SettingsError, match="no look-alike of carrier_pigeon"):
        trial.connections_of(workflow, sandbox)


def test_nothing_that_leads_to_somebodys_connections_is_inherited(tmp_path, monkeypatch):
    theirs = {
        "AIRFLOW_CONN_CRM": "theirs",
        "AIRFLOW_CONN_OTHER": "theirs",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": '{"their": "theirs"}',
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////theirs.db",
        "AIRFLOW_CONFIG": "/theirs.cfg",
        "AIRFLOW__SEGUE__LEDGER": "theirs",
        "SEGUE_POOL": "theirs",
    }
    for name, text in theirs.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("SEGUE_RUN_AREAS", "7d")
    settings = Settings(
        home=tmp_path,
        ledger="sqlite:///x",
        state="/s",
        namespace="n",
        secret=None,
        retention=None,
        run_areas=Settings.from_environment().run_areas,
        project="growth",
    )
    environment = trial._environment(settings, {"crm": {"conn_type": "http"}}, tmp_path)
    assert not [text for text in environment.values() if "theirs" in text]
    assert {name for name in environment if name.startswith("AIRFLOW_CONN_")} == {
        "AIRFLOW_CONN_CRM"
    }
    assert environment["AIRFLOW__OPENLINEAGE__DISABLED"] == "True"
    ours = {name: text for name, text in environment.items() if name.startswith("SEGUE_")}
    assert ours == {
        "SEGUE_HOME": str(tmp_path),
        "SEGUE_LEDGER": "sqlite:///x",
        "SEGUE_STATE": "/s",
        "SEGUE_NAMESPACE": "n",
        "SEGUE_PROJECT": "growth",
        "SEGUE_RUN_AREAS": "7d",
    }


def test_a_trials_dag_tells_nobody_asks_nobody_and_waits_for_no_pool(home, monkeypatch):
    notify = {"on_failure": {"notifier": "somebodys.Notifier"}}
    airflow = {"pool": "theirs", "on_failure_callback": "somebodys.function"}
    workflow = resolved(home, notify=notify, airflow=airflow, guard={"at_most": 0})
    dag = trial.trial_dag(workflow.name)
    assert not dag.on_failure_callback
    assert {task.pool for task in dag.tasks} == {"default_pool"}
    assert not any(task.on_failure_callback for task in dag.tasks)
    limits = dag.get_task("guard").workflow.definition.guard
    assert (limits.at_most, limits.share, limits.shrunk_to, limits.stale) == (None,) * 3 + (False,)


def test_who_must_not_be_written_to_is_not_written_to_in_a_trial_either(tmp_path):
    """Nor does a terminal show a message to who was forgotten."""
    secret, now = "a secret of sixteen and more", datetime.now(UTC)
    real, own = (
        Ledger.open(f"sqlite:///{tmp_path / name}", "n", secret) for name in ("real.db", "own.db")
    )
    real.people.suppress(["ann"], "una", "asked", now)
    real.retention.forget("bob", "una", now)
    real.people.quarantine("people", "2026-11-22", reason="half", by="una", now=now)
    copy_protection(real, own)
    assert own.people.suppressed(["ann", "bob", "carl"]) == {
        "ann": SuppressionKind.SUPPRESSED,
        "bob": SuppressionKind.FORGOTTEN,
    }
    assert own.people.quarantined("people") == {"2026-11-22": "half"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_trial_that_is_told_to_end_leaves_nothing(tmp_path, number):
    """Contacts' data is in its folder, and its Airflow would go on without its look-alikes."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "SEGUE_HOME": str(tmp_path / "airflow/include"),
        "TMPDIR": str(temporary),
    }
    segue = str(Path(sys.executable).parent / "segue")
    subprocess.run([segue, "init"], env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [segue, "try", "welcome_gold"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(temporary.glob("segue-try-*/dags/trial.py")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert list(temporary.iterdir()) == []
    assert process.returncode == 130  # as after Ctrl-C
    assert "Traceback" not in words
