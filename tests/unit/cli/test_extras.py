"""Whoever uses what an extra brings, without it, is told its name in a sentence."""

from __future__ import annotations

import sys

import pytest

from segue import extras
from segue.demo.__main__ import main
from segue.errors import LedgerError, SettingsError
from segue.extras import connection_of, require_storage, storage_path
from segue.ledger.engine import open_engine
from segue.runs.areas import RunArea
from segue.segments.membership.store import MembershipStore

PLACES = [("s3://b/x", "s3"), ("gs://b/x", "gcs"), ("abfss://c@a/x", "azure")]


@pytest.fixture
def without(monkeypatch):
    """A function that makes packages as good as not installed."""

    def hide(*packages: str) -> None:
        for name in [*sys.modules]:
            if name.startswith(tuple(f"{package}." for package in packages)):
                monkeypatch.delitem(sys.modules, name)
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in packages else name)

    return hide


@pytest.mark.parametrize(("place", "extra"), PLACES)
@pytest.mark.parametrize("use", [storage_path, RunArea, MembershipStore])
def test_storage_needs_its_client(without, place, extra, use):
    without("s3fs", "gcsfs", "adlfs")
    with pytest.raises(SettingsError, match=rf"not installed: pip install .*\[{extra}\]"):
        use(place)


@pytest.mark.parametrize("use", [storage_path, RunArea, MembershipStore])
def test_a_connection_that_is_not_there_is_told_and_nothing_else_is_taken(without, use):
    """Not what the environment has of credentials."""
    without()
    with pytest.raises(SettingsError, match=r"Airflow has no connection 'lake'.*AIRFLOW_CONN_LAKE"):
        use("s3://lake@bucket/shop")


@pytest.mark.parametrize(
    ("place", "conn_id"),
    [
        ("s3://lake@bucket/shop", "lake"),
        ("s3://lake@bucket.with.dots/shop", "lake"),
        ("gs://google_cloud@bucket", "google_cloud"),
        ("abfs://lake@container/shop", "lake"),
        ("abfs://container@account.dfs.core.windows.net/shop", None),
        ("s3://key:secret@host/shop", None),
        ("s3://bucket/a@b", None),
        ("ftp://ann@example.com/shop", None),
        ("/var/a@b", None),
    ],
)
def test_which_connection_a_storages_url_names(place, conn_id):
    assert connection_of(place) == conn_id


@pytest.mark.parametrize("place", ["/var/lib/segue", "file:///var", "memory://x", "s3/x"])
def test_other_places_need_nothing(without, place):
    without("s3fs", "gcsfs", "adlfs")
    require_storage(place)


def test_a_directory_in_s3_says_which_extra(without, home, segue):
    """The storage's own complaint would name a package that has to fit another one's version."""
    without("s3fs")
    home.define("directories", "people", "directory: people\nsnapshots: s3://bucket/people\n")
    answer = segue("snapshots", "people")
    assert answer.code == 2
    assert "storage at s3:// needs the package s3fs" in answer.err
    assert "airflow-segue[s3]" in answer.err


def test_delta_tables_need_their_library(without, home, segue):
    without("deltalake")
    lake = "lake: {format: delta, tables: {contacts: ../people}}"
    home.define("directories", "people", f"directory: people\n{lake}\n")
    answer = segue("snapshots", "people")
    assert answer.code == 2
    assert "a Delta table needs the package deltalake" in answer.err
    assert "airflow-segue[delta]" in answer.err


def test_iceberg_tables_need_their_library(without, home, segue):
    without("pyiceberg")
    lake = "lake: {format: iceberg, catalog: crm, tables: {contacts: crm.people}}"
    home.define("directories", "people", f"directory: people\n{lake}\n")
    answer = segue("snapshots", "people")
    assert answer.code == 2
    assert "an Iceberg table needs the package pyiceberg" in answer.err
    assert "airflow-segue[iceberg]" in answer.err


def test_a_ledger_in_postgresql_needs_psycopg(without):
    without("psycopg")
    with pytest.raises(LedgerError, match=r"needs the package psycopg, .*segue\[postgres\]"):
        open_engine("postgresql://segue@127.0.0.1/segue")


@pytest.fixture
def no_servers(without, monkeypatch):
    """No package that the sandbox's servers need, and no module that has imported it before."""
    without("uvicorn")
    for name in ("segue.sandbox.server", "segue.demo.run"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_sandbox_needs_its_servers(no_servers, segue):
    answer = segue("sandbox")
    assert answer.code == 2
    assert "segue sandbox needs the package uvicorn" in answer.err
    assert "airflow-segue[sandbox]" in answer.err


def test_so_does_the_demo(no_servers, capsys):
    assert main([]) == 2
    assert "the demo needs the package uvicorn" in capsys.readouterr().err
