"""The ways of deliveries from state to state, as docs/design.md has them, as a trigger."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, text

from segue.delivery.schema import State

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


def refuse_other_ways(engine: Engine) -> None:
    """Let a ledger on SQLite refuse every step of a delivery that the page does not have."""
    listed = " OR ".join(
        f"(OLD.state = '{origin}' AND NEW.state = '{to}')" for origin, to in sorted(transitions())
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER ways_of_design_md BEFORE UPDATE OF state ON deliveries "
                f"WHEN OLD.state <> NEW.state AND NOT ({listed}) BEGIN "
                "SELECT RAISE(ABORT, 'docs/design.md does not have this step of a delivery'); END"
            )
        )
