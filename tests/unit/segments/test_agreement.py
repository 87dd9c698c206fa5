"""Hundreds of random conditions over real tables, and DuckDB asked the same in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.sample.generator import generate
from segue.segments.conditions.inspection import Needs
from segue.segments.conditions.parsing import parse_condition
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import evaluate
from segue.segments.loading import with_segments
from segue.segments.population import Population
from tests.unit.segments.sql import Conditions, Schema, Sql, at
from tests.unit.segments.test_cdnow import FILE, purchases  # noqa: F401 - a fixture

SEGMENTS = {
    "high_value": {
        "transactions": {"where": {"field": "type", "equals": "purchase"}, "in_past": "1y"},
        "sum": {"field": "amount", "at_least": 1000},
    },
    "active_customers": {"field": "lifecycle", "equals": "customer"},
}
SAMPLE = Schema(
    contacts={
        **dict.fromkeys(["first_name", "last_name", "email", "phone", "language"], "text"),
        **dict.fromkeys(["lifecycle", "tier", "city", "country"], "text"),
        **dict.fromkeys(["created_at", "modified_at"], "instant"),
        "birthday": "day",
        "unsubscribed": "boolean",
    },
    transactions={
        **dict.fromkeys(["type", "detail"], "text"),
        **dict.fromkeys(["amount", "minutes"], "number"),
        "date": "instant",
    },
    words={},
    numbers={"amount": [0, 24.75, 99.5, 150, 400, 1000.01], "minutes": [0, 5, 12, 30]},
    days=[date(2026, 11, 1), date(2026, 10, 25), date(2026, 5, 1), date(2024, 2, 29)],
    segments=SEGMENTS,
    lists=["Newsletter", "Product news", "Events", "None such"],
)
CDNOW = Schema(
    contacts={"first_purchase": "day", "purchases": "number", "total": "number"},
    transactions={"date": "day", "dollars": "number"},
    words={},
    numbers={
        "purchases": [1, 2, 5, 20],
        "total": [11.77, 50, 100.5, 1000],
        "dollars": [0, 11.77, 14.96, 50, 100],
    },
    days=[date(1997, 1, 15), date(1997, 4, 6), date(1997, 12, 25), date(1998, 6, 30)],
)
# as-of instants in the zone that they are judged in: whole days, a moment within one, and one
# within the hour that the clocks of London show twice
SAMPLE_MOMENTS = [
    (at(date(2026, 11, 4), 0, "UTC"), "UTC"),
    (at(date(2026, 11, 2), 13.5, "Pacific/Auckland"), "Pacific/Auckland"),
    (at(date(2026, 10, 25), 1.5, "Europe/London"), "Europe/London"),
    (at(date(2026, 3, 1), 0, "America/New_York"), "America/New_York"),
]
CDNOW_MOMENTS = [
    (at(date(1997, 4, 7), 0, "America/New_York"), "America/New_York"),
    (at(date(1998, 7, 1), 0, "Asia/Kolkata"), "Asia/Kolkata"),
]
EACH = 60  # conditions at each of the moments


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A directory of one snapshot, and the same tables in DuckDB."""
    root = tmp_path_factory.mktemp("agreement")
    generate(root, first=date(2026, 11, 1), days=3, contacts=1000, seed=11)
    names = {"contact_id": "CustomerID"}
    directory = DirectoryDefinition(
        directory="customers",
        snapshots=str(root),
        columns={
            "contacts": {**names, "email": "EmailAddress"},
            "transactions": {**names, "date": "OccurredAt"},
        },
    )
    snapshot = list_snapshots(directory, now=datetime.now(UTC) + timedelta(days=1))[-1]
    tables = SnapshotTables(directory, snapshot)
    with duckdb.connect() as connection:
        for table in ("contacts", "transactions", "mailing_lists", "subscriptions"):
            own = tables.directory.columns.get(table, {})
            renamed = ", ".join(f'"{theirs}" as "{ours}"' for ours, theirs in own.items())
            rest = f"* exclude ({', '.join(own.values())})" if own else "*"
            connection.execute(
                f"create table {table} as select {renamed + ', ' if own else ''}{rest} "
                f"from '{root}/{snapshot.key}/{table}.parquet'"
            )
        yield tables, connection


def load(tables, as_of, zone, segments=()):
    """Return everything of a snapshot, judged as if it were of another instant and zone."""
    needs = Needs(
        frozenset(tables.columns("contacts")),
        frozenset(tables.columns("transactions")),
        tables.has("mailing_lists"),
        subscriptions=True,
    )
    directory = tables.directory.model_copy(update={"timezone": zone})
    population = Population.load(directory, tables, needs, as_of=as_of)
    definitions = [
        SegmentDefinition(segment=name, directory="customers", match=match)
        for name, match in dict(segments).items()
    ]
    return with_segments(population, definitions, tables)


def compare(population, connection, schema, seed, of=Conditions):
    """Return how many contacts each of the random conditions holds for; both sides agree."""
    drawing = of(schema, seed)
    sql = Sql(schema, population.as_of, population.zone)
    ids = population.contacts["contact_id"]
    sizes = []
    for _ in range(EACH):
        data = drawing.draw()
        query = f"select contact_id from contacts c where {sql.of(data)} order by contact_id"
        expected = [row[0] for row in connection.execute(query).fetchall()]
        found = ids[pd.Series(evaluate(parse_condition(data), population))].tolist()
        assert found == expected, (data, query)
        sizes.append(len(found))
    return sizes


@pytest.mark.parametrize("moment", range(len(SAMPLE_MOMENTS)))
def test_the_sample_agrees_with_duckdb(sample, moment):
    tables, connection = sample
    as_of, zone = SAMPLE_MOMENTS[moment]
    connection.execute(f"set timezone = '{zone}'")
    text = [name for name, kind in SAMPLE.contacts.items() if kind == "text"]
    words = {name: words_of(connection, "contacts", name) for name in text}
    words |= {name: words_of(connection, "transactions", name) for name in ("type", "detail")}
    schema = Schema(**{**vars(SAMPLE), "words": words})
    population = load(tables, as_of, zone, SEGMENTS)
    sizes = compare(population, connection, schema, seed=moment)
    telling = [size for size in sizes if 0 < size < len(population.contacts)]
    assert len(telling) > EACH / 2  # most of the conditions tell contacts apart


@pytest.mark.parametrize("moment", range(len(CDNOW_MOMENTS)))
def test_cdnow_agrees_with_duckdb(purchases, tmp_path, moment):  # noqa: F811
    as_of, zone = CDNOW_MOMENTS[moment]
    folder = tmp_path / "1998-06-30"
    folder.mkdir()
    with duckdb.connect() as connection:
        with purchases.cursor() as cursor:
            raw = cursor.sql("select customer, day, dollars from purchases").to_arrow_table()
        connection.register("raw", raw)
        connection.execute(f"set timezone = '{zone}'")
        connection.execute(
            """create table contacts as select customer as contact_id, min(day) as first_purchase,
            count(*) as purchases, sum(dollars)::decimal(10, 2) as total
            from raw group by customer"""
        )
        connection.execute(
            "create table transactions as "
            "select customer as contact_id, day as date, dollars from raw"
        )
        for table in ("contacts", "transactions"):
            connection.execute(f"copy {table} to '{folder / table}.parquet' (format parquet)")
        directory = DirectoryDefinition(directory="cdnow", snapshots=str(tmp_path))
        [snapshot] = list_snapshots(directory, now=datetime.now(UTC) + timedelta(days=1))
        population = load(SnapshotTables(directory, snapshot), as_of, zone)
        assert population.zone == ZoneInfo(zone)
        compare(population, connection, CDNOW, seed=moment)


def words_of(connection, table, name):
    query = f"select distinct {name} from {table} where {name} <> '' order by 1 limit 40"
    return [row[0] for row in connection.execute(query).fetchall()]
