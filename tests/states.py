"""The ways of deliveries from state to state: as the table has them, and as docs/design.md does."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from segue.ledger.states import State, Step

PAGE = Path(__file__).parents[1] / "docs" / "design.md"
ALL_BUT = "all but "


@cache
def documented() -> frozenset[tuple[str, str]]:
    """Return (from, to) of every row of the page's table; the first state of all is ``""``."""
    rows = re.findall(r"(?m)^\| ([^|]+) \| `([a-z]+)` \| [^|]+ \|$", PAGE.read_text())
    return frozenset((origin, to) for cell, to in rows for origin in _origins(cell))


def steps() -> frozenset[tuple[str, str]]:
    """Return (from, to) of every step."""
    return frozenset(
        (origin, str(step.to)) for step in Step for origin in map(str, step.origins or [""])
    )


def refuse_other_steps(engine: Engine) -> None:
    """Let a ledger on SQLite refuse whatever changes a state by a way that is none."""
    if engine.dialect.name != "sqlite":
        return
    allowed = ", ".join(f"'{origin}>{to}'" for origin, to in sorted(steps()))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER IF NOT EXISTS only_steps BEFORE UPDATE OF state ON deliveries "
            f"WHEN old.state <> new.state AND old.state || '>' || new.state NOT IN ({allowed}) "
            "BEGIN SELECT RAISE(ABORT, 'no step of the table'); END"
        )


def _origins(cell: str) -> set[str]:
    states = set(re.findall(r"`([a-z]+)`", cell))
    if cell.startswith(ALL_BUT):
        return set(State) - states
    return states or {""}
