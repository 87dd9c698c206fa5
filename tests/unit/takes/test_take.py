"""What a take publishes is what the database's own client shows, whole or not at all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pyarrow.parquet as pq
import pytest
from upath import UPath

from segue.directory.column_kinds import ColumnKind
from segue.directory.manifest import MANIFEST
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.operators.databases import opened_for
from segue.takes import publication
from segue.takes.moments import Moment
from segue.takes.take import take_snapshot

from .conftest import CUSTOMERS, MOMENT, POSTGRESQL, Shop

LATER = Moment("2026-11-24", datetime(2026, 11, 25, tzinfo=UTC))


def ids(tables):
    return tables.contacts()["contact_id"].tolist()


def test_the_rows_are_those_of_the_day(shop):
    result = shop.take(CUSTOMERS)
    assert (result.key, result.rows, result.is_own) == ("2026-11-22", 2, True)
    contacts = shop.snapshot(CUSTOMERS).contacts()
    assert contacts["contact_id"].tolist() == ["007", "8"]
    assert contacts["first_name"].fillna("").tolist() == ["Ann", ""]
    shop.take(CUSTOMERS, LATER)
    assert ids(shop.snapshot(CUSTOMERS, LATER.key)) == ["007", "8", "9"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_first_take_makes_the_folder(shop):
    shop.root /= "not/yet"
    directory = shop.definition(CUSTOMERS)
    assert list_snapshots(directory, now=datetime.now(UTC)) == []
    shop.take(CUSTOMERS)
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_the_manifest_says_what_was_read(shop):
    shop.take(CUSTOMERS)
    manifest = json.loads((shop.root / MOMENT.key / MANIFEST).read_text())
    [(name, size)] = manifest["files"].items()
    assert size == (shop.root / MOMENT.key / name).stat().st_size
    assert manifest["rows"] == {"contacts": 2}
    assert (manifest["as_of"], manifest["is_one_view"]) == ("2026-11-23T00:00:00+00:00", True)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_a_driver_gives_little_by_little_is_read_in_large_groups(shop):
    shop.execute("CREATE TABLE many (id TEXT)")
    shop.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 230000) "
        "INSERT INTO many SELECT 'CID_' || i FROM n"
    )
    shop.take({"contacts": "SELECT id AS contact_id FROM many WHERE :as_of IS NOT NULL"})
    [name] = [name for name in shop.files() if name.endswith(".parquet")]
    footer = pq.read_metadata(f"{shop.root.path}{name}")
    groups = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
    assert groups == [100_000, 100_000, 30_000]


def test_a_snapshot_that_is_there_is_left_as_it_is(shop):
    shop.take(CUSTOMERS)
    shop.execute("DELETE FROM customers WHERE id = '8'")
    before = shop.files()
    result = shop.take(CUSTOMERS)
    assert not result.is_own
    assert str(result) == "snapshot 2026-11-22 is there already; nothing was written"
    assert shop.files() == before
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_it_is_replaced_where_a_person_says_so(shop):
    shop.take(CUSTOMERS)
    shop.execute("DELETE FROM customers WHERE id = '8'")
    assert shop.take(CUSTOMERS, replaces=True).is_own
    assert ids(shop.snapshot(CUSTOMERS)) == ["007"]
    assert len(shop.files()) == 2  # what was the snapshot is gone


def test_the_time_of_the_snapshot_before_can_be_asked_for(shop):
    shop.take(CUSTOMERS)
    tables = {"contacts": CUSTOMERS["contacts"] + " AND since > :previous"}
    shop.take(tables, LATER)
    assert ids(shop.snapshot(tables, LATER.key)) == ["9"]


def test_a_table_is_read_whole(shop):
    tables = {"contacts": {"table": "customers", "knows": "now"}}
    with pytest.raises(DataError, match="contact_id"):
        shop.take(tables)
    shop.execute("ALTER TABLE customers RENAME COLUMN id TO contact_id")
    shop.take(tables)
    assert ids(shop.snapshot(tables)) == ["007", "8", "9"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT nothing FROM customers WHERE since < :as_of",
            "take.tables.contacts: the database",
        ),
        ("SELECT id AS contact_id, 'a' AS contact_id FROM customers WHERE since < :as_of", "AS"),
        ("SELECT '7' AS contact_id FROM customers WHERE since < :as_of", "nothing is published"),
        ("SELECT id AS contact_id FROM customers WHERE since < :as_of AND 1 = 0", "no rows"),
        ("SELECT id FROM customers WHERE since < :as_of", "contact_id"),
    ],
)
def test_what_no_run_could_use_is_not_published(shop, query, message):
    with pytest.raises(DataError, match=message):
        shop.take({"contacts": query})
    assert shop.files() == []
    assert list_snapshots(shop.definition(CUSTOMERS), now=datetime.now(UTC)) == []


def test_a_trial_publishes_nothing(shop):
    result = shop.take(CUSTOMERS, publishes=False)
    assert str(result).startswith("not published: 2026-11-22: 2 rows")
    assert shop.files() == []


def test_of_two_at_once_the_first_to_end_is_the_snapshot(shop):
    """The second reads whole, and then deletes what it wrote."""
    inner = []

    def take_meanwhile(self):
        if not inner:
            inner.append(None)
            inner[0] = shop.take(CUSTOMERS)
            shop.execute("DELETE FROM customers")
        return sizes(self)

    sizes = publication.Publication.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication.Publication, "sizes", take_meanwhile)
        outer = shop.take(CUSTOMERS)
    assert inner[0].is_own
    assert not outer.is_own
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]
    assert len(shop.files()) == 2


def test_who_is_ended_after_the_manifest_has_published(shop, monkeypatch):
    """What comes after it, tidying up, may be cut off or fail: the snapshot's files stay."""

    def ended(*_):
        raise SystemExit

    monkeypatch.setattr(publication.Publication, "_clear_away", ended)
    with pytest.raises(SystemExit):
        shop.take(CUSTOMERS)
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_a_trial_over_a_snapshot_that_is_there_tells_what_is_wrong(shop):
    shop.take(CUSTOMERS)
    with pytest.raises(DataError, match="the database says"):
        shop.take(
            {"contacts": "SELECT nothing FROM customers WHERE since < :as_of"}, publishes=False
        )
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_many_at_once_publish_one(shop):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: shop.take(CUSTOMERS), range(8)))
    assert sum(result.is_own for result in results) == 1
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]
    assert len(shop.files()) == 2


def test_two_that_replace_at_once_leave_one_whole(shop):
    shop.take(CUSTOMERS)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: shop.take(CUSTOMERS, replaces=True), range(6)))
    assert all(result.is_own for result in results)
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_what_an_ended_take_left_is_never_read(shop):
    """It is deleted once there is a manifest, for then nobody can publish it any more."""
    stray = publication.Publication(shop.root / MOMENT.key, replaces=False)
    shop.take(CUSTOMERS, LATER)
    [path] = [shop.root / path.lstrip("/") for path in shop.files() if "parquet" in path]
    content = path.read_bytes()
    left = shop.root / MOMENT.key / "contacts" / f"part-{stray._token}-0000.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(content)
    [item, _] = list_snapshots(shop.definition(CUSTOMERS), now=datetime.now(UTC))
    assert "no manifest _segue.json: it is being taken, or a take of it was ended" in str(
        item.why_incomplete
    )
    shop.take(CUSTOMERS)
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]
    assert not left.exists()
    left.write_bytes(content)  # one that is still writing when another has published
    assert ids(shop.snapshot(CUSTOMERS)) == ["007", "8"]


def test_a_file_that_is_gone_or_another_makes_it_incomplete(shop):
    shop.take(CUSTOMERS)
    [path] = [shop.root / name.lstrip("/") for name in shop.files() if "parquet" in name]
    content = path.read_bytes()
    for change in (lambda: path.write_bytes(content + b"x"), path.unlink):
        change()
        [item] = list_snapshots(shop.definition(CUSTOMERS), now=datetime.now(UTC))
        assert "a file that its manifest _segue.json names" in str(item.why_incomplete)
    (shop.root / MOMENT.key / MANIFEST).write_text("{}")
    with pytest.raises(DataError, match="is no manifest of a snapshot"):
        [item] = list_snapshots(shop.definition(CUSTOMERS), now=datetime.now(UTC))
        assert item.complete


def test_the_same_holds_in_an_object_store(shop):
    remote = Shop(UPath("memory://takes/snapshots"), shop.engine)
    remote.root.mkdir(parents=True)
    try:
        assert remote.take(CUSTOMERS).is_own
        assert not remote.take(CUSTOMERS).is_own
        late = publication.Publication(remote.root / MOMENT.key, replaces=False)
        assert not late._create(b"{}")
        assert remote.take(CUSTOMERS, replaces=True).is_own
        assert ids(remote.snapshot(CUSTOMERS)) == ["007", "8"]
        assert len(remote.files()) == 2
    finally:
        remote.root.fs.rm("/takes", recursive=True)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_column_of_several_kinds_is_text(shop):
    """SQLite keeps any value in any column; a batch of numbers does not decide for all."""
    shop.execute("CREATE TABLE things (id, value)")
    with shop.engine.begin() as connection:
        values = [*range(25_000), "007", "1.50"]
        connection.exec_driver_sql(
            "INSERT INTO things VALUES (?, ?)", [(f"c{n}", each) for n, each in enumerate(values)]
        )
    tables = {"contacts": "SELECT id AS contact_id, value FROM things WHERE :as_of > ''"}
    shop.take(tables)
    contacts = shop.snapshot(tables).contacts(["value"]).set_index("contact_id")["value"]
    assert (contacts["c0"], contacts["c25000"], contacts["c25001"]) == ("0", "007", "1.50")
    assert len(shop.files()) == 2


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_values_are_those_that_the_client_shows(shop):
    expressions = {
        "spent": "1.10::numeric + g / 1000.0",
        "much": "12345678901234567890123::numeric",
        "no_number": "'NaN'::numeric",
        "at": "timestamptz '2026-11-20 12:00+02' + g * interval '1 second'",
        "local": "timestamp '2026-11-20 12:00:00.123456'",
        "born": "date '1980-02-29'",
        "flag": "g % 2 = 0",
        "facts": """'{"a": "ü", "b": [1, null]}'::jsonb""",
        "tags": "ARRAY['x', NULL]",
        "key": "'5b1f0000-0000-0000-0000-000000000007'::uuid",
        "photo": r"'\xff00'::bytea",
        "late": "CASE WHEN g > 24000 THEN g::bigint END",
        "long": "repeat('ä', 10000)",
    }
    columns = ", ".join(f"{sql} AS {name}" for name, sql in expressions.items())
    query = (
        f"SELECT lpad(g::text, 7, '0') AS contact_id, {columns} "
        "FROM generate_series(1, 25000) g WHERE :as_of > timestamptz '2026-01-01'"
    )
    tables = {"contacts": query}
    shop.take(tables)
    snapshot = shop.snapshot(tables)
    kinds = snapshot.kinds("contacts")
    columns = [name for name in expressions if name != "photo"]
    row = snapshot.contacts(columns).set_index("contact_id").loc["0000001"]
    assert row["spent"] == Decimal("1.101")
    assert row["much"] == Decimal(12345678901234567890123)
    assert snapshot.contacts(["no_number"])["no_number"].isna().all()
    assert row["at"] == datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC)
    assert row["local"].to_pydatetime() == datetime(2026, 11, 20, 12, 0, 0, 123456)  # noqa: DTZ001
    assert row["born"] == date(1980, 2, 29)
    assert not row["flag"]
    assert json.loads(row["facts"]) == {"a": "ü", "b": [1, None]}
    assert json.loads(row["tags"]) == ["x", None]
    assert row["key"] == "5b1f0000-0000-0000-0000-000000000007"
    assert kinds["photo"] == ColumnKind.BYTES
    assert len(row["long"]) == 10000
    assert snapshot.contacts(["late"])["late"].max() == 25000
    assert kinds["at"] == ColumnKind.INSTANT
    assert kinds["late"] == ColumnKind.NUMBER


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_all_tables_are_of_one_instant(shop):
    """What is committed while the first table is read is in neither."""
    tables = {
        "contacts": {"query": "SELECT id AS contact_id FROM customers", "knows": "now"},
        "transactions": {
            "query": "SELECT id AS contact_id, since AS date FROM customers",
            "knows": "now",
        },
    }
    part = publication.Publication.part

    def part_meanwhile(self, table, schema):
        if table == "contacts":
            shop.execute("INSERT INTO customers VALUES ('10', 'Eve', '2026-11-20')")
        return part(self, table, schema)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication.Publication, "part", part_meanwhile)
        shop.take(tables)
    assert shop.snapshot(tables).count("transactions") == 3
    assert shop.snapshot(tables).count("contacts") == 3


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_a_value_that_the_database_refuses_is_in_no_error(shop):
    with pytest.raises(DataError) as error:
        shop.take(
            {"contacts": "SELECT name::int AS contact_id FROM customers WHERE since < :as_of"}
        )
    assert "Ann" not in str(error.value)
    assert "invalid input syntax for type integer: '…'" in str(error.value)


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
@pytest.mark.parametrize(
    "expression",
    [
        "('Ann \"sec' || 'ret\" x')::int",
        "(E'Ann\\n' || 'secret')::int",
        "to_date('Ann' || name, 'YYYY')",  # of which ADBC's driver tells between two batches
        "xmlparse(document 'Ann' || name)",
    ],
)
def test_nor_is_one_with_quotes_and_lines_in_it(shop, expression):
    query = f"SELECT id AS contact_id, {expression} AS x FROM customers WHERE since < :as_of"
    with pytest.raises(DataError, match="the database says of a value") as error:
        shop.take({"contacts": query})
    assert "Ann" not in str(error.value)
    assert "secret" not in str(error.value)
    assert shop.files() == []


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
@pytest.mark.parametrize(
    "expression",
    [
        "'infinity'::date",
        "'-infinity'::timestamptz",
        "'infinity'::timestamp",
        "'0044-03-15 BC'::date",
        "'12000-01-01'::timestamptz",
        "time '24:00'",
    ],
)
def test_a_date_that_no_reader_can_show_is_refused(shop, expression):
    """ADBC's driver makes other times of them: of infinity one before all others."""
    query = f"SELECT id AS contact_id, {expression} AS until FROM customers WHERE since < :as_of"
    with pytest.raises(DataError, match=r"column 'until' has a date|the database says of a value"):
        shop.take({"contacts": query})
    assert shop.files() == []


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_what_stands_for_something_else_than_its_number_is_not_that_number(shop):
    columns = "12.5::money AS paid, 4294967295::oid AS big, time with time zone '12:30+02' AS open"
    tables = {
        "contacts": f'SELECT id AS contact_id, {columns}, 1 AS "50%" FROM customers '
        "WHERE since < :as_of::timestamptz AND (ARRAY[1, 2])[1:2] = ARRAY[1, 2] "
        """AND '{"a":1}'::jsonb @> '{"a":1}'::jsonb"""
    }
    shop.take(tables)
    row = shop.snapshot(tables).contacts(["paid", "big", "open", "50%"]).iloc[0]
    assert (row["paid"], row["big"], row["50%"]) == ("$12.50", 4294967295, 1)
    assert row["open"].startswith("12:30:00+02")


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_blanks_in_a_connection_are_blanks(shop, monkeypatch):
    """In a password, too, which no error is to show; libpq takes a plus sign for a plus sign."""
    with shop.engine.connect() as connection:
        user = connection.exec_driver_sql("SELECT current_user").scalar_one()
    url = shop.engine.url
    fields = {"host": url.host, "port": url.port, "schema": url.database, "login": user}
    extra = {"application_name": "takes + more"}
    fields |= {"conn_type": "postgres", "password": "a b+c%/@ d", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(fields))
    query = "SELECT current_setting('application_name') AS name"
    take = shop.definition({"contacts": {"query": query, "knows": "now"}}).take
    with opened_for(take) as reader:
        [batch] = reader.batches("contacts", MOMENT, None, ())
    assert batch.to_pylist() == [{"name": "takes + more"}]


def test_a_full_disk_is_told(shop, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publication.pq.ParquetWriter, "write_table", full)
    with pytest.raises(DataError, match=r"the folder .* cannot be written: .*No space left"):
        shop.take(CUSTOMERS)
    assert shop.files() == []


def test_an_old_snapshot_keeps_its_marker(shop):
    """A folder that was written otherwise, before the directory took its own."""
    folder = shop.root / "2026-11-20"
    folder.mkdir()
    (folder / "contacts.csv").write_text("contact_id\n1\n")
    definition = shop.definition(CUSTOMERS)
    [item] = list_snapshots(definition, now=datetime.now(UTC))
    assert not item.complete
    [item] = list_snapshots(
        shop.definition(CUSTOMERS, complete_marker="_SUCCESS"), now=datetime.now(UTC)
    )
    assert item.why_incomplete == "no marker file _SUCCESS"
    (folder / "_SUCCESS").touch()
    [item] = list_snapshots(
        shop.definition(CUSTOMERS, complete_marker="_SUCCESS"), now=datetime.now(UTC)
    )
    assert item.complete


@pytest.mark.parametrize("options", [{"publishes": False}, {"replaces": True}])
def test_a_take_over_a_snapshot_of_other_making_adds_nothing_to_it(shop, monkeypatch, options):
    """While it goes on, and where it was killed: a table of part files would have rows twice."""
    marked = {"complete_marker": "_SUCCESS"}
    shop.take(CUSTOMERS)
    [name] = [each for each in shop.files() if "parquet" in each]
    folder = shop.root / "2026-11-20"
    (folder / "contacts").mkdir(parents=True)
    (shop.root / name.lstrip("/")).rename(folder / "contacts" / "0.parquet")
    (folder / "_SUCCESS").touch()

    def killed(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(publication.Publication, "sizes", killed)
    monkeypatch.setattr(publication.Publication, "withdraw", lambda _self: None)
    definition = shop.definition(CUSTOMERS, **marked)
    moment = Moment("2026-11-20", datetime(2026, 11, 21, tzinfo=UTC))
    with pytest.raises(KeyboardInterrupt):
        take_snapshot(
            definition, moment, partial(shop.connect, CUSTOMERS), remark=lambda _: None, **options
        )
    assert len(list((folder / "contacts").iterdir())) == 2
    [item, _] = list_snapshots(definition, now=datetime.now(UTC))
    assert item.complete, item.why_incomplete
    assert ids(SnapshotTables(definition, item)) == ["007", "8"]
