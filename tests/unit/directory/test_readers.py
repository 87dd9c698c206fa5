"""Work on slices in parallel: on threads that stay, in any process, however it is nested."""

from __future__ import annotations

import os
import threading

import pytest

from segue.directory.readers import in_parallel


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
