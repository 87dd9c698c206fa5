"""``segue snapshots prune``."""

from __future__ import annotations

from pathlib import Path

from segue.directory.snapshots import list_snapshots
from segue.ledger import Ledger
from tests.unit.upkeep.test_thinning import NOW, days, directory, publish

TAKE = (
    "take: {connection: shop, start: 2026-01-01, tables: {contacts: 'SELECT :as_of'}}\n"
    "keep: {days: 10}\n"
)


def test_old_snapshots_are_named_and_deleted(segue, home, monkeypatch, tmp_path):
    root = tmp_path / "shop"
    publish(root, *days("2026-10-01", 4))
    home.define("directories", "shop", f"directory: shop\nsnapshots: {root}\n{TAKE}")
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "default").engine.dispose()
    answer = segue("snapshots", "prune", "shop", "--dry-run")
    assert answer.out.split() == ["2026-10-01", "2026-10-02"]
    assert "2 snapshots would be deleted" in answer.err
    assert "2026-10-04 is old and stays: one of the newest" in answer.err
    assert len(list(root.iterdir())) == 4
    assert "2 snapshots deleted" in segue("snapshots", "prune", "shop").err
    assert left(root) == ["2026-10-03", "2026-10-04"]


def left(root: Path) -> list[str]:
    return [each.key for each in list_snapshots(directory(root, days=10), now=NOW)]


def test_a_directory_that_keeps_all_is_told(segue):
    answer = segue("snapshots", "prune", "customers")
    assert (answer.code, "has no `keep`" in answer.err) == (2, True)
