"""A snapshot is judged once, by whoever needs it first; what is not as expected stops a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.expectations import remembered
from segue.segments.expectations.remembered import Expectations

NOW = datetime.now(UTC) + timedelta(hours=1)
EXPECT = {"contacts": {"columns": {"email": {"matches": "@"}}, "rows": {"change_at_most": "50%"}}}


class World:
    """A directory, and a count of how often one of its snapshots was judged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.expect, self.judgements = folder, EXPECT, []
        for day in (20, 21, 22):
            self.write(day, "a@x")

    def write(self, day: int, *emails: str) -> None:
        folder = self.folder / "snapshots" / f"2026-11-{day}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = "".join(f"c{row},{email}\n" for row, email in enumerate(emails))
        (folder / "contacts.csv").write_text(f"contact_id,email\n{rows}")

    def tables(self, day: int = 22) -> SnapshotTables:
        content = {"directory": "people", "snapshots": str(self.folder / "snapshots")}
        directory = DirectoryDefinition.model_validate({**content, "expect": self.expect})
        return SnapshotTables(directory, find_snapshot(directory, f"2026-11-{day}", now=NOW))

    def store(self, quarantined: Callable = tuple) -> Expectations:
        """What another process opens on the same state."""
        return Expectations(str(self.folder / "state"), quarantined)

    def judge(self, day: int = 22, quarantined: Callable = tuple) -> None:
        self.store(quarantined).require_met(self.tables(day), NOW)

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "state").rglob("*") if path.is_file()]


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path)
    find_unmet = remembered.find_unmet

    def counted(tables, earlier):
        world.judgements.append((tables.snapshot.key, earlier and earlier.snapshot.key))
        return find_unmet(tables, earlier)

    monkeypatch.setattr(remembered, "find_unmet", counted)
    return world


def test_a_snapshot_is_judged_once_for_all_workflows(world):
    for _ in range(3):
        world.judge()
    assert world.judgements == [("2026-11-22", "2026-11-21")]
    [file] = world.files()
    assert file.read_bytes() == b"{}"  # no contact is in it


@pytest.mark.parametrize("what", ["files", "expectations", "the snapshot before"])
def test_it_is_judged_again_where_something_else_follows(world, what):
    world.judge()
    if what == "files":
        world.write(22, "b@y")
    elif what == "expectations":
        world.expect = {"contacts": {**EXPECT["contacts"], "columns": {}}}
    else:
        world.write(21, "c@z")
    world.judge()
    assert len(world.judgements) == 2


def test_what_is_not_as_expected_is_told_each_time_with_the_ways_on(world):
    world.write(22, "a@x", "nobody")
    for _ in range(2):
        with pytest.raises(DataError) as error:
            world.judge()
    message = str(error.value)
    assert message.startswith("snapshot 2026-11-22 of people is not what its directory expects: ")
    assert "rows change_at_most: 50%, found 2 after 1 (+100.0%)" in message
    assert "contacts.email: expected matches: '@', found 1 of 2 values that do not" in message
    assert "`segue snapshots quarantine 2026-11-22 --directory people`" in message
    assert "nobody" not in message
    assert (len(world.judgements), world.files()) == (2, [])


def test_rows_are_not_counted_against_a_quarantined_snapshot(world):
    world.write(21, *["a@x"] * 10)
    with pytest.raises(DataError, match="found 1 after 10"):
        world.judge()
    world.judge(quarantined=lambda: ["2026-11-21"])
    assert world.judgements[-1] == ("2026-11-22", "2026-11-20")


def test_rows_are_not_counted_against_broken_files(world):
    (world.folder / "snapshots/2026-11-21/contacts.csv").write_bytes(b"contact_id,\xff\n")
    world.judge()
    assert world.judgements == [("2026-11-22", None)]


def test_the_snapshot_that_one_is_compared_with_was_judged_already(world):
    world.judge(21)
    world.store().require_comparable(world.tables(21), NOW)
    assert world.judgements == [("2026-11-21", "2026-11-20")]


def test_a_snapshot_compared_with_is_as_expected_but_for_its_change_of_rows(world):
    """That change was one of an earlier run, which is over; and one back is this run's own."""
    world.write(21, *["a@x"] * 10)
    world.store().require_comparable(world.tables(21), NOW)
    world.store().require_comparable(world.tables(21), NOW)
    assert world.judgements == [("2026-11-21", None)]
    world.write(21, "nobody")
    with pytest.raises(DataError, match="nothing can be compared with the snapshot before"):
        world.store().require_comparable(world.tables(21), NOW)


def test_without_a_state_only_the_object_itself_remembers(world):
    looking = Expectations()
    for _ in range(2):
        looking.require_met(world.tables(), NOW)
    assert (len(world.judgements), world.files()) == (1, [])


def test_a_directory_that_expects_nothing_is_not_looked_at(world):
    world.expect = {}
    Expectations(str(world.folder / "state")).require_met(world.tables(), NOW)
    assert (world.judgements, world.files()) == ([], [])
