"""What a table of a lake knows of its past: versions and the instants from which on they hold."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from segue.directory.layout import without_password
from segue.directory.parts import Part
from segue.errors import DataError, SegueError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a table, by the table's own number."""

    number: int  # of Delta the version, of Iceberg the snapshot's id
    since: datetime  # aware, UTC: when it was committed


class LakeTable(Protocol):
    """One table of a directory, whatever the lake's format; it is asked once for its history."""

    @property
    def where(self) -> str:
        """What messages call it: the table's name in the directory, and its place."""

    @property
    def versions(self) -> Sequence[Version]:
        """The versions that it has kept, in the order of their time; at least one."""

    @property
    def tags(self) -> Mapping[str, Version]:
        """The versions that have a name of their own."""

    def identity(self, version: Version) -> str:
        """Return what another table at the same place has not: its UUID."""

    def parts(self, version: Version) -> list[Part]:
        """Return the readers of a version's files; at least one."""


def version_at(table: LakeTable, as_of: datetime) -> Version | None:
    """Return the version that held just before ``as_of``; None where the table knows none.

    What was committed at that instant or later is not in it.
    """
    position = bisect_left(table.versions, as_of, key=lambda version: version.since)
    return table.versions[position - 1] if position else None


def describe_oldest(table: LakeTable) -> str:
    """Say since when a table knows its past."""
    oldest = table.versions[0]
    return (
        f"{table.where} knows nothing before {oldest.since:%Y-%m-%dT%H:%M:%SZ}, its oldest "
        f"version that is kept ({oldest.number})"
    )


@contextmanager
def lake_errors(where: str) -> Iterator[None]:
    """Turn whatever a library of a lake raises into a DataError that begins with ``where``."""
    try:
        yield
    except SegueError:
        raise
    except Exception as error:  # both libraries, and what they read with, have errors of their own
        raise DataError(f"{where} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the first line of an error, and the last: what went wrong, and why."""
    text = _COLOURS.sub("", str(error))
    lines = [line.strip(" ↳\t") for line in text.splitlines() if line.strip(" ↳\t")]
    ends = dict.fromkeys([lines[0], lines[-1]] if lines else [type(error).__name__])
    return without_password(": ".join(ends))[:300]


def instant_of_millis(millis: int) -> datetime:
    """Return milliseconds since 1970, as both formats have them, as an instant."""
    seconds, rest = divmod(millis, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
