"""The report: a Markdown table and a plot of cost against size."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

Results = Mapping[tuple[int, str, str], Mapping[str, float]]

NAMES = {
    "segue": "Segue",
    "polars_lazy": "Polars lazy",
    "duckdb_sql": "DuckDB SQL",
    "usual_pandas": "pandas as usually written",
}
TITLES = {
    "daily": "Daily run: evaluate today, compare with yesterday's stored membership, write today's",
    "cold": "Cold run: evaluate both days, compare, write both",
    "stored": "Stored memberships of everybody: comparing two",
}
PACKAGES = ("pandas", "pyarrow", "numpy", "polars", "duckdb")
PLOT = "cost.png"
INTRODUCTION = """# Benchmarks

Written by `python -m tests.benchmarks` (`make bench`). Generated directories in Parquet: ids of
`CID_` and 15 base-62 characters, 3 transactions per contact over 90 days, 2 % of the contacts
deleted or new from one day to the next. The rule is `at_risk`: customers with at least five
support calls in 30 days. Every figure is the median of {repeats} first calls, each in a fresh
process, engines taking turns; importing libraries is not in it and stands beside it. All engines
read the same files and gave the same answer, row by row. Segue's figures include what it checks
and the others do not: ids that are missing or occur twice, and fingerprints of the files.

Machine: {machine}. {versions}. {day}.
"""


def write_report(results: Results, repeats: int, folder: Path) -> Path:
    """Write RESULTS.md and the plot; return the path of the first."""
    draw(results, folder / PLOT)
    sections = [INTRODUCTION.format(repeats=repeats, **facts()), ratios(results)]
    sections += [f"## {TITLES[kind]}\n\n{table(results, kind)}" for kind in TITLES]
    sections.append(f"![Seconds and memory against the number of contacts]({PLOT})")
    path = folder / "RESULTS.md"
    path.write_text("\n".join(section.strip() + "\n" for section in sections))
    return path


def facts() -> dict[str, str]:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "machine": f"{os.cpu_count()} cores, {memory():.0f} GB of memory, {platform.system()}, "
        f"{platform.machine()}",
        "versions": f"Python {platform.python_version()}, {versions}",
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def ratios(results: Results) -> str:
    """Return Segue's time as a multiple of others', and how it grows."""
    lines = [
        "## Ratios",
        "",
        (
            "| | contacts | Segue / faster of Polars and DuckDB | usual pandas / Segue "
            "| Polars / Segue | growth | Segue's peak |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    sizes = sorted({size for size, _, _ in results})
    for kind in TITLES:
        for size in sizes:
            ours, polars, duckdb, pandas = (
                results[size, kind, engine]["seconds"] for engine in NAMES
            )
            smaller = results.get((size // 10, kind, "segue"))
            growth = f"{ours / smaller['seconds']:.1f}" if smaller else ""
            lines.append(
                f"| {kind} | {size:,} | {ours / min(polars, duckdb):.2f} | {pandas / ours:.1f} "
                f"| {polars / ours:.2f} | {growth} "
                f"| {results[size, kind, 'segue']['megabytes']:.0f} MB |"
            )
    return "\n".join(lines)


def table(results: Results, kind: str) -> str:
    sizes = sorted({size for size, _, _ in results})
    head = "".join(f" {size:,} | MB |" for size in sizes)
    lines = [f"| engine |{head} imports |", "|---|" + "---|---|" * len(sizes) + "---|"]
    for engine, name in NAMES.items():
        found = [results[size, kind, engine] for size in sizes]
        cells = "".join(f" {f['seconds']:.3f} s | {f['megabytes']:.0f} |" for f in found)
        lines.append(f"| {name} |{cells} {found[0]['imports']:.2f} s |")
    changes = ", ".join(f"{results[size, kind, 'segue']['changes']:,.0f}" for size in sizes)
    return "\n".join([*lines, "", f"Changes found: {changes}."])


def draw(results: Results, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sizes = sorted({size for size, _, _ in results})
    figure, axes = plt.subplots(1, len(TITLES), figsize=(13, 4), sharex=True)
    for kind, axis in zip(TITLES, axes, strict=True):
        for engine, name in NAMES.items():
            seconds = [results[size, kind, engine]["seconds"] for size in sizes]
            width = 2.5 if engine == "segue" else 1.2
            axis.loglog(sizes, seconds, marker="o", label=name, linewidth=width)
        axis.set_title(TITLES[kind].split(":")[0])
        axis.set_xlabel("contacts")
        axis.grid(visible=True, which="both", alpha=0.25)
    axes[0].set_ylabel("seconds, first call, median")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
