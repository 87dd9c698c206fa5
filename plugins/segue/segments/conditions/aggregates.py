"""What can be made of a contact's transactions: one value per contact, compared like a field.

Adding one is a row here and, if none fits, a method of ``Rows`` (segments/transactions.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar

from segue.directory.column_kinds import ColumnKind
from segue.segments.conditions.registry import Reading

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.transactions import Rows


class Aggregate(ABC):
    """One aggregate over the matching transactions of each contact."""

    name: str
    needs_field: ClassVar[bool] = True
    reads: Reading | None = None  # what it takes its field for; None: it is not checked
    kind: ColumnKind | None = None  # what its value is, always; None: it is not checked

    @abstractmethod
    def of(self, rows: Rows, field: str) -> Column:
        """Return one value per contact; ``field`` is empty where none is needed."""


_AGGREGATES: dict[str, Aggregate] = {}
_Value: TypeAlias = "Callable[[Rows, str], Column]"
AnyAggregate = TypeVar("AnyAggregate", bound=type[Aggregate])


def register_aggregate(aggregate: AnyAggregate) -> AnyAggregate:
    """Add an aggregate class; a name that is taken is an error."""
    _add(aggregate())
    return aggregate


def _add(aggregate: Aggregate) -> None:
    if aggregate.name in _AGGREGATES:
        raise ValueError(f"the aggregate {aggregate.name!r} exists already")
    _AGGREGATES[aggregate.name] = aggregate


def find_aggregate(name: str) -> Aggregate:
    """Return the aggregate of that name; raise KeyError if there is none."""
    return _AGGREGATES[name]


def aggregate_names() -> tuple[str, ...]:
    """Return the names of all aggregates, in order of registration."""
    return tuple(_AGGREGATES)


class _OfField(Aggregate):
    """An aggregate of one field, as ``Rows`` has it."""

    def __init__(self, name: str, reads: Reading, kind: ColumnKind, value: _Value) -> None:
        self.name, self.reads, self.kind, self._value = name, reads, kind, value

    def of(self, rows: Rows, field: str) -> Column:
        return self._value(rows, field)


@register_aggregate
class Count(Aggregate):
    """The number of matching rows; 0 without any."""

    name, needs_field, kind = "count", False, ColumnKind.NUMBER

    def of(self, rows: Rows, field: str) -> Column:
        return rows.count()


for _name, _value in (
    ("sum", lambda rows, field: rows.sum(field)),
    ("mean", lambda rows, field: rows.mean(field)),
    ("min", lambda rows, field: rows.least(field)),
    ("max", lambda rows, field: rows.greatest(field)),
):
    _add(_OfField(_name, Reading.NUMBER, ColumnKind.NUMBER, _value))
for _name, _value in (
    ("earliest", lambda rows, field: rows.earliest(field)),
    ("latest", lambda rows, field: rows.latest(field)),
):
    _add(_OfField(_name, Reading.INSTANT, ColumnKind.INSTANT, _value))
