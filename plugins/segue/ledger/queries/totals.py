"""Looking at the ledger: counts for people, made in SQL and never by reading whole tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, func, literal, select, true, union_all

from segue.ledger.base import LedgerDatabase
from segue.ledger.schema import UtcDateTime, deliveries
from segue.ledger.states import DUE_LATER, State

# what may wait for somebody, or for its time
OPEN_ENDS = (State.FAILED, State.UNCERTAIN, *DUE_LATER, State.PLANNED)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many deliveries of a workflow, for the changes that one snapshot shows, stand where."""

    workflow: str
    event_at: datetime  # the snapshot's as-of
    state: State
    count: int


class Totals(LedgerDatabase):
    """What the pages ask."""

    def outcomes_since(self, workflows: Collection[str], since: datetime) -> Sequence[Outcomes]:
        """Return the outcomes of changes that happened since then, in order of time.

        Of a million rows counting is all that takes time: the instants, of which there are few, are
        found by stepping through the index, and each state of each is counted by itself, which
        takes half as long as grouping.
        """
        table = deliveries.c
        events = self._events(workflows, since)
        states = _one_column("state", State)
        number = (
            select(func.count())
            .where(
                table.namespace == self.namespace,
                table.workflow == events.c.workflow,
                table.event_at == events.c.event_at,
                table.state == states.c.state,
            )
            .correlate(events, states)
            .scalar_subquery()
        )
        totals = (
            select(events.c.workflow, events.c.event_at, states.c.state, number.label("count"))
            .select_from(events.join(states, true()))
            .where(events.c.event_at.is_not(None))
            .subquery()
        )
        query = select(totals).where(totals.c.count > 0).order_by(*list(totals.c)[:3])
        with self._read() as connection:
            return [
                Outcomes(workflow, event_at, State(state), count)
                for workflow, event_at, state, count in connection.execute(query)
            ]

    def _events(self, workflows: Collection[str], since: datetime) -> Any:
        """Return (workflow, event_at) of all changes since then, each once, and a last NULL."""
        table = deliveries.c

        def first_after(workflow: Any, *conditions: Any) -> Any:
            query = select(func.min(table.event_at, type_=UtcDateTime))
            own = (table.namespace == self.namespace, table.workflow == workflow)
            return query.where(*own, *conditions).scalar_subquery()

        names = _one_column("workflow", sorted(workflows) or [""])
        first = first_after(names.c.workflow, table.event_at >= since).label("event_at")
        steps = select(names.c.workflow, first).cte("events", recursive=True)
        later = first_after(steps.c.workflow, table.event_at > steps.c.event_at)
        return steps.union_all(select(steps.c.workflow, later).where(steps.c.event_at.is_not(None)))

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
        counts: dict[str, Counter[State]] = {name: Counter() for name in workflows}
        with self._read() as connection:
            for workflow, state, count in connection.execute(query):
                counts[workflow][State(state)] = count
        return counts


def _one_column(name: str, texts: Iterable[str]) -> Any:
    """Return a table of these texts, in a form that both databases understand."""
    rows = [select(literal(str(text), String).label(name)) for text in texts]
    return union_all(*rows).cte(f"all_{name}s")
