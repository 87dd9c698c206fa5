"""The CDNOW purchases: 18 month-end snapshots, two segments, and DuckDB asked the same in SQL.

The file (23 570 customers, 69 659 purchases, public) is looked for in SEGUE_TEST_CDNOW, else in
``shared/data`` beside the project's folder.
"""

from __future__ import annotations

import os
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.changes import segment_changes
from segue.segments.membership.store import MembershipStore

PROJECT = Path(__file__).parents[3]
FILE = Path(
    os.environ.get("SEGUE_TEST_CDNOW") or PROJECT / "../shared/data/CDNOW_master.txt"
).resolve()
MONTHS = [(1997 + month // 12, month % 12 + 1) for month in range(18)]
MONTH_ENDS = [date(year, month, monthrange(year, month)[1]) for year, month in MONTHS]

SEGMENTS = {
    "lapsing": {
        "all": [
            {"transactions": {}, "latest": {"field": "date", "not_in_past": "90d"}},
            {"transactions": {}, "count": {"at_least": 2}},
        ]
    },
    "high_value": {
        "transactions": {"in_past": "365d"},
        "sum": {"field": "dollars", "at_least": 200},
    },
}
QUESTIONS = {  # $day is the day of the snapshot, that day included
    "lapsing": """
        select customer from purchases where day <= $day group by customer
        having max(day) < $day + 1 - 90 and count(*) >= 2
    """,
    "high_value": """
        select customer from purchases where day <= $day and day >= $day + 1 - 365
        group by customer having sum(dollars) >= 200
    """,
}


@pytest.fixture(scope="module")
def purchases():
    """A DuckDB connection with the raw file as the table ``purchases``."""
    if not FILE.exists():
        reason = f"the CDNOW purchases are not at {FILE}; set SEGUE_TEST_CDNOW to their path"
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            pytest.fail(reason)
        pytest.skip(reason)
    connection = duckdb.connect()
    connection.execute(
        r"""
        create table purchases as
        select f[1] as customer, strptime(f[2], '%Y%m%d')::date as day,
            f[4]::decimal(10, 2) as dollars
        from (
            select regexp_split_to_array(trim(line), '\s+') as f
            from read_csv(?, columns = {line: 'varchar'}, delim = '|', header = true)
        )
        """,
        [str(FILE)],
    )
    assert connection.execute("select count(*) from purchases").fetchone() == (69_659,)
    with connection:
        yield connection


@pytest.fixture(scope="module")
def directory(purchases, tmp_path_factory):
    """A directory with one snapshot per month-end."""
    root = tmp_path_factory.mktemp("cdnow")
    for day in MONTH_ENDS:
        folder = root / day.isoformat()
        folder.mkdir()
        so_far = f"from purchases where day <= date '{day}'"
        tables = {
            "contacts": f"""select customer as contact_id, min(day) as first_purchase,
                count(*) as purchases, sum(dollars)::decimal(10, 2) as total
                {so_far} group by customer""",
            "transactions": f"select customer as contact_id, day as date, dollars {so_far}",
        }
        for table, query in tables.items():
            purchases.execute(f"copy ({query}) to '{folder / table}.parquet' (format parquet)")
    return DirectoryDefinition(directory="cdnow", snapshots=str(root), timezone="America/New_York")


@pytest.fixture(scope="module")
def snapshots(directory):
    found = list_snapshots(directory, now=datetime.now(UTC) + timedelta(days=1))
    assert [snapshot.key for snapshot in found] == [day.isoformat() for day in MONTH_ENDS]
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return MembershipStore(str(tmp_path_factory.mktemp("state")))


def segment(name):
    data = {"segment": name, "directory": "cdnow", "match": SEGMENTS[name]}
    return SegmentDefinition.model_validate(data)


def ask(purchases, name, day):
    """Return the members on ``day`` as SQL finds them, sorted."""
    return sorted(row[0] for row in purchases.execute(QUESTIONS[name], {"day": day}).fetchall())


@pytest.mark.parametrize("name", SEGMENTS)
def test_every_months_members_agree_with_sql(purchases, directory, snapshots, store, name):
    sizes = []
    for day, snapshot in zip(MONTH_ENDS, snapshots, strict=True):
        members = store.membership(segment(name), directory, snapshot)
        assert members["contact_id"].tolist() == ask(purchases, name, day), day
        assert members["opted_in"].all()
        sizes.append(len(members))
    assert sizes[-1] > 1000  # the segments are no empty promise


@pytest.mark.parametrize("name", SEGMENTS)
def test_every_months_changes_agree_with_sql(purchases, directory, snapshots, store, name):
    kinds = set()
    for (before, now), (previous, current) in zip(
        pairwise(MONTH_ENDS), pairwise(snapshots), strict=True
    ):
        was, is_now = set(ask(purchases, name, before)), set(ask(purchases, name, now))
        expected = [(contact, "added", "") for contact in is_now - was]
        expected += [(contact, "removed", "no_longer_matches") for contact in was - is_now]
        found = segment_changes(segment(name), directory, previous, current, store)
        assert list(found.changes.itertuples(index=False, name=None)) == sorted(expected), now
        assert (found.previous_size, found.current_size) == (len(was), len(is_now))
        kinds |= set(found.changes["change"])
    assert kinds == {"added", "removed"}
