"""Files are whole or not there, and what a killed writer left does not stay."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
from fsspec.implementations.local import LocalFileSystem

from segue.directory.whole_files import remove_unfinished, whole_file


def killed_writer(path: str) -> None:
    with whole_file(LocalFileSystem(), path) as file:
        file.write(b"a contact")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def left_over(tmp_path):
    """A file that a killed process left, deep below the folder, beside one that is whole."""
    path = tmp_path / "runs/test/welcome/run/branch/0.json"
    writer = multiprocessing.get_context("fork").Process(target=killed_writer, args=[str(path)])
    writer.start()
    writer.join()
    [file] = path.parent.iterdir()
    assert file.read_bytes() == b"a contact"
    for name in ("0.json", "notes.tmp"):
        path.with_name(name).write_bytes(b"whole")
    return file


@pytest.mark.parametrize(("minutes", "removed"), [(59, 0), (61, 1)])
def test_what_a_killed_writer_left_goes_an_hour_later(left_over, tmp_path, minutes, removed):
    """One that is younger may be under way; other programs' files are theirs."""
    written = datetime.fromtimestamp(left_over.stat().st_mtime, UTC)
    assert remove_unfinished(str(tmp_path), written + timedelta(minutes=minutes)) == removed
    rest = {"0.json", "notes.tmp"} | ({left_over.name} if not removed else set())
    assert {file.name for file in left_over.parent.iterdir()} == rest


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert remove_unfinished(str(tmp_path / "nowhere"), datetime.now(UTC)) == 0
