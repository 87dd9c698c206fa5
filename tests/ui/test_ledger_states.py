"""The pages with a ledger that is missing, empty, unreachable, or of another schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from segue.ledger.schema import VERSION_TABLE
from tests.ui.filled import day_key
from tests.ui.test_api import bearer

LOOKED_AT = (
    *("workflows", "workflow?workflow=welcome", "segments", "segment?segment=welcome"),
    *("contact", "contact?id=ann", "requests", "deliveries?workflow=welcome&state=failed"),
    *("task?workflow=welcome&task=mail", "run?workflow=welcome&run=one", "plan?workflow=welcome"),
    *("api/v1/workflows", "api/v1/workflows/welcome/runs", "api/v1/requests"),
)


@pytest.mark.parametrize("state", ["no file", "an empty file"])
def test_without_a_ledger_what_is_defined_is_shown_and_none_is_made(
    client, place, definitions, state
):
    """The preview is what one needs before the first run."""
    definitions("welcome")
    (place / "snapshots/welcome").mkdir(parents=True)
    if state == "an empty file":
        (place / "segue.db").touch()
    for path in LOOKED_AT:
        answer = client("una").get(f"/segue/{path}")
        assert answer.status_code == 200, (path, answer.text)
        if not path.startswith("api/"):
            assert "Nothing is recorded yet" in answer.text
    assert "welcome" in client("una").get("/segue/workflows").text
    assert "data-confirms" not in client("una").get("/segue/workflow?workflow=welcome").text
    assert (place / "segue.db").exists() == (state == "an empty file")


def test_the_first_page_of_a_process_waits_for_nobody_who_writes(client, ledger, definitions):
    """A run of many changes is recorded in one transaction, for minutes; a page only reads."""
    from segue.web import connections

    definitions("welcome")
    connections._ledger.cache_clear()
    with ledger.engine.begin(), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client("una").get, "/segue/workflow?workflow=welcome")
        assert answer.result(timeout=20).status_code == 200


def test_the_preview_is_made_without_a_ledger(client, place, definitions):
    definitions("welcome", policies={"max_age": None})
    for back, contacts in ((2, ["old"]), (1, ["old", "ann"])):
        folder = place / "snapshots/welcome" / day_key(back)
        folder.mkdir(parents=True)
        rows = "".join(f"{name},{name}@example.com,gold\n" for name in contacts)
        (folder / "contacts.csv").write_text(f"contact_id,email,tier\n{rows}")
    text = client("una").get("/segue/plan?workflow=welcome").text
    assert "1 added" in text
    assert '<span class="badge badge-good">send</span>' in text
    assert not (place / "segue.db").exists()


def test_without_a_ledger_nothing_is_done(client, place, definitions):
    definitions("welcome")
    headers = bearer("una")
    for path in ("stop", "go", "retry"):
        answer = client(None).post(f"/segue/{path}", data={"workflow": "welcome"}, headers=headers)
        assert answer.status_code == 503
        assert "There is no ledger yet" in answer.text
        assert str(place) not in answer.text
    path = "/segue/api/v1/workflows/welcome/stop"
    assert client(None).post(path, json={}, headers=headers).status_code == 503
    assert not (place / "segue.db").exists()


def test_an_empty_ledger_shows_what_is_defined(client, ledger, definitions):
    definitions("welcome")
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 200
    assert "welcome" in answer.text
    assert "never" in answer.text


def test_with_nothing_defined_the_page_says_how_to_begin(client, ledger):
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 200
    assert "No workflows yet" in answer.text


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        ("0000", "Restore a backup of the ledger"),
        ("0001", "run: segue db upgrade"),
        ("9999", "install the newer version of Segue"),
    ],
)
def test_another_schema_is_named_and_not_touched(client, ledger, found, remedy):
    """Looking does not migrate, not even SQLite: a task does, or ``segue db upgrade``."""
    with ledger.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :it"), {"it": found})
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 503
    assert f"is at revision {found}" in answer.text
    assert remedy in answer.text
    with ledger.engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == found


def test_an_unreachable_ledger_is_a_page_without_its_password(client, place, monkeypatch):
    url = "postgresql://segue:hunter2@127.0.0.1:1/segue"
    monkeypatch.setenv("SEGUE_LEDGER", url)
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 503
    assert "cannot be used" in answer.text
    for secret in ("hunter2", "127.0.0.1", "postgresql", "Traceback"):
        assert secret not in answer.text


def test_a_ledger_that_breaks_later_is_a_page_too(client, ledger):
    """Opened once, and then its tables are gone."""
    assert client("vera").get("/segue/workflows").status_code == 200
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE deliveries RENAME TO elsewhere"))
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 503
    assert "database cannot be used" in answer.text
    assert "no such table" not in answer.text


def test_a_setting_that_cannot_be_used_is_a_page(client, ledger, monkeypatch):
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "all")
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 503
    assert "SEGUE_UI_CONTACTS is &#39;all&#39;; allowed: edit, read, nobody" in answer.text


def test_a_defect_is_a_page_without_a_trace(client, ledger, definitions, monkeypatch):
    """And with the headers of every other page."""
    definitions("welcome")
    monkeypatch.setattr("segue.web.workflows._listed", lambda *_: 1 / 0)
    answer = client("vera").get("/segue/workflows")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_a_ledger_by_the_name_of_a_connection_is_looked_up(client, place, monkeypatch, caplog):
    """As tasks do, by Airflow's own means; where it is stands in the log alone."""
    monkeypatch.setenv("SEGUE_LEDGER", "airflow://the_ledger")
    answer = client("vera").get("/segue/workflows")
    assert "Airflow has no connection &#39;the_ledger&#39;" in answer.text
    url = "postgresql://segue:hunter2@127.0.0.1:1/segue"
    monkeypatch.setenv("AIRFLOW_CONN_THE_LEDGER", url)
    with caplog.at_level("WARNING"):
        answer = client("vera").get("/segue/workflows")
    assert "database cannot be used" in answer.text
    assert "127.0.0.1" not in answer.text
    assert "the ledger at postgresql+psycopg://segue:***@127.0.0.1:1/segue cannot be" in caplog.text
