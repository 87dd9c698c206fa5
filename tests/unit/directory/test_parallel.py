"""Work on slices in parallel: on threads that stay, in any process, however it is nested."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from segue.directory.layout import StoredFile
from segue.directory.parallel import in_parallel
from segue.directory.readers import open_parts


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("asked", ["columns", "schema", "kinds"])
def test_two_files_are_read_at_once(tmp_path, kind, asked):
    """Each waits, while it is read, for the other one to be read as well."""
    both = threading.Barrier(2, timeout=60)

    class Meeting(DirFileSystem):
        def open(self, *args, **kwargs):
            if not waited.get(threading.get_ident()):
                waited[threading.get_ident()] = True
                both.wait()
            return super().open(*args, **kwargs)

    waited: dict[int, bool] = {}
    table = pa.table({"contact_id": ["1"]})
    for name in ("a", "b"):
        if kind == "csv":
            pacsv.write_csv(table, tmp_path / f"{name}.csv")
        else:
            pq.write_table(table, tmp_path / f"{name}.parquet")
    files = [
        StoredFile(f"contacts/{name}.{kind}", f"{name}.{kind}", 1, "", None) for name in ("a", "b")
    ]
    parts = open_parts(files, Meeting(str(tmp_path), LocalFileSystem()))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda part: getattr(part, asked), parts))
    assert answers[0] == answers[1]
    assert len(answers[0]) == 1


def test_results_are_in_the_order_of_the_items():
    assert in_parallel(lambda number: number * 2, range(50)) == list(range(0, 100, 2))


def test_the_same_threads_work_again():
    threads = set()
    for _ in range(20):
        in_parallel(lambda _: threads.add(threading.get_ident()), range(8))
    assert 1 <= len(threads) <= (os.cpu_count() or 1)
    assert threading.get_ident() not in threads


def test_work_within_work_does_not_wait_for_threads_that_wait_for_it():
    def outer(number):
        return sum(in_parallel(lambda other: number * other, range(9)))

    assert in_parallel(outer, range(20)) == [36 * number for number in range(20)]


def test_what_the_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda number: 1 // number, [1, 0, 1])


def test_a_forked_process_has_threads_of_its_own():
    in_parallel(str, range(4))
    child = os.fork()
    if not child:
        os._exit(0 if in_parallel(str, range(4)) == ["0", "1", "2", "3"] else 1)
    assert os.waitpid(child, 0)[1] == 0
