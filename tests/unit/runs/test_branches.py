"""Branches: their labels, and the files of a run that several processes may write at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from upath import UPath

from segue.contacts.change import Change
from segue.directory.whole_files import whole_file
from segue.runs.areas import RunArea
from segue.segments.population import Population

LONGEST = 250  # characters of task_instance.rendered_map_index in Airflow's database


def change(contact_id: str) -> Change:
    return Change(contact_id, "added", "", "2026-11-22", "2026-11-22")


def population(*contact_ids: str, **frames: pd.DataFrame) -> Population:
    contacts = pd.DataFrame({"contact_id": list(contact_ids)})
    return Population(contacts, datetime(2026, 11, 23, tzinfo=UTC), ZoneInfo("UTC"), **frames)


@pytest.mark.parametrize("length", [1, 249, 250, 251, 309, 2_700])
def test_a_label_is_never_longer_than_airflow_keeps(tmp_path, length):
    [ref] = RunArea(str(tmp_path)).write_slices([[change("é" * length)]])
    assert len(ref.label) == min(length, LONGEST)


def test_long_ids_that_begin_alike_have_labels_of_their_own(tmp_path):
    slices = [[change("x" * 300 + end)] for end in "abc"]
    labels = {ref.label for ref in RunArea(str(tmp_path)).write_slices(slices)}
    assert len(labels) == 3
    assert all(label.startswith("x" * 200) for label in labels)


def test_the_files_of_a_run_are_whole_whoever_writes_at_the_same_time(tmp_path):
    area = RunArea(str(tmp_path))
    area.write_details(0, "2026-11-22", population("a", "b"))
    area.write_passed(0, [change("a")])
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            area.write_details(0, "2026-11-22", population("a", "b"))
            area.write_passed(0, [change("a")])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for _ in range(100):
        assert list(area.read_details(0, "2026-11-22").contacts["contact_id"]) == ["a", "b"]
        assert area.read_passed(0) == [change("a")]
    done.set()
    for writer in writers:
        writer.join()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = UPath(tmp_path) / "folder" / "file"
    with whole_file(path.fs, path.path) as file:
        file.write(b"before")
    with pytest.raises(ZeroDivisionError), whole_file(path.fs, path.path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"before"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_what_an_earlier_try_loaded_is_not_read_with_the_later(tmp_path):
    area = RunArea(str(tmp_path))
    rows = pd.DataFrame({"contact_id": ["a"], "scope": ["directory"], "opted_in": [True]})
    area.write_details(0, "2026-11-22", population("a", subscriptions=rows))
    area.write_details(0, "2026-11-22", population("a"))
    assert area.read_details(0, "2026-11-22").subscriptions is None
