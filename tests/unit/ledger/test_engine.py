"""The ledger's database: one schema, kept by migrations, and clear words when it is another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, inspect, text

from segue.errors import LedgerError
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, require_current_schema, shown, upgrade
from segue.ledger.facts import SpanTaken
from segue.ledger.schema import REVISION, REVISIONS, VERSION_TABLE, metadata
from segue.ledger.states import State
from tests.unit.builders import NOW, added, detected, record, run, stretch


@pytest.fixture
def database(new_database: URL) -> URL:
    """These tests change tables and settings, not rows alone."""
    return new_database


def test_the_revision_in_the_code_is_the_newest_migration():
    """Otherwise every task would call the schema outdated."""
    config = Config()
    config.set_main_option("script_location", "plugins/segue/ledger/migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == REVISION
    assert tuple(each.revision for each in scripts.walk_revisions())[::-1] == REVISIONS


def test_the_migrations_make_the_tables_that_the_code_uses(ledger):
    """No column or index differs, on either database."""
    with ledger.engine.connect() as connection:
        assert _differences(connection) == []


def test_upgrading_twice_changes_nothing(ledger):
    """``segue db upgrade`` is safe to run at every deployment."""
    assert upgrade(ledger.engine) == upgrade(ledger.engine) == REVISION


def test_sqlite_upgrades_itself(tmp_path):
    """The default ledger needs no set-up."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/new/segue.db", "default")
    assert ledger.queries.list_deliveries() == []


@pytest.mark.postgres
def test_postgresql_without_tables_names_the_command(ledger):
    """Somebody else's database is not changed by a task."""
    if ledger.engine.dialect.name == "sqlite":
        return
    metadata.drop_all(ledger.engine)
    with ledger.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    with pytest.raises(LedgerError, match=r"has no tables yet.*run: segue db upgrade"):
        require_current_schema(ledger.engine)


def test_a_newer_schema_asks_for_a_newer_segue(ledger):
    """An old worker must not write into a schema it does not know."""
    with ledger.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"at revision 9999.*install the newer version"):
        require_current_schema(ledger.engine)


def test_a_newer_schema_is_not_upgraded_either(ledger):
    """``segue db upgrade`` of an old version says so, as every other command does."""
    with ledger.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"at revision 9999.*install the newer version"):
        upgrade(ledger.engine)


@pytest.mark.parametrize("revision", ["0000", "0002", "0007", ""])
@pytest.mark.parametrize("use", [require_current_schema, upgrade])
def test_a_revision_that_no_release_has_made_is_a_sentence(ledger, revision, use):
    """As of a ledger from before the first release, or of a row that somebody mended by hand."""
    with ledger.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))
    with pytest.raises(LedgerError, match=f"at revision {revision}, which no release of Segue"):
        use(ledger.engine)


def test_two_revisions_at_once_are_a_sentence_too(ledger):
    """As of a backup that was read into a ledger, and not into an empty database."""
    with ledger.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')"))
    for use in (require_current_schema, upgrade):
        with pytest.raises(LedgerError, match=f"at revision 0001 and {REVISION}, which no release"):
            use(ledger.engine)


def migrate(ledger: Ledger, revision: str) -> None:
    """Empty the database, and bring it to a revision."""
    metadata.drop_all(ledger.engine)
    with ledger.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        config = Config()
        config.set_main_option("script_location", "plugins/segue/ledger/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


# what a ledger of revision 0001 holds after one run; later revisions upgrade it
ROWS_OF_0001 = """
INSERT INTO definitions VALUES ('h', 'welcome', '{}', '2026-11-22 06:00:00');
INSERT INTO workflows (namespace, workflow) VALUES ('test', 'welcome');
INSERT INTO runs (id, namespace, workflow, run_id, outcome, reason, recorded_only, recorded_at)
VALUES (1, 'test', 'welcome', 'run-1', 'recorded', '', 0, '2026-11-22 06:00:00');
INSERT INTO spans (id, run, namespace, workflow, segment, kind, reason, previous_key, current_key,
previous_as_of, current_as_of, previous_fingerprint, current_fingerprint, previous_size,
current_size, definition, recorded_at)
VALUES (1, 1, 'test', 'welcome', 'vip', 'changes', '', '2026-11-21', '2026-11-22',
'2026-11-21 00:00:00', '2026-11-22 00:00:00', 'a', 'b', 1, 3, 'h', '2026-11-22 06:00:00');
INSERT INTO changes VALUES (1, 'ann', 'added', ''), (1, 'bob', 'added', '');
INSERT INTO deliveries (key, namespace, workflow, action, contact_id, change, snapshot, span,
channel, event_at, state, reason, external_id, results, attempts, waits_for, planned_at,
called_at, delivered_at, updated_at)
VALUES ('k1', 'test', 'welcome', 'mail', 'ann', 'added', '2026-11-22', 1, 'email',
'2026-11-22 00:00:00', 'delivered', '', 'T-1', '{"id": "T-1"}', 1, NULL, '2026-11-22 06:00:00',
'2026-11-22 06:01:00', '2026-11-22 06:01:01', '2026-11-22 06:01:01'),
('k2', 'test', 'welcome', 'call', 'bob', 'added', '2026-11-22', 1, '',
'2026-11-22 00:00:00', 'skipped', 'after: mail failed', NULL, NULL, 0, 'mail',
'2026-11-22 06:00:00', NULL, NULL, '2026-11-22 06:01:02'),
('k3', 'test', 'welcome', 'mail', 'bob', 'added', '2026-11-22', 1, 'email',
'2026-11-22 00:00:00', 'released', 'refused (whose fault is open): crm answered 403',
NULL, NULL, 1, NULL, '2026-11-22 06:00:00', '2026-11-22 06:01:00', NULL, '2026-11-22 06:01:03');
"""


def test_a_ledger_of_the_first_schema_is_upgraded_with_its_deliveries(ledger):
    """From here on every migration has to bring these rows along."""
    migrate(ledger, "0001")
    with ledger.engine.begin() as connection:
        for statement in filter(str.strip, ROWS_OF_0001.split(";")):
            connection.exec_driver_sql(statement)
    assert upgrade(ledger.engine) == REVISION
    require_current_schema(ledger.engine)
    with ledger.engine.connect() as connection:
        assert _differences(connection) == []
    rows = ledger.deliveries.rows(["k1", "k2", "k3"])
    assert (rows["k1"].state, rows["k1"].results) == (State.DELIVERED, {"id": "T-1"})
    assert (rows["k2"].state, rows["k2"].reason) == (State.SKIPPED, "after: mail failed")
    refused_at = datetime(2026, 11, 22, 6, 1, 3, tzinfo=UTC)
    assert [row.refused_at for row in rows.values()] == [None, None, refused_at]
    [span] = ledger.runs.all_spans("welcome")
    assert span.stretch.keys == ("2026-11-21", "2026-11-22")
    deliver_before = text("UPDATE deliveries SET contact_id = 'bob' WHERE key = 'k1'")
    with ledger.engine.begin() as connection:
        connection.execute(deliver_before)
    assert ledger.deliveries.actions_with_work(NOW) == [("welcome", "call")]


def test_another_programs_revision_is_left_alone(ledger):
    """A ledger may stand in Airflow's own database, be it made before or after."""
    metadata.drop_all(ledger.engine)
    with ledger.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('29ce7909c52b')"))
    assert upgrade(ledger.engine) == REVISION
    require_current_schema(ledger.engine)
    with ledger.engine.connect() as connection:
        assert connection.scalar(text("SELECT * FROM alembic_version")) == "29ce7909c52b"


def test_tables_of_another_program_are_told_and_left_alone(ledger):
    """Names such as ``workflows`` and ``requests`` are anybody's; a schema of its own helps."""
    metadata.drop_all(ledger.engine)
    with ledger.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        connection.execute(text("CREATE TABLE requests (path VARCHAR(32))"))
        connection.execute(text("CREATE TABLE workflows (name VARCHAR(32))"))
    message = r"the tables requests, workflows already.*a schema of its own"
    with pytest.raises(LedgerError, match=message):
        upgrade(ledger.engine)
    with ledger.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"requests", "workflows"}


@pytest.mark.postgres
def test_a_schema_of_its_own_holds_the_ledger_beside_other_tables(database):
    """By the URL's options, as the message says."""
    engine = open_engine(database.render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA segue"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    own = database.update_query_dict({"options": "-csearch_path=segue"})
    engine = open_engine(own.render_as_string(hide_password=False))
    assert upgrade(engine) == REVISION
    require_current_schema(engine)
    engine.dispose()


@pytest.mark.slow
def test_the_ledger_shares_airflows_database(ledger, tmp_path):
    """Both migrate into one database: on SQLite the ledger first, on PostgreSQL Airflow."""
    airflow_first = ledger.engine.dialect.name == "postgresql"
    if airflow_first:
        metadata.drop_all(ledger.engine)
        with ledger.engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": ledger.engine.url.render_as_string(
            hide_password=False
        ),
    }
    migrate = [str(Path(sys.executable).parent / "airflow"), "db", "migrate"]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    assert upgrade(ledger.engine) == REVISION
    require_current_schema(ledger.engine)
    with ledger.engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
    assert {"dag_run", "alembic_version", VERSION_TABLE, "deliveries"} <= names


@pytest.mark.postgres
@pytest.mark.parametrize("default", ["repeatable read", "serializable"])
def test_every_transaction_reads_what_is_committed(ledger, default):
    """A server's default may be another; then a lock that was waited for would show old rows."""
    if ledger.engine.dialect.name == "sqlite":
        return
    _set_default(ledger.engine, "default_transaction_isolation", default)
    for transaction in (ledger._read, ledger._write):
        with transaction() as connection:
            found = connection.scalar(text("SHOW transaction_isolation"))
            assert found == "read committed"


@pytest.mark.postgres
def test_two_runs_at_once_take_no_time_twice_whatever_the_servers_default(ledger):
    """The second waits for the workflow's lock, and then sees what the first recorded."""
    if ledger.engine.dialect.name == "sqlite":
        return
    _set_default(ledger.engine, "default_transaction_isolation", "repeatable read")
    begun, go_on = Event(), Event()

    class Slow(list):
        def __iter__(self):
            begun.set()
            assert go_on.wait(120)
            return super().__iter__()

    first = replace(detected(stretch(2, 4)), changes=Slow(added("a")))
    record(ledger, run("earlier"), detected(stretch(1, 2)))
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(record, ledger, run("one"), first)
        assert begun.wait(120)
        two = pool.submit(record, ledger, run("two"), detected(stretch(2, 3), added("a")))
        time.sleep(0.5)
        go_on.set()
        one.result()
        with pytest.raises(SpanTaken):
            two.result()


@pytest.mark.postgres
def test_no_statement_is_prepared_in_one_session(ledger):
    """Behind a pooler the next transaction has another: psycopg would prepare after five."""
    if ledger.engine.dialect.name == "sqlite":
        return
    for _ in range(8):
        assert ledger.people.list_requests() == []
    with ledger._read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_an_option_of_the_url_wins_and_is_not_shown():
    """Options may hold a password; a timeout of one's own is obeyed."""
    engine = open_engine("postgresql://segue@127.0.0.1:1/none?connect_timeout=3&password=hidden")
    assert shown(engine) == "postgresql+psycopg://segue@127.0.0.1:1/none"
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        require_current_schema(engine)
    assert "hidden" not in str(caught.value)


def _differences(connection):
    options = {"version_table": VERSION_TABLE}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def _set_default(engine, name, value):
    with engine.begin() as connection:
        database = engine.url.database
        connection.execute(text(f"ALTER DATABASE {database} SET {name} = '{value}'"))
    engine.dispose()  # new sessions have it


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///segue.db", "allowed: an absolute path"),
        ("sqlite://", "allowed: an absolute path"),
        ("postgresql://u:se@cret@127.0.0.1/x", "percent-encoded"),
        ("postgresql://u:p@127.0.0.1:port/x", "percent-encoded"),
        ("nonsense", "SEGUE_LEDGER is not a database URL"),
        ("mysql://localhost/x", "cannot be kept in mysql; allowed: sqlite, postgresql"),
    ],
)
def test_a_url_that_cannot_be_a_ledger_is_refused(url, message):
    """With what is allowed."""
    with pytest.raises(LedgerError, match=message):
        open_engine(url)


def test_an_unreachable_database_is_an_error_without_its_password():
    """The message may end in a log."""
    engine = open_engine("postgresql://segue:hidden@127.0.0.1:1/none")
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        require_current_schema(engine)
    assert "hidden" not in str(caught.value)


def test_the_clock_of_a_postgresql_ledger_is_its_servers(ledger):
    """A file is read by the host's own clock."""

    def clock(*hours: float):
        """A host's clock that is ahead by so many hours, each time it is read."""
        ahead = iter(hours)
        return lambda: datetime.now(UTC) + timedelta(hours=next(ahead))

    on_a_server = ledger.engine.dialect.name == "postgresql"
    assert (ledger.clock_ahead(clock(5, 5)) > timedelta(hours=4)) == on_a_server
    assert (ledger.clock_ahead(clock(-5, -5)) < timedelta(hours=-4)) == on_a_server
    # an answer that took an hour, through a pooler's queue, says nothing of the clock
    assert ledger.clock_ahead(clock(-0.5, 0.5)) == timedelta()
    assert abs(ledger.clock_ahead(clock(0, 0))) < timedelta(seconds=20)
