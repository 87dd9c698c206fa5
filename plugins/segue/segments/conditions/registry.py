"""The operators that conditions may use, under their own names and their complements'.

A team's own operator is registered exactly as the built-in ones are::

    @register
    class Exceeds(Operator[float]):
        name, complement, takes = "exceeds", "not_exceeds", Number()

        def holds(self, column, operand, moment):
            return column.numbers.above(operand)

A module that registers operators is named by an entry point of the group ``segue.operators`` in
the team's own package, and imported before the first condition is read.

An operator's module needs no pandas: ``column`` is a view (segments/columns/column.py) that reads
the values as numbers, text, booleans or instants, and answers with one boolean per row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from segue.durations import Duration, localize
from segue.segments.conditions.operands import Operand

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.columns.ordered import Mask

T = TypeVar("T")
AnyOperator = TypeVar("AnyOperator", bound="type[Operator[Any]]")


class Reading(StrEnum):
    """What an operator takes the values of a column for, whatever they are stored as."""

    TEXT = "text"
    NUMBER = "numbers"
    INSTANT = "dates"
    BOOLEAN = "booleans"
    OPERAND = "what the operand is"  # each element of a list by itself


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant and the zone a condition is judged in: the snapshot's, never the clock's."""

    as_of: datetime
    zone: ZoneInfo

    def before(self, duration: Duration) -> datetime:
        """Return the instant ``duration`` before as-of, or the earliest there is."""
        return duration.before(self.as_of, self.zone)

    def after(self, duration: Duration) -> datetime:
        """Return the instant ``duration`` after as-of, or the latest there is."""
        return duration.after(self.as_of, self.zone)

    def midnight(self, day: date) -> datetime:
        """Return the instant at which a day begins in the zone."""
        return self.instant(datetime.combine(day, time.min))

    def end_of(self, day: date) -> datetime:
        """Return the instant at which a day is over in the zone."""
        if day == date.max:
            return datetime.max.replace(tzinfo=UTC)
        return self.midnight(day + timedelta(days=1))

    def instant(self, operand: datetime) -> datetime:
        """Return a date operand as an aware instant; naive ones are in the directory's zone."""
        if operand.tzinfo is not None:
            return operand
        try:
            return localize(operand, self.zone)
        except OverflowError:  # within hours of the first or the last instant there is
            return operand.replace(tzinfo=UTC)


class Operator(ABC, Generic[T]):
    """One operator: a name, what it takes, and for which rows it holds.

    ``holds`` must be false where the value is missing (only ``is_empty`` differs); the complement
    is generated as exactly the negation, and so is true there.
    """

    name: str
    complement: str | None = None
    takes: Operand
    reads: Reading | None = None  # what it takes a column for; None: it is not checked
    version: ClassVar[int] = 1  # raised when the same operand may give another answer than before

    @abstractmethod
    def holds(self, column: Column, operand: T, moment: Moment) -> Mask:
        """Return one boolean per row of ``column``; ``column`` is not changed."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An operator under one of its two names."""

    operator: Operator[Any]
    negated: bool

    def holds(self, column: Column, operand: Any, moment: Moment) -> Mask:
        """Return one boolean per row; the complement's are exactly the opposite."""
        mask = self.operator.holds(column, operand, moment)
        return ~mask if self.negated else mask

    @property
    def other(self) -> str | None:
        """The name of the complement of this name."""
        return self.operator.name if self.negated else self.operator.complement


_OPERATORS: dict[str, Registered] = {}


def register(operator: AnyOperator) -> AnyOperator:
    """Add an operator class, and its complement; a name that is taken is an error."""
    add_operator(operator())
    return operator


def add_operator(operator: Operator[Any]) -> None:
    """Add what ``register`` adds of a class."""
    entries = {operator.name: Registered(operator, negated=False)}
    if operator.complement is not None:
        entries[operator.complement] = Registered(operator, negated=True)
    for name in entries:
        if name in _OPERATORS:
            owner = type(_OPERATORS[name].operator).__name__
            raise ValueError(f"the operator {name!r} exists already, as {owner}")
    _OPERATORS.update(entries)


def find_operator(name: str) -> Registered:
    """Return the operator of that name; raise KeyError if there is none."""
    _import_installed()
    return _OPERATORS[name]


def operator_names() -> tuple[str, ...]:
    """Return every name a condition may use, complements included, in order of registration."""
    _import_installed()
    return tuple(_OPERATORS)


@cache
def _import_installed() -> None:
    """Import the modules of other packages that register operators."""
    for entry in entry_points(group="segue.operators"):
        entry.load()
