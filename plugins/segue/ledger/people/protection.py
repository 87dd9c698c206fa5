"""What keeps messages from people, and runs from snapshots, copied into another ledger."""

from __future__ import annotations

from sqlalchemy import select

from segue.ledger import Ledger
from segue.ledger.schema import quarantines, suppressions


def copy_protection(source: Ledger, target: Ledger) -> None:
    """Copy the suppression list, who was forgotten, and the quarantines of a namespace."""
    for table in (suppressions, quarantines):
        query = select(table).where(table.c.namespace == source.namespace)
        with source.engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        if rows:
            with target.engine.begin() as connection:
                connection.execute(table.insert(), rows)
