"""A population's transactions, grouped by contact.

Rows dated at or after as-of do not exist; rows without a date or whose contact is not in the
population are ignored (docs/conditions.md, "Transactions").
"""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.segments.columns.column import Column, InstantColumn, NumberColumn
from segue.segments.columns.ordered import Groups, Mask, ScaledIntegers
from segue.segments.columns.readings import mask_of


class Rows:
    """The transactions that match one condition, each with the row number of its contact.

    ``column`` gives a column over all transactions; ``chosen`` marks the ones that count. Every
    aggregate has one value per contact.
    """

    def __init__(
        self, column: Callable[[str], Column], mask: Mask, groups: Groups, size: int, zone: ZoneInfo
    ) -> None:
        self._column = column
        self._chosen = mask
        self._groups = groups
        self._size = size
        self._zone = zone

    def count(self) -> Column:
        """Return the number of rows of each contact."""
        counts = np.bincount(self._groups, minlength=self._size).astype(np.int64)
        return NumberColumn(ScaledIntegers(counts, np.ones(self._size, dtype=bool)), self._zone)

    def sum(self, field: str) -> Column:
        """Return the sum of ``field``; 0 for a contact without rows."""
        numbers = self._column(field).numbers.rows(self._chosen)
        return NumberColumn(numbers.sums(self._groups, self._size), self._zone)

    def mean(self, field: str) -> Column:
        """Return the mean of ``field``; missing for a contact without any number."""
        numbers = self._column(field).numbers.rows(self._chosen)
        return NumberColumn(numbers.means(self._groups, self._size), self._zone)

    def least(self, field: str) -> Column:
        """Return the least number in ``field``; missing for a contact without any."""
        numbers = self._column(field).numbers.rows(self._chosen)
        return NumberColumn(numbers.least(self._groups, self._size), self._zone)

    def greatest(self, field: str) -> Column:
        """Return the greatest number in ``field``; missing for a contact without any."""
        numbers = self._column(field).numbers.rows(self._chosen)
        return NumberColumn(numbers.greatest(self._groups, self._size), self._zone)

    def earliest(self, field: str) -> Column:
        """Return the first instant in ``field``; missing for a contact without any."""
        column = self._column(field)
        earliest = column.instants.rows(self._chosen).earliest(self._groups, self._size)
        return InstantColumn(earliest, self._zone, dates=column.dates_only)

    def latest(self, field: str) -> Column:
        """Return the last instant in ``field``; missing for a contact without any."""
        column = self._column(field)
        latest = column.instants.rows(self._chosen).latest(self._groups, self._size)
        return InstantColumn(latest, self._zone, dates=column.dates_only)


def group_rows(
    column: Callable[[str], Column],
    ids: ArrowColumn,
    visible: Mask,
    contacts: ArrowColumn,
    zone: ZoneInfo,
) -> Rows:
    """Return the ``visible`` transactions of known contacts, grouped; ``ids`` has one per row."""
    row_numbers = np.flatnonzero(visible)
    positions = pc.index_in(pc.take(ids, pa.array(row_numbers)), value_set=contacts)
    has_contact = mask_of(positions.is_valid())
    groups = pc.fill_null(positions, 0).to_numpy()[has_contact].astype(np.int64)
    rows = np.zeros(len(visible), dtype=bool)
    rows[row_numbers[has_contact]] = True
    return Rows(column, rows, groups, len(contacts), zone)


def ids_of(frame: pd.DataFrame) -> ArrowColumn:
    """Return a frame's contact ids as one Arrow column; a missing id is null."""
    ids = pa.array(frame["contact_id"], from_pandas=True)
    chunks = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    return chunks.cast(TEXT)
