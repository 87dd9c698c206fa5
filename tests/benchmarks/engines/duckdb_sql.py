"""DuckDB: one database in memory, SQL over the files."""

from __future__ import annotations

import duckdb

from tests.benchmarks.job import AS_OF, CALLS, TODAY, WINDOW, YESTERDAY, Job

MEMBERS = """
    SELECT contact_id, NOT unsubscribed AS opted_in
    FROM read_parquet('{contacts}')
    WHERE lifecycle = 'customer' AND contact_id IN (
        SELECT contact_id FROM read_parquet('{transactions}')
        WHERE type = 'support_call' AND date >= TIMESTAMP '{since}' AND date < TIMESTAMP '{as_of}'
        GROUP BY contact_id HAVING count(*) >= {calls}
    )
    ORDER BY contact_id
"""
CHANGES = """
    SELECT contact_id, change FROM (
        SELECT coalesce(b.contact_id, c.contact_id) AS contact_id,
            CASE WHEN b.contact_id IS NULL THEN 'added'
                 WHEN c.contact_id IS NULL THEN 'removed'
                 WHEN c.opted_in AND NOT b.opted_in THEN 'opted_in'
                 WHEN b.opted_in AND NOT c.opted_in THEN 'opted_out' END AS change
        FROM {before} b FULL JOIN {now} c ON b.contact_id = c.contact_id
    ) WHERE change IS NOT NULL
"""
REASONS = """
    SELECT contact_id, change,
        CASE WHEN change <> 'removed' THEN ''
             WHEN contact_id IN (
                 SELECT contact_id FROM read_parquet('{contacts}')
                 SEMI JOIN (SELECT contact_id FROM found WHERE change = 'removed')
                 USING (contact_id)
             ) THEN 'no_longer_matches'
             ELSE 'deleted' END AS reason
    FROM found ORDER BY contact_id
"""

Rows = list[tuple[str, str, str]]


def evaluate(database: duckdb.DuckDBPyConnection, job: Job, day: str, table: str) -> None:
    query = MEMBERS.format(
        contacts=job.table(day, "contacts"),
        transactions=job.table(day, "transactions"),
        since=AS_OF[day] - WINDOW,
        as_of=AS_OF[day],
        calls=CALLS,
    )
    database.execute(f"CREATE TABLE {table} AS {query}")
    database.execute(f"COPY {table} TO '{job.written(day)}' (FORMAT parquet, COMPRESSION zstd)")


def compare(database: duckdb.DuckDBPyConnection, job: Job) -> Rows:
    found = CHANGES.format(before="before", now="now")
    database.execute(f"CREATE TABLE found AS {found}")
    return database.execute(REASONS.format(contacts=job.table(TODAY, "contacts"))).fetchall()


def daily(job: Job) -> Rows:
    database = duckdb.connect()
    database.execute(f"CREATE VIEW before AS FROM read_parquet('{job.stored(YESTERDAY)}')")
    evaluate(database, job, TODAY, "now")
    return compare(database, job)


def cold(job: Job) -> Rows:
    database = duckdb.connect()
    evaluate(database, job, YESTERDAY, "before")
    evaluate(database, job, TODAY, "now")
    return compare(database, job)


def stored(job: Job) -> Rows:
    before, now = (f"read_parquet('{job.stored(day, 'everybody')}')" for day in (YESTERDAY, TODAY))
    query = CHANGES.format(before=before, now=now)
    return duckdb.execute(f"SELECT *, '' FROM ({query}) ORDER BY contact_id").fetchall()


def rows_of(found: Rows) -> Rows:
    return found


RUNS = {"daily": daily, "cold": cold, "stored": stored}
