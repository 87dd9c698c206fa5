"""What the columns of a snapshot hold, in words that conditions and messages are checked against.

A kind follows from the types that files note, without reading a row: in CSV every column is text.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class ColumnKind(StrEnum):
    """What a column holds, from the kind that goes with any other to the widest."""

    NULL = "null"  # no value in any file: it goes with every kind
    BOOLEAN = "boolean"
    NUMBER = "number"  # integers, decimals, floating point
    DATE = "date"  # calendar days
    INSTANT = "instant"  # dates with a time, with or without a zone
    TIME = "time"  # of day, without a date
    DURATION = "duration"
    TEXT = "text"
    BYTES = "bytes"  # read as text where they are UTF-8; elsewhere missing
    LIST = "list"
    STRUCT = "struct"  # structs and maps


_WIDTH = {kind: width for width, kind in enumerate(ColumnKind)}
_ALIKE = {ColumnKind.DATE: ColumnKind.INSTANT, ColumnKind.BYTES: ColumnKind.TEXT}


def kind_of_all(kinds: Iterable[ColumnKind]) -> ColumnKind:
    """Return what a column holds whose files hold these: dates with instants are instants."""
    return max(kinds, key=_WIDTH.__getitem__)


def are_alike(one: ColumnKind, other: ColumnKind) -> bool:
    """Tell whether conditions read both kinds in the same way, or one of them holds nothing."""
    same = _ALIKE.get(one, one) == _ALIKE.get(other, other)
    return same or ColumnKind.NULL in (one, other)
