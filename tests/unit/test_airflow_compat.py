"""What releases of Airflow before the locked one lack; `make matrix` tries them themselves."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from airflow.models.dag import DagModel

from segue import airflow_compat


def test_airflow_3_1_knows_no_teams(monkeypatch):
    if hasattr(DagModel, "get_dag_id_to_team_name_mapping"):
        assert airflow_compat.of_team("blue") == {"team_name": "blue"}
    monkeypatch.delattr(DagModel, "get_dag_id_to_team_name_mapping", raising=False)
    assert airflow_compat.teams_of(["welcome"]) == {}
    assert airflow_compat.of_team(None) == {}


def test_before_3_3_gauges_have_another_place(monkeypatch):
    """The same call, in a class."""
    stats = pytest.importorskip("airflow.sdk.observability.stats", reason="Airflow 3.3 has it")
    told = []
    old = SimpleNamespace(gauge=lambda name, value, tags: told.append((name, value, tags)))
    monkeypatch.delattr(stats, "gauge")
    monkeypatch.setitem(sys.modules, "airflow.stats", SimpleNamespace(Stats=old))
    airflow_compat.set_gauge("segue.gaps", 3, {"workflow": "welcome"})
    assert told == [("segue.gaps", 3, {"workflow": "welcome"})]
