"""Polars, lazily: the scans, filters and joins are planned before anything is read."""

from __future__ import annotations

import polars as pl

from tests.benchmarks.job import AS_OF, CALLS, TODAY, WINDOW, YESTERDAY, Job


def members(job: Job, day: str) -> pl.LazyFrame:
    as_of = AS_OF[day]
    often = (
        pl.scan_parquet(job.table(day, "transactions"))
        .filter(
            (pl.col("date") >= as_of - WINDOW)
            & (pl.col("date") < as_of)
            & (pl.col("type") == "support_call")
        )
        .group_by("contact_id")
        .len()
        .filter(pl.col("len") >= CALLS)
    )
    return (
        pl.scan_parquet(job.table(day, "contacts"))
        .filter(pl.col("lifecycle") == "customer")
        .join(often, on="contact_id", how="semi")
        .select("contact_id", ~pl.col("unsubscribed").alias("opted_in"))
        .sort("contact_id")
    )


def changes(previous: pl.LazyFrame, current: pl.LazyFrame) -> pl.LazyFrame:
    before, now = pl.col("opted_in_before"), pl.col("opted_in")
    change = (
        pl.when(before.is_null())
        .then(pl.lit("added"))
        .when(now.is_null())
        .then(pl.lit("removed"))
        .when(now & ~before)
        .then(pl.lit("opted_in"))
        .when(before & ~now)
        .then(pl.lit("opted_out"))
    )
    return (
        previous.rename({"opted_in": "opted_in_before"})
        .join(current, on="contact_id", how="full", coalesce=True)
        .select("contact_id", change.alias("change"))
        .filter(pl.col("change").is_not_null())
        .sort("contact_id")
    )


def with_reasons(found: pl.DataFrame, job: Job) -> pl.DataFrame:
    removed = found.lazy().filter(pl.col("change") == "removed").select("contact_id")
    there = (
        pl.scan_parquet(job.table(TODAY, "contacts"))
        .select("contact_id")
        .join(removed, on="contact_id", how="semi")
        .with_columns(reason=pl.lit("no_longer_matches"))
        .collect()
    )
    deleted = pl.when(pl.col("change") == "removed").then(pl.lit("deleted")).otherwise(pl.lit(""))
    return found.join(there, on="contact_id", how="left").with_columns(
        reason=pl.coalesce("reason", deleted)
    )


def write(found: pl.DataFrame, job: Job, day: str) -> pl.LazyFrame:
    found.write_parquet(job.written(day), compression="zstd")
    return found.lazy()


def daily(job: Job) -> pl.DataFrame:
    previous = pl.scan_parquet(job.stored(YESTERDAY))
    current = write(members(job, TODAY).collect(), job, TODAY)
    return with_reasons(changes(previous, current).collect(), job)


def cold(job: Job) -> pl.DataFrame:
    found = pl.collect_all([members(job, YESTERDAY), members(job, TODAY)])
    previous, current = (write(f, job, d) for f, d in zip(found, AS_OF, strict=True))
    return with_reasons(changes(previous, current).collect(), job)


def stored(job: Job) -> pl.DataFrame:
    before, now = (pl.scan_parquet(job.stored(day, "everybody")) for day in (YESTERDAY, TODAY))
    return changes(before, now).collect().with_columns(reason=pl.lit(""))


def rows_of(found: pl.DataFrame) -> list[tuple[str, str, str]]:
    return found.select("contact_id", "change", "reason").rows()


RUNS = {"daily": daily, "cold": cold, "stored": stored}
