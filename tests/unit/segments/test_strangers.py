"""Rows whose contact id no contact has: an opt-out that finds nobody opts nobody out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.fitness import require_sound_ids
from segue.segments.strangers import count_reached, find_strangers, new_strangers, refuse_strangers

ROWS = {
    "subscriptions": "scope,opted_in\n{}directory,no\n",
    "transactions": "date\n{}2026-11-20\n",
    "mailing_lists": "mailing_list\n{}news\n",
}
CONTACTS = ["7", "10", "K001", "a b", "ünï", "0", "1001", "1234567"]
CONTACTS += ["0a1b2c3d-0000-1111-2222-abcdef012345"]


@pytest.fixture
def snapshot(tmp_path: Path):
    """Write contacts and rows of another table with these ids; return the tables."""

    def make(day=22, contacts=CONTACTS, consent=None, **rows):
        folder = tmp_path / f"2026-11-{day}"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table({"contact_id": contacts}), folder / "contacts.parquet")
        for table, ids in rows.items():
            head, row = ROWS[table].split("\n")[:2]
            lines = [f'"{each}",{row.format("")}\n' for each in ids]
            (folder / f"{table}.csv").write_text(f"contact_id,{head}\n" + "".join(lines))
        directory = DirectoryDefinition.model_validate(
            {"directory": "d", "snapshots": str(tmp_path), "consent": consent}
        )
        as_of = datetime(2026, 11, day, tzinfo=UTC)
        return SnapshotTables(directory, Snapshot(folder.name, as_of, UPath(str(folder)), True))

    return make


SPELLINGS = {
    "7 ": "7",
    " 7": "7",
    "7\0\0": "7",
    "\u00a07": "7",
    "7.0": "7",
    "007": "7",
    "007.0 ": "7",
    "10.0": "10",
    "10.00": "10",
    "k001": "K001",
    "K001   ": "K001",
    "ÜNÏ": "ünï",
    "00": "0",
    "\u20037": "7",
    "\u20607\u200d": "7",
    "\uff17": "7",
    "u\u0308ni\u0308": "ünï",
    "7.": "7",
    "+7": "7",
    "'10": "10",
    "{0a1b2c3d-0000-1111-2222-abcdef012345}": "0a1b2c3d-0000-1111-2222-abcdef012345",
    "0A1B2C3D000011112222ABCDEF012345": "0a1b2c3d-0000-1111-2222-abcdef012345",
    "1,001": "1001",
    "1,234,567.0": "1234567",
    "1.001E+3": "1001",
    "1.001e3": "1001",
}


@pytest.mark.parametrize("theirs", SPELLINGS)
@pytest.mark.parametrize("others", [0, 30])
def test_an_opt_out_in_another_spelling_is_an_error(snapshot, theirs, others):
    """However few they are: this very contact would be written to."""
    tables = snapshot(subscriptions=["a b", *["7"] * others, theirs])
    [found] = find_strangers(tables)
    assert (found.count, found.respelt, found.pairs) == (1, 1, ((theirs, SPELLINGS[theirs]),))
    with pytest.raises(DataError, match=r"snapshot 2026-11-22, subscriptions: 1 of .* spelling"):
        refuse_strangers(tables)


@pytest.mark.parametrize("theirs", SPELLINGS)
def test_it_is_seen_whichever_side_is_spelt_otherwise(snapshot, theirs):
    tables = snapshot(contacts=["x", theirs], subscriptions=["x", SPELLINGS[theirs]])
    [found] = find_strangers(tables)
    assert found.pairs == ((SPELLINGS[theirs], theirs),)


@pytest.mark.parametrize("theirs", ["8", "K002", "ab", "a  b", "7.01", "7.1", "70", "00700", "7x",
                                    "1,01", "1-0", "-7", "1.0015E+3", "E", "1,2"])  # fmt: skip
def test_another_id_is_no_spelling(snapshot, theirs):
    """Of a contact who is gone an opt-out may stay."""
    tables = snapshot(subscriptions=["7", "10", theirs])
    [found] = find_strangers(tables)
    assert (found.count, found.rows, found.respelt, found.problem) == (1, 3, 0, None)
    assert str(found).startswith("subscriptions: 1 of 3 rows that opt out (33.3%) have a contact")
    refuse_strangers(tables)


def test_case_tells_ids_apart_where_it_tells_contacts_apart(snapshot):
    """Ids of 15 letters are made so: another contact's may differ by case alone."""
    contacts = ["003aB", "003AB", "003xYz", "7", "abc"]
    [found] = find_strangers(snapshot(contacts=contacts, subscriptions=["7", "7", "003XYz"]))
    assert found.problem is None
    [found] = find_strangers(snapshot(contacts=contacts, subscriptions=["7", "003xYz "]))
    assert found.respelt == 1
    for theirs in ("003XYZ", "003xyz", "ABC", "003ab"):
        [found] = find_strangers(snapshot(contacts=contacts, subscriptions=["7", "7", theirs]))
        assert found.respelt == 1, "one case throughout is of what changes the case of ids"


def test_opt_outs_that_mostly_find_nobody_are_an_error(snapshot):
    """In a spelling that nobody thought of; a directory may say that they are of people gone."""
    ids = ["7", "10", "C-1", "C-2", "C-3"]
    with pytest.raises(DataError, match=r"3 of 5 .*unknown_contacts: ignore"):
        refuse_strangers(snapshot(subscriptions=ids))
    refuse_strangers(snapshot(subscriptions=[*ids, "a b"]))
    ignored = snapshot(subscriptions=ids, consent={"unknown_contacts": "ignore"})
    refuse_strangers(ignored)
    assert find_strangers(ignored)[0].count == 3
    spelt = snapshot(subscriptions=["7 ", *ids], consent={"unknown_contacts": "ignore"})
    with pytest.raises(DataError, match="another spelling"):
        refuse_strangers(spelt)


def test_an_opt_in_of_a_stranger_changes_nothing(snapshot):
    tables = snapshot(subscriptions=["7"])
    path = Path(str(tables.snapshot.location)) / "subscriptions.csv"
    path.write_text("contact_id,scope,opted_in\n7 ,directory,yes\n7,directory,no\n")
    assert find_strangers(tables) == []


@pytest.mark.parametrize("table", ["transactions", "mailing_lists"])
@pytest.mark.parametrize(
    ("ids", "is_error"),
    [
        (["8", "9"], True),  # nothing matches
        (["7 ", "10 ", "7"], True),  # most do not, and would
        (["7 ", "7", "10"], False),
        (["8", "9", "7"], False),  # most are of contacts who are gone
        (["7"], False),
        ([], False),
    ],
)
def test_other_tables_that_find_nobody(snapshot, table, ids, is_error):
    """Whoever bought would be one who never did."""
    tables = snapshot(**{table: ids})
    assert bool([each for each in find_strangers(tables) if each.problem]) == is_error
    refuse_strangers(tables, ["subscriptions"])  # who does not read the table does not care


def test_more_strangers_than_before_are_news(snapshot):
    """A share that stays says nothing; one that rises by more than ten points does."""
    names = ["subscriptions", "transactions"]
    before = snapshot(21, subscriptions=["7", "10"], transactions=["7", "8"])
    now = snapshot(22, subscriptions=["7", "C-1"], transactions=["7", "8"])
    [news] = new_strangers(before, now, names)
    assert news.startswith("in snapshot 2026-11-22, subscriptions: 1 of 2 rows that opt out")
    assert news.endswith("; of 2026-11-21 it was 0.0%")
    assert list(new_strangers(now, now, names)) == []
    assert list(new_strangers(before, now, ["transactions"])) == []


def test_contacts_whom_opt_outs_reach_are_counted(snapshot):
    assert count_reached(snapshot()) == 0
    assert count_reached(snapshot(subscriptions=["7", "7", "10", "8", "7 "])) == 2


@pytest.mark.parametrize(
    ("table", "rows", "why"),
    [
        ("contacts", "contact_id\na\na\n", "more than once"),
        ("contacts", "contact_id\n\"\"\n", "without a contact_id"),
        ("subscriptions", "contact_id,scope,opted_in\n,directory,no\n", "without a contact_id"),
        ("mailing_lists", "contact_id,mailing_list,opted_in\n,x,yes\n", "without a contact_id"),
    ],
)  # fmt: skip
def test_rows_that_no_run_reads_are_refused_beforehand(snapshot, table, rows, why):
    """Validation says the same as the check and the run."""
    tables = snapshot(contacts=["a"])
    folder = Path(str(tables.snapshot.location))
    (folder / f"{table}.parquet").unlink(missing_ok=True)
    (folder / f"{table}.csv").write_text(rows)
    with pytest.raises(DataError, match=why):
        require_sound_ids(tables)
