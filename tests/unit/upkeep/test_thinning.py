"""Old snapshots go as the directory's ``keep`` says, and none that somebody needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.manifest import MANIFEST, Manifest
from segue.directory.snapshots import list_snapshots
from segue.errors import DefinitionError
from segue.ledger import Ledger
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.takes.publication import Publication
from segue.upkeep.thinning import delete_snapshot, plan_thinning
from tests.unit.builders import added, detected, record, run, stretch

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TAKE = {"connection": "shop", "start": "2026-01-01", "tables": {"contacts": "SELECT :as_of"}}


def directory(root: Path, **keep: Any) -> DirectoryDefinition:
    content = {"directory": "shop", "snapshots": str(root), "take": TAKE, "keep": keep}
    return DirectoryDefinition.model_validate(content)


def publish(root: Path, *days: str) -> None:
    for day in days:
        publication = Publication(UPath(root / day), replaces=False)
        rows = pa.record_batch({"contact_id": ["a"]})
        part = publication.part("contacts", rows.schema)
        part.write(rows)
        part.close()
        as_of = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
        manifest = Manifest(as_of, as_of, 0.1, True, {"contacts": 1}, publication.sizes())
        assert publication.commit(manifest)


def days(first: str, count: int) -> list[str]:
    start = datetime.fromisoformat(first)
    return [f"{start + timedelta(days=n):%Y-%m-%d}" for n in range(count)]


def removals(definition: DirectoryDefinition, ledger: Ledger) -> list[str]:
    return [each.key for each in plan_thinning(definition, ledger, NOW).removals]


@pytest.fixture
def november(tmp_path) -> Path:
    """Snapshots of October and November: 2026-11-01 is a Sunday."""
    publish(tmp_path / "shop", *days("2026-10-01", 61))
    return tmp_path / "shop"


def test_every_snapshot_of_some_days_is_kept_and_no_other(november, ledger):
    gone = removals(directory(november, days=10), ledger)
    assert gone == days("2026-10-01", 51)  # that of 2026-11-20 ended ten days and a half ago
    definition = directory(november, days=10)
    for snapshot in plan_thinning(definition, ledger, NOW).removals:
        delete_snapshot(snapshot)
    left = [each.key for each in list_snapshots(definition, now=NOW)]
    assert left == days("2026-11-21", 10)
    assert sorted(path.name for path in november.iterdir()) == left


def test_of_older_ones_the_last_of_each_week_is_kept_as_long_as_it_says(november, ledger):
    gone = removals(directory(november, days=10, then="weekly", **{"for": "30d"}), ledger)
    kept = [day for day in days("2026-10-01", 51) if day not in gone]
    assert kept == ["2026-11-01", "2026-11-08", "2026-11-15"]
    gone = removals(directory(november, days=10, then="monthly"), ledger)
    assert [day for day in days("2026-10-01", 51) if day not in gone] == ["2026-10-31"]


def test_a_week_is_one_of_the_directorys_zone(tmp_path, ledger):
    """2026-11-08T12:00Z is Monday in Auckland, and Sunday in London."""
    keys = ["2026-11-07T12:00:00Z", "2026-11-08T12:00:00Z", "2026-11-09T12:00:00Z"]
    for key in [*keys, "2026-11-29T12:00:00Z", "2026-11-30T12:00:00Z"]:
        publish_at(tmp_path, key)
    rules = {"days": 10, "then": "weekly"}
    london = directory(tmp_path, **rules).model_copy(update={"timezone": "Europe/London"})
    assert removals(london, ledger) == keys[:1]
    auckland = directory(tmp_path, **rules).model_copy(update={"timezone": "Pacific/Auckland"})
    assert removals(auckland, ledger) == keys[1:2]


def publish_at(root: Path, key: str) -> None:
    publish(root, key[:10])
    (root / key[:10]).rename(root / key)


def test_what_somebody_needs_stays_and_it_is_told_what_for(november, ledger):
    record(ledger, run("one"), detected(stretch(3, 4), added("a")))
    record(ledger, run("two"), detected(stretch(4, 6), added("b")))
    definition = directory(november, days=10)
    with ledger.engine.begin() as connection:
        sent = deliveries.update().where(deliveries.c.contact_id == "b")
        connection.execute(sent.values(state=State.DELIVERED))
    ledger.people.quarantine("shop", "2026-10-05", reason="half of it", by="ann", now=NOW)
    thinning = plan_thinning(definition, ledger, NOW)
    assert thinning.exceptions == {
        "2026-10-05": "quarantined",
        "2026-11-03": "welcome has deliveries to make",
        "2026-11-04": "welcome has deliveries to make",
        "2026-11-06": "the last that welcome has used",
    }
    assert {each.key for each in thinning.removals}.isdisjoint(thinning.exceptions)


def test_what_another_namespace_needs_stays_too(november, ledger):
    record(ledger, run("one"), detected(stretch(3, 4), added("a")))
    other = Ledger(ledger.engine, "another")
    assert "2026-11-04" in plan_thinning(directory(november, days=10), other, NOW).exceptions


def test_the_newest_two_stay_however_old_they_are(tmp_path, ledger):
    publish(tmp_path / "shop", *days("2026-10-01", 3))
    thinning = plan_thinning(directory(tmp_path / "shop", days=10), ledger, NOW)
    assert [each.key for each in thinning.removals] == ["2026-10-01"]
    assert thinning.exceptions == dict.fromkeys(days("2026-10-02", 2), "one of the newest")


def test_files_that_somebody_else_wrote_stay(november, ledger):
    """A snapshot without a manifest, and a file beside one."""
    (november / "2026-10-02" / MANIFEST).unlink()
    (november / "2026-10-03" / "notes.txt").write_text("ours")
    definition = directory(november, days=10).model_copy(update={"complete_marker": "_SUCCESS"})
    (november / "2026-10-02" / "_SUCCESS").touch()
    thinning = plan_thinning(definition, ledger, NOW)
    for snapshot in thinning.removals:
        delete_snapshot(snapshot)
    assert (november / "2026-10-02" / "contacts").exists()
    left = sorted(path.name for path in (november / "2026-10-03").iterdir())
    assert left == ["notes.txt"]


def test_a_snapshot_is_never_half_there(november, ledger, monkeypatch):
    """Whoever is ended between two files leaves no snapshot."""
    definition = directory(november, days=10)
    [first, *_] = plan_thinning(definition, ledger, NOW).removals
    fs, names = first.folder.fs, []

    def end(path: str) -> None:
        names.append(path.rsplit("/", 1)[1])
        if len(names) > 1:
            raise KeyboardInterrupt
        remove(path)

    remove = fs.rm_file
    monkeypatch.setattr(fs, "rm_file", end)
    with pytest.raises(KeyboardInterrupt):
        delete_snapshot(first)
    assert names[0] == MANIFEST
    snapshots = {each.key: each for each in list_snapshots(definition, now=NOW)}
    assert not snapshots[first.key].complete
    monkeypatch.undo()
    later = datetime.now(UTC) + timedelta(days=2)
    assert first.key not in [each.key for each in plan_thinning(definition, ledger, NOW).removals]
    [same, *_] = plan_thinning(definition, ledger, later).removals
    delete_snapshot(same)
    assert not (november / first.key).exists()


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"days": 1}, "greater than or equal to 2"),
        ({"days": 10, "for": "400d"}, "which of the older snapshots are kept is missing"),
        ({"days": 10, "then": "weekly", "for": "10d"}, "expected more than the 10 days"),
        ({"days": 10, "then": "daily"}, "weekly"),
    ],
)
def test_what_it_cannot_mean_is_an_error(tmp_path, keep, message):
    with pytest.raises((DefinitionError, ValueError), match=message):
        directory(tmp_path, **keep)


def test_snapshots_that_somebody_else_writes_are_not_deleted():
    content = {"directory": "shop", "snapshots": "data", "keep": {"days": 10}}
    with pytest.raises(ValueError, match="expected `take` beside it"):
        DirectoryDefinition.model_validate(content)
