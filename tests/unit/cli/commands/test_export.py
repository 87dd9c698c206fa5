"""``segue export``: where to, what it says, and the DAG that does the same."""

from __future__ import annotations

import pytest

from segue.cli.commands.export import export
from segue.dag_builder import all_dags
from segue.errors import SettingsError
from segue.ledger import Ledger
from tests.unit.builders import added, detected, record, run, stretch


@pytest.fixture
def filled(monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path}/segue.db"
    monkeypatch.setenv("SEGUE_LEDGER", url)
    ledger = Ledger.open(url, "default")
    record(ledger, run(), detected(stretch(21, 22), added("a", "b")))


def test_it_says_what_it_has_appended(filled, tmp_path, capsys):
    """And nothing changes by a second one."""
    place = str(tmp_path / "log")
    export(to=place)
    assert capsys.readouterr().out.split() == [
        *f"export 1 to {place}:".split(),
        *["runs", "1", "spans", "1", "changes", "2", "deliveries", "2"],
    ]
    export(to=place)
    assert f"nothing has changed since the last export to {place}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "since", "message"),
    [
        (None, None, "give --to PLACE, or set SEGUE_EXPORT"),
        ("gopher://x", None, "gopher://x cannot be exported to: .*allowed: a folder"),
        ("airflow://nothing", None, "none that is stored in Airflow's database"),
        ("airflow://odd", None, "airflow://odd cannot be exported to: the connection 'odd'"),
        ("airflow://web", None, "one of HttpHook; expected a database"),
        ("/tmp/x", "soon", "--since: "),
    ],
)
def test_what_cannot_be_meant_is_told(filled, monkeypatch, place, since, message):
    monkeypatch.setenv("AIRFLOW_CONN_ODD", "of-no-provider://host")
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://host")
    with pytest.raises(SettingsError, match=message):
        export(to=place, since=since)


def test_there_is_a_dag_for_it_where_a_place_is_set(monkeypatch, tmp_path):
    """Without one there would be nothing to do."""
    file = str(tmp_path / "dags" / "segue_dags.py")
    assert "segue_export" not in all_dags(file)
    monkeypatch.setenv("SEGUE_EXPORT", str(tmp_path))
    assert "segue_export" in all_dags(file)
