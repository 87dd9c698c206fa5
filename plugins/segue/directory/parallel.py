"""Work on several threads: files and slices side by side, and what each of them is asked once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_THREADS = min(8, os.cpu_count() or 1)  # each holds one slice in memory
_worker = threading.local()  # ``busy`` is set on the threads that work for ``in_parallel``


class Lazy(Generic[Result]):
    """A property that is computed once and kept, without a lock.

    Python 3.11's ``cached_property`` has one lock for all instances of a class: files would be read
    one by one. Two threads that ask one file at once may both read it.
    """

    def __init__(self, work: Callable[[Any], Result]) -> None:
        self._work, self._name, self.__doc__ = work, work.__name__, work.__doc__

    def __get__(self, part: Any, _: type[Any]) -> Result:
        value = self._work(part)
        part.__dict__[self._name] = value  # hides this property, which has no __set__
        return value


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the work's results in the items' order; Arrow and numpy leave Python's lock free.

    Work that asks for it again does its items one by one: it holds a thread already.
    """
    if len(items) < 2 or getattr(_worker, "busy", False):
        return [work(item) for item in items]
    return list(_workers().map(work, items))


@cache
def _workers() -> ThreadPoolExecutor:
    """Start threads that stay: the memory a thread has used is at hand for its next work."""
    return ThreadPoolExecutor(_THREADS, initializer=setattr, initargs=(_worker, "busy", True))


os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not live on in a child
