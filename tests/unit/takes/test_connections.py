"""A connection that cannot be used says what to do about it."""

from __future__ import annotations

import json
import sqlite3

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import Connection
from sqlalchemy import NullPool, create_engine

from segue.directory.take_definition import Take
from segue.errors import DataError, SettingsError
from segue.operators.databases import opened_for
from segue.takes.database import opened

from .conftest import MOMENT

TAKE = Take.model_validate(
    {
        "connection": "shop",
        "start": "2026-11-01",
        "tables": {"contacts": {"table": "customers", "knows": "now"}},
    }
)


def test_a_connection_that_is_not_there_says_where_it_may_be(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_SHOP", raising=False)
    with pytest.raises(SettingsError, match=r"no connection 'shop'.* AIRFLOW_CONN_SHOP "):
        opened_for(TAKE)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("snowflake", "; pip install apache-airflow-providers-snowflake"),
        ("unheard_of", "; no provider that is installed has connections of this type"),
    ],
)
def test_a_type_that_nothing_installed_knows_names_its_package(kind, advice, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": kind, "password": "s3cret"}))
    with pytest.raises(SettingsError) as raised:
        opened_for(TAKE)
    told = str(raised.value)
    assert told == f"the connection 'shop' cannot be used: Unknown hook type \"{kind}\"{advice}"


class _OfNoDialect(DbApiHook):
    """As DuckDB's hook is where ``duckdb-engine`` is not installed."""

    conn_name_attr = "shop"

    def get_uri(self) -> str:
        return "unheard_of://reader:s3cret@127.0.0.1/shop"

    @property
    def sqlalchemy_url(self):
        from sqlalchemy import make_url

        return make_url(self.get_uri())


def test_a_database_that_sqlalchemy_has_no_dialect_for_is_no_traceback(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "unheard_of"}))
    monkeypatch.setattr(Connection, "get_hook", lambda _self: _OfNoDialect())
    with pytest.raises(SettingsError, match="install SQLAlchemy's dialect and driver") as raised:
        opened_for(TAKE)
    assert "s3cret" not in str(raised.value)


def test_a_driver_that_does_not_fit_the_dialect_is_no_traceback():
    """As DuckDB's own connection under ``duckdb-engine``, which expects a wrapper of it."""
    engine = create_engine("sqlite://", creator=object, poolclass=NullPool)
    with pytest.raises(DataError, match=r"AttributeError: .*dialect 'sqlite' do not fit"):
        opened(engine, {}).__enter__()


@pytest.mark.parametrize("form", ['{{"conn_type": "sqlite", "host": "{path}"}}', "sqlite://{path}"])
def test_a_file_of_sqlite_is_reached_over_airflows_own_hook(form, tmp_path, monkeypatch):
    """Airflow reads the path of a URL as absolute: three slashes, and not SQLAlchemy's four."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (contact_id TEXT)")
        database.execute("INSERT INTO customers VALUES ('007')")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", form.format(path=path))
    with opened_for(TAKE) as reader:
        (batch,) = reader.batches("contacts", MOMENT, None, ())
    assert batch.to_pylist() == [{"contact_id": "007"}]
