"""Pandas as it is usually written: isin, groupby, an outer merge with indicator."""

from __future__ import annotations

import pandas as pd

from tests.benchmarks.job import AS_OF, CALLS, TODAY, WINDOW, YESTERDAY, Job


def members(job: Job, day: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the members, and the ids of all contacts."""
    contacts = pd.read_parquet(
        job.table(day, "contacts"), columns=["contact_id", "lifecycle", "unsubscribed"]
    )
    calls = pd.read_parquet(job.table(day, "transactions"), columns=["contact_id", "date", "type"])
    as_of = AS_OF[day]
    recent = (calls["date"] >= as_of - WINDOW) & (calls["date"] < as_of)
    calls = calls[recent & (calls["type"] == "support_call")]
    counts = calls.groupby("contact_id").size()
    often = counts[counts >= CALLS].index
    found = contacts[(contacts["lifecycle"] == "customer") & contacts["contact_id"].isin(often)]
    opted_in = ~found["unsubscribed"]
    found = found[["contact_id"]].assign(opted_in=opted_in).sort_values("contact_id")
    return found, contacts["contact_id"]


def changes(previous: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    both = previous.merge(
        current, on="contact_id", how="outer", indicator=True, suffixes=("_before", "")
    )
    both["change"] = ""
    both.loc[both["_merge"] == "left_only", "change"] = "removed"
    both.loc[both["_merge"] == "right_only", "change"] = "added"
    stayed = both["_merge"] == "both"
    before, now = both["opted_in_before"] == True, both["opted_in"] == True  # noqa: E712
    both.loc[stayed & now & ~before, "change"] = "opted_in"
    both.loc[stayed & before & ~now, "change"] = "opted_out"
    return both.loc[both["change"] != "", ["contact_id", "change"]].sort_values("contact_id")


def with_reasons(found: pd.DataFrame, contacts: pd.Series) -> pd.DataFrame:
    found["reason"] = ""
    removed = found["change"] == "removed"
    there = found["contact_id"].isin(contacts)
    found.loc[removed & there, "reason"] = "no_longer_matches"
    found.loc[removed & ~there, "reason"] = "deleted"
    return found


def daily(job: Job) -> pd.DataFrame:
    current, contacts = members(job, TODAY)
    found = changes(pd.read_parquet(job.stored(YESTERDAY)), current)
    current.to_parquet(job.written(TODAY), index=False, compression="zstd")
    return with_reasons(found, contacts)


def cold(job: Job) -> pd.DataFrame:
    previous, _ = members(job, YESTERDAY)
    current, contacts = members(job, TODAY)
    previous.to_parquet(job.written(YESTERDAY), index=False, compression="zstd")
    current.to_parquet(job.written(TODAY), index=False, compression="zstd")
    return with_reasons(changes(previous, current), contacts)


def stored(job: Job) -> pd.DataFrame:
    before, now = (pd.read_parquet(job.stored(day, "everybody")) for day in (YESTERDAY, TODAY))
    return changes(before, now).assign(reason="")


def rows_of(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(found[["contact_id", "change", "reason"]].itertuples(index=False, name=None))


RUNS = {"daily": daily, "cold": cold, "stored": stored}
