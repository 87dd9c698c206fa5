"""The interface of a source that a directory's own snapshots are taken from, beside databases.

A source is one class, as a channel and a live source are. Its fields are what a team writes below
its name in a directory's ``take:``::

    class CrmContacts(SnapshotSource):
        name: ClassVar[str] = "crm"
        tables: ClassVar[Sequence[TableName]] = ("contacts",)

        def connect(self) -> SnapshotReader: ...

Built-in sources are listed in ``BUILT_IN``; a team's own is an entry point of the group
``segue.snapshot_sources`` (docs/snapshots.md has a complete one). What is read becomes a snapshot
by ``segue.takes.take``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from segue.documents import Definition
from segue.installed import class_at, installed

TableName = Literal["contacts", "transactions", "mailing_lists", "subscriptions"]
BUILT_IN = {"qualtrics": "segue.snapshot_sources.qualtrics.source:QualtricsDirectory"}
GROUP = "segue.snapshot_sources"


class SnapshotReader(ABC):
    """An open connection to a source, for one snapshot."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:  # noqa: B027 - some have nothing to close
        """Close what is open; called whatever happened."""

    # whether all tables are read as they stood at one instant; the snapshot's manifest says it
    has_one_view: bool = False

    @abstractmethod
    def batches(
        self, table: TableName, as_of: datetime, previous: datetime | None
    ) -> Iterable[Any]:
        """Yield the rows of a table in batches of columns: Arrow's, or what Arrow can read.

        ``as_of`` (aware, UTC) is the first instant that the snapshot does not know, ``previous``
        that of the complete snapshot before, or None. A batch is a ``pyarrow.RecordBatch``, a
        ``pyarrow.Table``, or an object with ``__arrow_c_stream__`` or ``__arrow_c_array__``, as the
        frames of pandas and Polars. All have the same columns, whose types may differ. At least
        one, if an empty one. Raises DataError or SettingsError where the rows cannot be had, with
        no text of a contact; what else it raises is told by its kind alone.
        """


class SnapshotSource(Definition, ABC):
    """The base of every source: its fields as written in YAML."""

    name: ClassVar[str]  # the key in `take:`

    @property
    @abstractmethod
    def tables(self) -> Sequence[TableName]:
        """The tables that it has, contacts among them, in the order in which they are read."""

    @property
    def knows_only_now(self) -> Sequence[TableName]:
        """Those of its tables that answer with the present, whichever as-of is asked for."""
        return ()

    @abstractmethod
    def connect(self) -> SnapshotReader:
        """Open the connection; raise SettingsError or DataError where that cannot be."""


def take_source_names() -> list[str]:
    """Return the names of all sources that are installed, sorted."""
    return sorted({*BUILT_IN, *installed(GROUP)})


def take_source_class(name: str) -> type[SnapshotSource]:
    """Return the class of the source ``name``; KeyError when there is none."""
    source: type[SnapshotSource] = class_at({**BUILT_IN, **installed(GROUP)}[name])
    return source
