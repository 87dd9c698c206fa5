"""The ways of deliveries from state to state, as docs/design.md has them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from segue.ledger.states import State

PAGE = Path(__file__).parents[1] / "docs" / "design.md"
ALL_BUT = "all but "


@cache
def transitions() -> frozenset[tuple[str, str]]:
    """Return (from, to) of every row of the page's table; the first state of all is ``""``."""
    rows = re.findall(r"(?m)^\| ([^|]+) \| `([a-z]+)` \| [^|]+ \|$", PAGE.read_text())
    return frozenset((origin, to) for cell, to in rows for origin in _origins(cell))


def _origins(cell: str) -> set[str]:
    states = set(re.findall(r"`([a-z]+)`", cell))
    if cell.startswith(ALL_BUT):
        return set(State) - states
    return states or {""}
