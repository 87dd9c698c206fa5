"""All engines of the benchmark do the same job: they give the same answer, row by row."""

from __future__ import annotations

import importlib

import pytest

from tests.benchmarks import together
from tests.benchmarks.engines import segue
from tests.benchmarks.generated import write_directory
from tests.benchmarks.job import KINDS, TODAY, Job
from tests.benchmarks.report import NAMES, TITLES, write_report

pytest.importorskip("polars")
pytest.importorskip("duckdb")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    root = tmp_path_factory.mktemp("snapshots")
    write_directory(root, 20_000)
    return root


def answers(kind, snapshots, folder):
    found = {}
    for engine in NAMES:
        state, output = folder / engine / "state", folder / engine / "output"
        state.mkdir(parents=True)
        output.mkdir()
        if kind != "cold":
            segue.prepare(snapshots, state)
        module = importlib.import_module(f"tests.benchmarks.engines.{engine}")
        found[engine] = sorted(
            module.rows_of(module.RUNS[kind](Job(kind, snapshots, state, output)))
        )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_gives_the_same_changes(kind, snapshots, tmp_path):
    found = answers(kind, snapshots, tmp_path)
    expected = found["segue"]
    assert {engine: rows == expected for engine, rows in found.items()} == dict.fromkeys(
        NAMES, True
    )
    kinds = {(change, reason) for _, change, reason in expected}
    assert {change for change, _ in kinds} >= {"added", "removed"}
    if kind == "stored":
        assert {"opted_in", "opted_out"} <= {change for change, _ in kinds}
    else:
        assert {("removed", "deleted"), ("removed", "no_longer_matches")} & kinds


def test_every_engine_writes_the_same_membership(snapshots, tmp_path):
    import pandas as pd

    answers("cold", snapshots, tmp_path)
    written = [
        pd.read_parquet(tmp_path / engine / "output" / f"{TODAY}.parquet")
        for engine in NAMES
        if engine != "segue"
    ]
    (stored,) = (
        frame
        for frame in map(pd.read_parquet, (tmp_path / "segue" / "state").rglob("*.parquet"))
        if len(frame) == len(written[0]) and (frame.contact_id == written[0].contact_id).all()
    )
    assert all((frame.opted_in == stored.opted_in).all() for frame in written)


def test_the_report_has_a_table_and_a_plot(tmp_path):
    figures = {"imports": 0.1, "seconds": 1.0, "megabytes": 200.0, "changes": 7.0}
    keys = [(size, kind, engine) for size in (10, 100) for kind in TITLES for engine in NAMES]
    path = write_report(dict.fromkeys(keys, figures), 5, tmp_path)
    assert "| daily | 100 | 1.00 | 1.0 | 1.00 | 1.0 | 200 MB |" in path.read_text()
    assert (tmp_path / "cost.png").stat().st_size > 1000


def test_segments_judged_together_are_what_every_other_way_finds(snapshots, tmp_path):
    digests = {}
    for way in ("twenty", "each", "polars", "duckdb"):
        output = tmp_path / way
        output.mkdir()
        together.WAYS[way][1](snapshots, output)
        digests[way] = together.answer(output)
    assert len(digests["twenty"]) == len(together.RULES) == 20
    assert digests == dict.fromkeys(digests, digests["twenty"])


def test_the_report_of_many_segments_has_a_row_per_way():
    figures = {way: {"seconds": 2.0, "megabytes": 200.0} for way in together.WAYS}
    page = together.report({1000: figures}, 5)
    assert "## 1,000 contacts" in page
    assert page.count("| 2.00 | 1.00 | 200 |") == len(together.WAYS)
