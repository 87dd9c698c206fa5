"""``python -m tests.benchmarks.together``: twenty segments by one reading of a snapshot.

Beside one segment alone, the same twenty one by one, and twenty queries in one run of Polars and of
DuckDB. Each measurement is the first call in a fresh process, and ways take turns in every round.
Each answer, the members of all segments, is written to Parquet files, and compared among the ways.
This process imports no data library: a child inherits the peak memory of who started it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.benchmarks.__main__ import HERE, run
from tests.benchmarks.job import AS_OF, TODAY
from tests.benchmarks.report import facts

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Rule:
    """A segment: some columns of contacts, and perhaps an aggregate of some transactions."""

    name: str
    equal: Mapping[str, str] | None = None
    score: int | None = None  # at least
    created: int | None = None  # in so many past days
    type: str | None = None
    days: int | None = None
    aggregate: str | None = None  # count, or of the amount: sum, max
    least: float = 0


CUSTOMER, CALL = {"lifecycle": "customer"}, "support_call"
RULES = (
    Rule("at_risk", CUSTOMER, type=CALL, days=30, aggregate="count", least=5),
    *(
        Rule(f"calls_{least}", CUSTOMER, type=CALL, days=30, aggregate="count", least=least)
        for least in (3, 4, 7)
    ),
    *(
        Rule(f"calls_of_{days}_days", CUSTOMER, type=CALL, days=days, aggregate="count", least=4)
        for days in (7, 14)
    ),
    Rule("calling_leads", {"lifecycle": "lead"}, type=CALL, days=30, aggregate="count", least=3),
    Rule("calling_gold", {"tier": "gold"}, type=CALL, days=30, aggregate="count", least=2),
    *(
        Rule(
            f"spent_{total}",
            CUSTOMER,
            type="purchase",
            days=30,
            aggregate="sum",
            least=total + 0.005,
        )
        for total in (100, 200, 400)  # between two sums of cents: floats decide nothing
    ),
    Rule("big_purchase", type="purchase", days=30, aggregate="max", least=250),
    Rule("visits", CUSTOMER, type="visit", days=14, aggregate="count", least=2),
    Rule("busy", days=30, aggregate="count", least=6),
    Rule("readers", {"tier": "silver"}, type="email_open", days=30, aggregate="count", least=2),
    *(Rule(f"good_{tier}", {"tier": tier}, score=70) for tier in ("gold", "silver", "bronze")),
    Rule("new_customers", CUSTOMER, created=360),
    Rule("former_gold", {"lifecycle": "former", "tier": "gold"}),
)


# Segue


def segments(rules: Sequence[Rule]) -> list[Any]:
    from segue.segments.definition import SegmentDefinition

    return [
        SegmentDefinition.model_validate(
            {"segment": rule.name, "directory": "generated", "match": {"all": list(leaves(rule))}}
        )
        for rule in rules
    ]


def leaves(rule: Rule) -> Any:
    yield from ({"field": name, "equals": value} for name, value in (rule.equal or {}).items())
    if rule.score is not None:
        yield {"field": "score", "at_least": rule.score}
    if rule.created is not None:
        yield {"field": "created_at", "in_past": f"{rule.created}d"}
    if rule.aggregate is not None:
        where = {"where": {"field": "type", "equals": rule.type}} if rule.type else {}
        bound: dict[str, Any] = {"at_least": rule.least}
        bound |= {} if rule.aggregate == "count" else {"field": "amount"}
        yield {"transactions": {**where, "in_past": f"{rule.days}d"}, rule.aggregate: bound}


def segue_passes(snapshots: Path, output: Path, rules_of_passes: Sequence[Sequence[Rule]]) -> None:
    """Keep the memberships as ``detect_changes`` does: checks and fingerprints are included."""
    from segue.segments.membership.store import MembershipStore
    from tests.benchmarks.engines.segue import directory, snapshot

    store, at = MembershipStore(str(output)), snapshot(snapshots, TODAY)
    for rules in rules_of_passes:
        count = store.keep(segments(rules), directory(snapshots), at)
        assert count == len(rules)


# Its peers


def polars_lazy(snapshots: Path, output: Path) -> None:
    """All twenty are planned together, so that what they share is read once."""
    import polars as pl

    as_of = AS_OF[TODAY]

    def members(rule: Rule) -> Any:
        found = pl.scan_parquet(snapshots / TODAY / "contacts.parquet")
        for name, value in (rule.equal or {}).items():
            found = found.filter(pl.col(name) == value)
        if rule.score is not None:
            found = found.filter(pl.col("score") >= rule.score)
        if rule.created is not None:
            since = as_of - timedelta(days=rule.created)
            found = found.filter((pl.col("created_at") >= since) & (pl.col("created_at") < as_of))
        if rule.aggregate is not None:
            found = found.join(counted(rule), on="contact_id", how="semi")
        return found.select("contact_id", ~pl.col("unsubscribed").alias("opted_in")).sort(
            "contact_id"
        )

    def counted(rule: Rule) -> Any:
        rows = pl.scan_parquet(snapshots / TODAY / "transactions.parquet")
        since = as_of - timedelta(days=rule.days or 0)
        rows = rows.filter((pl.col("date") >= since) & (pl.col("date") < as_of))
        if rule.type is not None:
            rows = rows.filter(pl.col("type") == rule.type)
        amount = pl.col("amount")
        value = {"count": pl.len(), "sum": amount.sum(), "max": amount.max()}[rule.aggregate or ""]
        return rows.group_by("contact_id").agg(value=value).filter(pl.col("value") >= rule.least)

    for rule, frame in zip(RULES, pl.collect_all(map(members, RULES)), strict=True):
        (output / "memberships" / rule.name).mkdir(parents=True)
        frame.write_parquet(output / "memberships" / rule.name / "m.parquet", compression="zstd")


def duckdb_sql(snapshots: Path, output: Path) -> None:
    """Twenty statements, one after the other, on one database in memory."""
    import duckdb

    database = duckdb.connect()
    for rule in RULES:
        (output / "memberships" / rule.name).mkdir(parents=True)
        path = output / "memberships" / rule.name / "m.parquet"
        query = " AND ".join(["true", *terms(rule, snapshots)])
        database.execute(
            f"COPY (SELECT contact_id, NOT unsubscribed AS opted_in "
            f"FROM read_parquet('{snapshots / TODAY / 'contacts.parquet'}') WHERE {query} "
            f"ORDER BY contact_id) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )


def terms(rule: Rule, snapshots: Path) -> Any:
    """Yield what stands in a rule's WHERE."""
    as_of = AS_OF[TODAY]
    yield from (f"{name} = '{value}'" for name, value in (rule.equal or {}).items())
    if rule.score is not None:
        yield f"score >= {rule.score}"
    if rule.created is not None:
        since = as_of - timedelta(days=rule.created)
        yield f"created_at >= TIMESTAMP '{since}' AND created_at < TIMESTAMP '{as_of}'"
    if rule.aggregate is not None:
        since = as_of - timedelta(days=rule.days or 0)
        kind = f"type = '{rule.type}' AND" if rule.type else ""
        value = "count(*)" if rule.aggregate == "count" else f"{rule.aggregate}(amount)"
        yield (
            f"contact_id IN (SELECT contact_id "
            f"FROM read_parquet('{snapshots / TODAY / 'transactions.parquet'}') WHERE {kind} "
            f"date >= TIMESTAMP '{since}' AND date < TIMESTAMP '{as_of}' "
            f"GROUP BY contact_id HAVING {value} >= {rule.least})"
        )


# Measuring


def _one(name: str) -> Callable[[Path, Path], None]:
    rule = next(rule for rule in RULES if rule.name == name)
    return lambda snapshots, output: segue_passes(snapshots, output, [[rule]])


WAYS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "one": ("Segue, one segment (`at_risk`)", _one("at_risk")),
    "dear": ("Segue, one segment (`busy`, the dearest)", _one("busy")),
    "twenty": ("Segue, twenty in one pass", lambda s, o: segue_passes(s, o, [RULES])),
    "each": ("Segue, twenty one by one", lambda s, o: segue_passes(s, o, [[r] for r in RULES])),
    "polars": ("Polars lazy, twenty in one run", polars_lazy),
    "duckdb": ("DuckDB SQL, twenty in one run", duckdb_sql),
}
LIBRARIES = {"polars": ("polars",), "duckdb": ("duckdb",)}
OURS = ("segue.segments.membership.store", "tests.benchmarks.engines.segue")


def measure(way: str, snapshots: Path, output: Path) -> None:
    """Print what one way cost in this process; imports of libraries are not in it."""
    for module in LIBRARIES.get(way, OURS):
        __import__(module)
    before = time.perf_counter()
    WAYS[way][1](snapshots, output)
    seconds = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / 1024 if sys.platform != "darwin" else peak / 1024**2
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "answer": answer(output)}))


def answer(output: Path) -> dict[str, str]:
    """Return a digest of each segment's members as they were written."""
    import pyarrow.parquet as pq

    digests = {}
    for folder in sorted((output / "memberships").iterdir()):
        (file,) = folder.iterdir()
        rows = pq.read_table(file).to_pydict()
        text = json.dumps([rows["contact_id"], rows["opted_in"]])
        digests[folder.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def measured(size: int, repeats: int, folder: Path) -> dict[str, Figures]:
    """Generate a directory and measure every way on it; SystemExit where answers differ."""
    snapshots, output = folder / "snapshots", folder / "output"
    run("generated", snapshots, size)
    figures: dict[str, list[Any]] = defaultdict(list)
    digests: dict[str, set[str]] = defaultdict(set)
    for number in range(repeats):
        for way in WAYS:
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir()
            figure = json.loads(run("together", "measure", way, snapshots, output).splitlines()[-1])
            for name, digest in figure["answer"].items():
                digests[name].add(digest)
            figures[way].append(figure)
            print(
                f"  {size:,} contacts, round {number + 1} of {repeats}, {way}: "
                f"{figure['seconds']:.3f} s, {figure['megabytes']:.0f} MB",
                flush=True,
            )
    different = [name for name, some in digests.items() if len(some) > 1]
    if different:
        raise SystemExit(f"the ways do not agree on {', '.join(different)}")
    return {way: medians(several) for way, several in figures.items()}


def medians(several: Sequence[Figures]) -> dict[str, float]:
    names = ("seconds", "megabytes")
    return {name: statistics.median(figures[name] for figures in several) for name in names}


# The report

INTRODUCTION = """# Many segments, one reading

Written by `python -m tests.benchmarks.together` (`make bench`). Twenty segments over generated
directories ([RESULTS.md](RESULTS.md) says of what): fifteen on transactions (counts, sums, maxima
over 7 to 30 days, by type), thirteen of these with columns of contacts, and five on columns of
contacts alone. Each is judged at one snapshot, and its members are written to Parquet, sorted.
Medians of {repeats} first calls, each in a fresh process, ways taking turns; importing libraries is
not in it. All ways gave the same members. Segue's figures include what it checks and others do not.

Machine: {machine}. {versions}. {day}.
"""


def report(results: Mapping[int, Mapping[str, Figures]], repeats: int) -> str:
    """Return the page: a table of each size."""
    lines = [INTRODUCTION.format(repeats=repeats, **facts())]
    for size, figures in results.items():
        one = figures["one"]["seconds"]
        lines += [f"## {size:,} contacts\n", "| way | seconds | times `at_risk` alone | peak MB |"]
        lines += ["|---|---:|---:|---:|"]
        lines += [
            f"| {title} | {figures[way]['seconds']:.2f} | {figures[way]['seconds'] / one:.2f} "
            f"| {figures[way]['megabytes']:.0f} |"
            for way, (title, _) in WAYS.items()
        ]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Run all measurements and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.together")
    parser.add_argument("--sizes", default="1000000,10000000", help="numbers of contacts")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; medians are reported")
    arguments = parser.parse_args()
    results = {}
    for size in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="segue-benchmark-") as folder:
            results[size] = measured(size, arguments.repeats, Path(folder))
    path = HERE / "TOGETHER.md"
    path.write_text(report(results, arguments.repeats))
    print(f"written: {path}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
