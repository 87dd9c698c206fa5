"""Exports: whatever changed is there, each change once, whoever writes or dies meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from sqlalchemy import create_engine, delete, select, text, update
from sqlalchemy.dialects import mysql

from segue.errors import DataError, LedgerError, SettingsError
from segue.ledger import Ledger
from segue.ledger.facts import Finished
from segue.ledger.feed_columns import FEED
from segue.ledger.schema import deliveries, feeds
from segue.ledger.states import State
from segue.upkeep.exports.database_tables import DatabaseTables, _exact
from segue.upkeep.exports.export import Destination, Exported
from segue.upkeep.exports.export import export as export_now
from segue.upkeep.exports.parquet_folder import ParquetFolder
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    record,
    run,
    set_secret,
    stretch,
)


def export(ledger: Ledger, *arguments: Any, **options: Any) -> Exported:
    """Export once whatever was written before can be told to be committed.

    Transactions of other tests, in other databases of the server, hold that up while they last.
    """
    if ledger.engine.dialect.name == "postgresql":
        until = time.monotonic() + 60
        with ledger.engine.begin() as connection:
            newest = connection.scalar(text("SELECT txid_current()"))
        oldest = text("SELECT txid_snapshot_xmin(txid_current_snapshot())")
        while time.monotonic() < until:
            with ledger.engine.connect() as connection:
                if connection.scalar(oldest) > newest:
                    break
            time.sleep(0.05)
    return export_now(ledger, *arguments, **options)


class Folder:
    """A folder of Parquet files and what a reader sees in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.destination: Destination = ParquetFolder(str(path))

    def rows(self, table: str) -> list[dict[str, Any]]:
        files = sorted(str(each) for each in (self.path / "test" / table).glob("*.parquet"))
        return ds.dataset(files).to_table().to_pylist() if files else []


class Tables:
    """The tables of a database and what a reader sees in them."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}/warehouse.db")
        self.destination: Destination = DatabaseTables(self.engine, "warehouse")

    def rows(self, table: str) -> list[dict[str, Any]]:
        self.destination.metadata.create_all(self.engine)
        with self.engine.connect() as connection:
            query = select(self.destination.tables[table])
            return [dict(row) for row in connection.execute(query).mappings()]


@pytest.fixture(params=[Folder, Tables])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | Tables:
    return request.param(tmp_path)


def newest(place: Folder | Tables, table: str = "deliveries") -> Mapping[Any, dict[str, Any]]:
    """The newest row per key, as docs/watching.md says that it is found."""
    rows = sorted(place.rows(table), key=lambda row: row["export"])
    return {tuple(row[name] for name in FEED[table].key): row for row in rows}


def in_ledger(ledger: Ledger) -> dict[tuple[str], str]:
    with ledger.engine.connect() as connection:
        query = select(deliveries.c.key, deliveries.c.state)
        return {(row.key,): row.state for row in connection.execute(query)}


def states(place: Folder | Tables) -> dict[tuple[str], str]:
    return {key: row["state"] for key, row in newest(place).items()}


def released(ledger: Ledger, *contacts: str) -> list[str]:
    ids = record(ledger, run(), detected(stretch(21, 22), added(*contacts)))
    ledger.runs.release(ids, NOW)
    return [ledger.key("welcome", "mail", each, "added", "2026-11-22") for each in contacts]


def test_everything_comes_first_and_then_what_changed(ledger, place):
    """One row per contact, and a delivery again once its state is another."""
    keys = released(ledger, "a", "b")
    first = export(ledger, place.destination, NOW)
    assert (first.number, dict(first.rows)) == (
        1,
        {"runs": 1, "spans": 1, "changes": 2, "deliveries": 2},
    )
    assert export(ledger, place.destination, NOW).number is None  # nothing changed
    mine = {"owner": "me", "now": NOW, "lease_until": NOW + timedelta(minutes=5)}
    ledger.deliveries.claim(keys[:1], **mine)
    advance(ledger, [], keys[:1], **mine)
    advance(ledger, [Finished(keys[0], State.DELIVERED, external_id="T-1")], [], **mine)
    second = export(ledger, place.destination, NOW)
    assert (second.number, second.rows["deliveries"], second.rows["changes"]) == (2, 1, 0)
    assert states(place) == in_ledger(ledger)
    assert newest(place)[keys[0],]["external_id"] == "T-1"
    assert [row["export"] for row in place.rows("deliveries")].count(1) == 2


def test_values_come_as_the_schema_says(ledger, place):
    """Numbers are numbers, truth is truth, and times are instants in UTC."""
    released(ledger, "a")
    export(ledger, place.destination, NOW)
    [row], [run_row], [span] = (place.rows(name) for name in ("deliveries", "runs", "spans"))
    planned_at: datetime = row["planned_at"]
    assert planned_at.replace(tzinfo=NOW.tzinfo) == NOW
    assert (row["resent"], row["attempts"], run_row["recorded_only"]) == (False, 0, False)
    assert (row["span"], span["run"]) == (span["span"], run_row["run"])


def test_a_renewed_lease_is_no_change(ledger, place):
    """Heartbeats would have a row exported each time."""
    keys = released(ledger, "a")
    mine = {"owner": "me", "lease_until": NOW + timedelta(minutes=5)}
    ledger.deliveries.claim(keys, now=NOW, **mine)
    export(ledger, place.destination, NOW)
    ledger.deliveries.renew(**mine)
    assert export(ledger, place.destination, NOW).number is None


def test_a_change_that_is_recorded_again_is_none(ledger, place):
    """A cleared run records what it had recorded."""
    released(ledger, "a")
    export(ledger, place.destination, NOW)
    span = detected(stretch(21, 22), added("a"))
    [row] = ledger.runs.all_spans("welcome")
    ledger.runs.record_again(run(), [(row, span)], ("mail",), DEFINITION, NOW, recorded_only=False)
    assert export(ledger, place.destination, NOW).rows["changes"] == 0


def test_what_is_committed_late_is_not_lost(ledger, place):
    """It was written before the export began, and by a clock that is behind."""
    if ledger.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    keys = released(ledger, "a", "b")
    export(ledger, place.destination, NOW)
    late = update(deliveries).where(deliveries.c.key == keys[0])
    soon = update(deliveries).where(deliveries.c.key == keys[1])
    long_ago = NOW - timedelta(days=1)
    with ledger.engine.begin() as slow:
        slow.execute(late.values(state="skipped", updated_at=long_ago))
        with ledger.engine.begin() as quick:
            quick.execute(soon.values(state="skipped"))
        export_now(ledger, place.destination, NOW)
    export(ledger, place.destination, NOW)
    assert states(place) == {(key,): "skipped" for key in keys}
    assert len(place.rows("deliveries")) == 4


def test_only_one_export_at_a_time(ledger, place):
    """Two would both begin where the last one ended."""
    released(ledger, "a")
    with (
        ledger.feed.export("somewhere", lambda: None),
        ledger.feed.export("elsewhere", lambda: None)
        if ledger.engine.dialect.name != "sqlite"
        else ledger._read(),
        pytest.raises(LedgerError, match="another export to this destination is under way"),
        ledger.feed.export("somewhere", lambda: None),
    ):
        pass
    assert export(ledger, place.destination, NOW).number == 1


def test_a_first_export_may_leave_old_things_out(ledger, place):
    """Later ones go on where it ended."""
    keys = released(ledger, "a", "b")
    with ledger.engine.begin() as connection:
        old = update(deliveries).where(deliveries.c.key == keys[0])
        connection.execute(old.values(updated_at=NOW - timedelta(days=9)))
    first = export(ledger, place.destination, NOW, since=NOW - timedelta(days=1))
    assert first.rows["deliveries"] == 1
    with pytest.raises(SettingsError, match=r"has 1 exports already.*--since is for the first"):
        export(ledger, place.destination, NOW, since=NOW)


def test_a_forgotten_contact_is_taken_out(ledger, place):
    """The rows that name the contact go; those under its pseudonym come."""
    set_secret(ledger, "a long secret text")
    released(ledger, "who", "b")
    export(ledger, place.destination, NOW)
    ledger.retention.forget("who", "me", NOW)
    again = export(ledger, place.destination, NOW)
    assert again.erasures == 2  # a change and a delivery
    for name in ("changes", "deliveries"):
        contacts = sorted(row["contact_id"] for row in place.rows(name))
        assert contacts[0] == "b"
        assert len(contacts) == 2
        assert contacts[1].startswith("forgotten:")
    assert "who" not in str(place.rows("changes")) + str(place.rows("deliveries"))
    assert states(place) == in_ledger(ledger)
    assert export(ledger, place.destination, NOW).number is None


def test_who_is_forgotten_and_not_erased_yet_is_left_out(ledger, place):
    """As while a delivery is under way: its row comes once it has its pseudonym."""
    set_secret(ledger, "a long secret text")
    keys = released(ledger, "who", "b")
    mine = {"owner": "me", "now": NOW, "lease_until": NOW + timedelta(minutes=5)}
    ledger.deliveries.claim(keys[:1], **mine)
    with pytest.raises(LedgerError, match="under way"):
        ledger.retention.forget("who", "me", NOW)
    export(ledger, place.destination, NOW)
    assert [row["contact_id"] for row in place.rows("deliveries")] == ["b"]
    ledger.deliveries.give_back("me", NOW)
    ledger.retention.forget("who", "me", NOW)
    export(ledger, place.destination, NOW)
    assert states(place) == in_ledger(ledger)


def test_a_ledger_from_a_backup_is_exported_once_more(ledger, place):
    """What happened since would otherwise be taken for what is there already."""
    keys = released(ledger, "a")
    export(ledger, place.destination, NOW)
    with ledger.engine.connect() as connection:
        backup = [dict(row) for row in connection.execute(select(feeds)).mappings()]
    change = update(deliveries).where(deliveries.c.key == keys[0])
    for _ in range(2):
        with ledger.engine.begin() as connection:
            connection.execute(change.values(state="failed"))
        export(ledger, place.destination, NOW)
    with ledger.engine.begin() as connection:  # the backup comes back
        connection.execute(delete(feeds))
        connection.execute(feeds.insert(), backup)
        connection.execute(change.values(state="released", changed_in=0))
    again = export(ledger, place.destination, NOW)
    assert (again.is_whole, again.rows["deliveries"]) == (True, 1)
    assert states(place) == in_ledger(ledger)


def test_a_ledger_on_another_server_is_exported_once_more(ledger, place):
    """There, numbers of transactions begin anew, and are smaller."""
    if ledger.engine.dialect.name == "sqlite":
        pytest.skip("its numbers are in the file")
    keys = released(ledger, "a", "b")
    export(ledger, place.destination, NOW)
    with ledger.engine.begin() as connection:  # as a dump brings it, from a busier server
        high = "txid_current() + 1000000"
        connection.execute(text(f"UPDATE feed_clock SET number = {high}"))
        connection.execute(text(f"UPDATE deliveries SET changed_in = {high}"))
    again = export(ledger, place.destination, NOW)
    assert (again.is_whole, again.rows["deliveries"]) == (True, 2)
    assert export(ledger, place.destination, NOW).number is None
    with ledger.engine.begin() as connection:
        connection.execute(
            update(deliveries).where(deliveries.c.key == keys[0]).values(state="failed")
        )
    assert export(ledger, place.destination, NOW).rows["deliveries"] == 1
    assert states(place) == in_ledger(ledger)


def test_another_ledgers_destination_is_refused(ledger, place, tmp_path):
    """Its rows would be mixed with those of this one."""
    other = Ledger.open(f"sqlite:///{tmp_path}/other.db", "test")
    record(other, run(), detected(stretch(21, 22), added("a")))
    export(other, place.destination, NOW)
    with pytest.raises(SettingsError, match="what another ledger exported"):
        export(ledger, place.destination, NOW)


def test_a_folder_is_one_place_whatever_it_is_called(ledger, tmp_path, monkeypatch):
    """And one that was moved goes on: what is there is not exported once more."""
    released(ledger, "a", "b")
    folder, link = tmp_path / "out", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    export(ledger, ParquetFolder(str(folder)), NOW)
    monkeypatch.chdir(tmp_path)
    for name in ("out", str(link), f"file://{folder}", f"{folder}/../out/"):
        assert ParquetFolder(name).address == str(folder)
        assert export(ledger, ParquetFolder(name), NOW).number is None
    folder.rename(tmp_path / "moved")
    assert export(ledger, ParquetFolder(str(tmp_path / "moved")), NOW).number is None


@pytest.mark.parametrize("place", [Folder], indirect=True)
def test_a_storage_that_fails_is_told(ledger, place, monkeypatch):
    """In one line, and as what a retry may cure; the next export does its work."""

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    released(ledger, "a", "b")
    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
        with pytest.raises(DataError, match=r"cannot be exported to: .*No space left"):
            export(ledger, place.destination, NOW)
    (place.path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be exported to: .*Not a directory"):
        export(ledger, ParquetFolder(str(place.path / "file")), NOW)
    export(ledger, place.destination, NOW)
    assert len(place.rows("deliveries")) == 2


@pytest.mark.parametrize("place", [Tables], indirect=True)
def test_a_database_that_fails_is_told(ledger, place):
    """As what a retry of the task may cure: it may be starting again."""
    released(ledger, "a")
    engine = create_engine("postgresql+psycopg://who:secret@127.0.0.1:1/x")
    with pytest.raises(DataError, match=r"warehouse cannot be exported to: .*refused") as error:
        export(ledger, DatabaseTables(engine, "warehouse"), NOW)
    assert "secret" not in str(error.value)


def test_mysql_is_asked_for_ids_that_are_the_same_byte_for_byte():
    """Its collations take Ann for ann: neither of them may be erased for the other, or stay."""
    column = DatabaseTables(create_engine("sqlite://"), "w").tables["changes"].c.contact_id
    exactly, contact_id = _exact(column, "mysql")
    assert "hex(CAST(" in str(exactly.compile(dialect=mysql.dialect()))
    assert contact_id("416E6E20") == "Ann "
    assert column.type.dialect_impl(mysql.dialect()).collation == "utf8mb4_bin"
    assert _exact(column, "postgresql")[0] is column


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1}',
        '{"format": 1, "exports": [], "mark": {}, "files": []}',
        '{"format": 1, "exports": [{"export": 1}], "mark": {"number": 1}, "files": []}',
    ],
)
def test_a_manifest_that_is_none_is_told(ledger, tmp_path, content):
    """Nothing is written beside what nobody understands."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "manifest.json").write_text(content)
    with pytest.raises(SettingsError, match=r"manifest.json is no manifest of an export"):
        export(ledger, ParquetFolder(str(tmp_path)), NOW)


def test_writers_meanwhile_lose_nothing_and_double_nothing(ledger, tmp_path):
    """Transactions that overlap exports at every place, and are committed in another order."""
    place = Folder(tmp_path / "out")
    keys = released(ledger, *(f"c{number}" for number in range(40)))
    end = time.monotonic() + 2

    def write(seed: int) -> None:
        chance = random.Random(seed)
        mine = keys[seed::4]
        while time.monotonic() < end:
            with ledger._write() as connection:
                for key in chance.sample(mine, 3):
                    number = deliveries.c.attempts + 1
                    row = update(deliveries).where(deliveries.c.key == key)
                    connection.execute(row.values(attempts=number))
                    time.sleep(chance.random() / 200)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        export_now(ledger, place.destination, NOW)
    export(ledger, place.destination, NOW)
    with ledger.engine.connect() as connection:
        query = select(deliveries.c.key, deliveries.c.attempts)
        attempts = {(row.key,): row.attempts for row in connection.execute(query)}
    assert {key: row["attempts"] for key, row in newest(place).items()} == attempts
    versions = [(row["key"], row["attempts"]) for row in place.rows("deliveries")]
    assert len(versions) == len(set(versions))


_KILLED = """
import sys
from datetime import datetime, UTC
from segue.ledger import Ledger
from segue.upkeep.exports.export import export
from segue.upkeep.exports.parquet_folder import ParquetFolder
from segue.upkeep.exports.database_tables import DatabaseTables
from sqlalchemy import create_engine
url, to = sys.argv[1:]
ledger = Ledger.open(url, "test")
place = DatabaseTables(create_engine(to), "warehouse") if "://" in to else ParquetFolder(to)
print("ready", flush=True)
while True:
    export(ledger, place, datetime.now(UTC))
"""


def test_a_killed_export_is_as_if_it_had_not_been(ledger, place, tmp_path):
    """Killed at any moment, and started again: each version once, and the newest of all there."""
    keys = released(ledger, *(f"c{number}" for number in range(300)))
    url = ledger.engine.url.render_as_string(hide_password=False)
    to = str(tmp_path) if isinstance(place, Folder) else str(place.engine.url)
    chance = random.Random(7)
    for _ in range(4):
        command = [sys.executable, "-c", _KILLED, url, to]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ)
        process.stdout.readline()
        until = time.monotonic() + 0.2 + chance.random() / 2
        while time.monotonic() < until:
            with ledger._write() as connection:
                rows = update(deliveries).where(deliveries.c.key.in_(chance.sample(keys, 50)))
                connection.execute(rows.values(attempts=deliveries.c.attempts + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    export(ledger, place.destination, NOW)
    with ledger.engine.connect() as connection:
        query = select(deliveries.c.key, deliveries.c.attempts)
        attempts = {(row.key,): row.attempts for row in connection.execute(query)}
    assert {key: row["attempts"] for key, row in newest(place).items()} == attempts
    versions = [(row["key"], row["attempts"]) for row in place.rows("deliveries")]
    assert len(versions) == len(set(versions))
