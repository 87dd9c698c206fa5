"""One expectation that a snapshot does not meet, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unmet:
    """What was expected, and what there is: numbers, words of the definition and contact ids."""

    table: str
    column: str  # several with commas between them; empty where it is about the table as a whole
    expectation: str  # as it is written
    finding: str
    contacts: Sequence[str] = ()  # whose rows do not meet it, the first few

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        whose = ", ".join(map(repr, self.contacts))
        text = f"{place}: expected {self.expectation}, found {self.finding}"
        return f"{text}; contacts {whose}" if whose else text
