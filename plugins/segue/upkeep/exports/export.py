"""Appending to a destination what has changed in the ledger since the last export.

The destination keeps the mark that says up to where it has come, and takes rows and mark together
or neither: whatever ends an export, the next one begins where the last finished one ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.feed import Forgotten, Mark
from segue.ledger.feed_columns import FEED, FeedTable


@dataclass(frozen=True, slots=True)
class Finished:
    """The newest export of a namespace at a destination: its number, from 1 on, and its mark."""

    number: int
    mark: Mark


class Parcel(Protocol):
    """One export on its way: nothing of it counts before ``finish``."""

    def add(self, table: FeedTable, rows: Iterable[Sequence[Sequence[Any]]]) -> int:
        """Take batches of rows, in the order of the table's columns; return how many rows."""

    def erase(self, forgotten: Forgotten) -> int:
        """Take out, of what is there already, the rows of forgotten contacts; return how many."""

    def finish(self, mark: Mark, rows: Mapping[str, int], now: datetime) -> None:
        """Let the rows and the mark count, together."""


class Destination(Protocol):
    """Where exports go. ``address`` names the same place in the same words."""

    address: str

    def newest(self, namespace: str) -> Finished | None:
        """Return what it has; raise SettingsError where that cannot be read."""

    def begin(self, namespace: str, number: int) -> AbstractContextManager[Parcel]:
        """Begin an export; what is left of one that was not finished goes."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What one export did. ``rows`` by table; ``number`` None where nothing had changed."""

    number: int | None
    rows: Mapping[str, int]
    erasures: int
    is_whole: bool  # everything, and not what came since an earlier one
    had_earlier: bool


def export(
    ledger: Ledger, destination: Destination, now: datetime, since: datetime | None = None
) -> Exported:
    """Append what has changed; of a destination's first export, only what changed ``since``.

    Raises SettingsError for ``since`` where the destination has an export already.
    """
    newest = destination.newest(ledger.namespace)
    if since is not None and newest is not None:
        raise SettingsError(
            f"{destination.address} has {newest.number} exports already, and each goes on where "
            "the last one ended: --since is for the first; nothing was exported"
        )
    place = hashlib.sha256(destination.address.encode()).hexdigest()
    with ledger.feed.export(place, lambda: _mark(destination, ledger.namespace)) as part:
        newest = destination.newest(ledger.namespace)
        number = newest.number + 1 if newest else 1
        with destination.begin(ledger.namespace, number) as parcel:
            rows = {
                table.name: parcel.add(table, part.batches(table, since)) for table in FEED.values()
            }
            was_forgotten = newest.mark.forgotten if newest else ""
            is_erasure = part.mark.forgotten != was_forgotten
            erasures = parcel.erase(part.forgotten) if newest and is_erasure else 0
            is_news = newest is None or is_erasure or any(rows.values())
            if is_news:
                parcel.finish(part.mark, rows, now)
    return Exported(number if is_news else None, rows, erasures, part.is_whole, newest is not None)


def _mark(destination: Destination, namespace: str) -> Mark | None:
    newest = destination.newest(namespace)
    return newest.mark if newest else None
