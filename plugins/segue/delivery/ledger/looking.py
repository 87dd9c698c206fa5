"""Looking at the ledger: counts for people, made in SQL and never by reading whole tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from segue.delivery.ledger.database import LedgerDatabase
from segue.delivery.schema import State, deliveries

OPEN_ENDS = (State.FAILED, State.UNCERTAIN, State.HELD, State.PLANNED)  # what may wait for somebody


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many deliveries of a workflow, for the changes that one snapshot shows, stand where."""

    workflow: str
    event_at: datetime  # the snapshot's as-of
    state: State
    count: int


class Looking(LedgerDatabase):
    """What the pages ask."""

    def outcomes_since(self, workflows: Collection[str], since: datetime) -> Sequence[Outcomes]:
        """Return the outcomes of changes that happened since then, in order of time."""
        table = deliveries.c
        query = (
            select(table.workflow, table.event_at, table.state, func.count())
            .where(
                table.namespace == self.namespace,
                table.workflow.in_(sorted(workflows)),
                table.event_at >= since,
            )
            .group_by(table.workflow, table.event_at, table.state)
            .order_by(table.workflow, table.event_at, table.state)
        )
        with self._read() as connection:
            return [
                Outcomes(workflow, event_at, State(state), count)
                for workflow, event_at, state, count in connection.execute(query)
            ]

    def open_ends(self, workflows: Collection[str]) -> dict[str, Counter[State]]:
        """Return, per workflow, how many deliveries stand in each of OPEN_ENDS."""
        table = deliveries.c
        query = (
            select(table.workflow, table.state, func.count())
            .where(
                table.namespace == self.namespace,
                table.workflow.in_(sorted(workflows)),
                table.state.in_(OPEN_ENDS),
            )
            .group_by(table.workflow, table.state)
        )
        found: dict[str, Counter[State]] = {name: Counter() for name in workflows}
        with self._read() as connection:
            for workflow, state, count in connection.execute(query):
                found[workflow][State(state)] = count
        return found
