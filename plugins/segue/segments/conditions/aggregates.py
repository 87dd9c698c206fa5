"""What can be made of a contact's transactions: one value per contact, compared like a field.

Adding one is a class here and, if none fits, a method of ``Rows`` (segments/transactions.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from segue.directory.column_kinds import ColumnKind
from segue.segments.conditions.registry import Reading

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.transactions import Rows


class Aggregate(ABC):
    """One aggregate over the matching transactions of each contact."""

    name: ClassVar[str]
    needs_field: ClassVar[bool] = True
    reads: ClassVar[Reading | None] = None  # what it takes its field for; None: it is not checked
    kind: ClassVar[ColumnKind | None] = None  # what its value is, always; None: it is not checked

    @abstractmethod
    def of(self, rows: Rows, field: str) -> Column:
        """Return one value per contact; ``field`` is empty where none is needed."""


_AGGREGATES: dict[str, Aggregate] = {}
AnyAggregate = TypeVar("AnyAggregate", bound=type[Aggregate])


def register_aggregate(aggregate: AnyAggregate) -> AnyAggregate:
    """Add an aggregate class; a name that is taken is an error."""
    if aggregate.name in _AGGREGATES:
        raise ValueError(f"the aggregate {aggregate.name!r} exists already")
    _AGGREGATES[aggregate.name] = aggregate()
    return aggregate


def find_aggregate(name: str) -> Aggregate:
    """Return the aggregate of that name; raise KeyError if there is none."""
    return _AGGREGATES[name]


def aggregate_names() -> tuple[str, ...]:
    """Return the names of all aggregates, in order of registration."""
    return tuple(_AGGREGATES)


@register_aggregate
class Count(Aggregate):
    """The number of matching rows; 0 without any."""

    name, needs_field, kind = "count", False, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.count()


@register_aggregate
class Sum(Aggregate):
    """The sum of a number field; 0 without rows, missing amounts left out."""

    name = "sum"
    reads, kind = Reading.NUMBER, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.sum(field)


@register_aggregate
class Mean(Aggregate):
    """The mean of a number field, the nearest double to it; missing without numbers."""

    name = "mean"
    reads, kind = Reading.NUMBER, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.mean(field)


@register_aggregate
class Min(Aggregate):
    """The least value of a number field; missing without numbers."""

    name = "min"
    reads, kind = Reading.NUMBER, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.least(field)


@register_aggregate
class Max(Aggregate):
    """The greatest value of a number field; missing without numbers."""

    name = "max"
    reads, kind = Reading.NUMBER, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.greatest(field)


@register_aggregate
class Earliest(Aggregate):
    """The least value of a date field; missing without dates."""

    name = "earliest"
    reads, kind = Reading.INSTANT, ColumnKind.INSTANT

    def of(self, rows: Rows, field: str) -> Column:
        return rows.earliest(field)


@register_aggregate
class Latest(Aggregate):
    """The greatest value of a date field; missing without dates."""

    name = "latest"
    reads, kind = Reading.INSTANT, ColumnKind.INSTANT

    def of(self, rows: Rows, field: str) -> Column:
        return rows.latest(field)
