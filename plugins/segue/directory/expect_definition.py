"""What a directory expects of every snapshot, table by table: columns, rows, how new they are."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from segue.directory.patterns import require_pattern
from segue.documents import Definition, Item, Items, Location, ProblemsFound, Share
from segue.durations import DurationField

Number = Annotated[int | float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Column = Annotated[str, Field(min_length=1)]


def _scalar(value: object) -> object:
    if value == "":
        raise ValueError('found ""; an empty text is a missing value, which set_at_least counts')
    if not isinstance(value, str | bool | int | float):
        raise ValueError("expected a text, a number, true or false")  # noqa: TRY004 - for pydantic
    return value


def _some(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if not values:
        raise ValueError("found an empty list; expected the values that may be there")
    return values


Value = Annotated[str | bool | int | Number, BeforeValidator(_scalar)]


def _crossed(least: float | None, most: float | None) -> list[tuple[Location, str]]:
    if least is None or most is None or least <= most:
        return []
    return [(("at_most",), f"found {most}, and at_least is {least}; no value can be both")]


class ColumnExpectations(Definition):
    """What the values of one column are; missing ones are for ``set_at_least`` alone.

    A column that is named is there, whatever else is expected of it.
    """

    type: Literal["text", "number", "boolean", "date"] | None = None
    set_at_least: Share | None = None  # of the rows
    matches: Annotated[str, Field(min_length=1), AfterValidator(require_pattern)] | None = None
    allowed: Annotated[Items[Value], AfterValidator(_some)] | None = None
    unique: bool = False
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        problems = _crossed(self.at_least, self.at_most)
        if self.type in ("text", "boolean", "date"):
            problems += [
                ((key,), f"a bound is a number, and type is {self.type}; expected type: number")
                for key in ("at_least", "at_most")
                if getattr(self, key) is not None
            ]
        if problems:
            raise ProblemsFound(problems)
        return self


class RowExpectations(Definition):
    """How many rows a table has."""

    at_least: Count | None = None
    at_most: Count | None = None
    change_at_most: Share | None = None  # of the rows of the newest complete snapshot before

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        problems = _crossed(self.at_least, self.at_most)
        if problems:
            raise ProblemsFound(problems)
        return self


class TableExpectations(Definition):
    """What is expected of one table; a table that is named is there."""

    columns: dict[Column, ColumnExpectations] = Field(default_factory=dict)
    rows: RowExpectations = RowExpectations()
    unique: Items[Column] = ()  # no two rows have the same values in all of these
    # By column: how long before the snapshot's as-of its newest date may be.
    freshness: dict[Column, DurationField] = Field(default_factory=dict)

    @property
    def column_names(self) -> list[str]:
        """Every column that something is expected of, once, as they are written."""
        return list(dict.fromkeys([*self.columns, *self.unique, *self.freshness]))
