"""What a task works with: its ledger, and the refusal of files that hosts do not share."""

from __future__ import annotations

import pytest

from segue.errors import SettingsError
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
    assert environment.open_ledger().list_deliveries() == []


def test_an_airflow_connection_can_hold_the_ledgers_address(monkeypatch):
    """``airflow://conn_id``: the password stays where the other passwords are."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", "postgres://segue:secret@db.example.com:5432/segue")
    found = environment.ledger_url("airflow://ledger")
    assert found == "postgres://segue:secret@db.example.com:5432/segue"
