"""The ledger's database: one schema, kept by migrations, and clear words when it is another."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from segue.delivery.database import open_engine, require_current_schema, upgrade
from segue.delivery.ledger import Ledger
from segue.delivery.schema import REVISION, metadata
from segue.errors import LedgerError


def test_the_revision_in_the_code_is_the_newest_migration():
    """Otherwise every task would call the schema outdated."""
    config = Config()
    config.set_main_option("script_location", "plugins/segue/delivery/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_the_migrations_make_the_tables_that_the_code_uses(ledger):
    """No column or index differs, on either database."""
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(ledger):
    """``segue db upgrade`` is safe to run at every deployment."""
    assert upgrade(ledger.engine) == upgrade(ledger.engine) == REVISION


def test_sqlite_upgrades_itself(tmp_path):
    """The default ledger needs no set-up."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/new/segue.db", "default")
    assert ledger.list_deliveries() == []


@pytest.mark.postgres
def test_postgresql_without_tables_names_the_command(ledger):
    """Somebody else's database is not changed by a task."""
    if ledger.engine.dialect.name == "sqlite":
        return
    metadata.drop_all(ledger.engine)
    with ledger.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(LedgerError, match=r"has no tables yet.*run: segue db upgrade"):
        require_current_schema(ledger.engine)


def test_a_newer_schema_asks_for_a_newer_segue(ledger):
    """An old worker must not write into a schema it does not know."""
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"at revision 9999.*install the newer version"):
        require_current_schema(ledger.engine)


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
