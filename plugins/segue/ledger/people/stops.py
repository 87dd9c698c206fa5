"""What a person stopped: the door asks before every claim."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select

from segue.ledger.base import LedgerDatabase
from segue.ledger.schema import stops

EVERYTHING = "*"  # no workflow's name


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop. ``workflow`` is None where all workflows are stopped."""

    workflow: str | None
    reason: str
    stopped_by: str
    stopped_at: datetime

    def __str__(self) -> str:
        what = "everything" if self.workflow is None else self.workflow
        because = f": {self.reason}" if self.reason else ""
        when = f"{self.stopped_at:%Y-%m-%d %H:%M} UTC"
        return f"{what} was stopped by {self.stopped_by} at {when}{because}"


class Stops(LedgerDatabase):
    """Stops of one workflow, or of all."""

    def stop(self, workflow: str | None, by: str, reason: str, now: datetime) -> Stop:
        """Stop a workflow, or all (None); what was stopped before keeps its time and reason."""
        values = {
            "namespace": self.namespace,
            "workflow": workflow or EVERYTHING,
            "reason": reason,
            "stopped_by": by,
            "stopped_at": now,
        }
        query = select(stops).where(self._stop_of(workflow))
        with self._write() as connection:
            connection.execute(self._insert(stops).values(values).on_conflict_do_nothing())
            return _stop(connection.execute(query).one())

    def go(self, workflow: str | None) -> bool:
        """Lift the stop of a workflow, or that of all (None); returns whether there was one.

        Each stop is lifted by itself: a workflow that was stopped too stays so when all may go.
        """
        with self._write() as connection:
            return connection.execute(delete(stops).where(self._stop_of(workflow))).rowcount > 0

    def stopped(self, workflow: str) -> Stop | None:
        """Return why nothing of a workflow may be sent now: the stop of all, or its own."""
        query = (
            select(stops)
            .where(
                stops.c.namespace == self.namespace, stops.c.workflow.in_((workflow, EVERYTHING))
            )
            .order_by(stops.c.workflow)  # "*" sorts before every name
        )
        with self._read() as connection:
            row = connection.execute(query).first()
            return None if row is None else _stop(row)

    def stops(self) -> list[Stop]:
        """Return all stops, that of everything first, then by workflow."""
        query = select(stops).where(stops.c.namespace == self.namespace).order_by(stops.c.workflow)
        with self._read() as connection:
            return [_stop(row) for row in connection.execute(query)]

    def _stop_of(self, workflow: str | None) -> Any:
        return (stops.c.namespace == self.namespace) & (
            stops.c.workflow == (workflow or EVERYTHING)
        )


def _stop(row: Row[Any]) -> Stop:
    workflow = None if row.workflow == EVERYTHING else row.workflow
    return Stop(workflow, row.reason, row.stopped_by, row.stopped_at)
