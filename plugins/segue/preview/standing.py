"""What the ledger has of a span's changes already: a preview supposes it, as a run finds it.

What is decided is not decided anew, what another run has sent or has in hand is left to it, and
nothing is written to who is on the suppression list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from segue.contacts.change import Change
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryRow, ListedDelivery
from segue.ledger.reasons import Reason
from segue.ledger.states import DUE_LATER, State
from segue.segments.kinds import ChangeKind
from segue.workflows.resolved import ResolvedWorkflow

_TO_JUDGE = (State.PLANNED, State.RELEASED, State.CLAIMED, *DUE_LATER)  # before it is sent
_Place = tuple[str, str, str]  # contact id, change, action


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A delivery of another run, and why this one leaves its change out."""

    reason: Reason  # sent_before | in_hand | reached
    key: str
    change: str
    snapshot: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Deliveries on record by key, those of other runs, and contacts on the suppression list."""

    rows: Mapping[str, DeliveryRow] = field(default_factory=dict)
    others: Mapping[_Place, Elsewhere] = field(default_factory=dict)
    suppressed: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        resolved: ResolvedWorkflow,
        changes: Sequence[Change],
        since: datetime | None,
    ) -> Self:
        """Return how the changes stand. ``since`` is the as-of of the previous snapshot.

        Raises SettingsError where nobody can tell who was forgotten: no run would send anything.
        """
        contacts = {change.contact_id for change in changes}
        keys = [
            change.key(ledger.namespace, resolved.name, action)
            for change in changes
            for action in resolved.action_ids
        ]
        acted_on = [] if since is None else ledger.queries.acted_on(resolved.name, contacts, since)
        return cls(
            ledger.deliveries.rows(keys),
            _others(acted_on, changes, resolved.action_ids),
            frozenset(ledger.people.suppressed(contacts)),
        )

    def row(self, key: str) -> DeliveryRow | None:
        """Return a delivery that is on record, decided or not."""
        return self.rows.get(key)

    def decided(self, key: str) -> DeliveryRow | None:
        """Return a delivery that is on record, unless it is judged before it is sent."""
        row = self.rows.get(key)
        return None if row is None or row.state in _TO_JUDGE else row

    def elsewhere(self, change: Change, action: str) -> Elsewhere | None:
        """Return what another run has done of a change."""
        return self.others.get((change.contact_id, change.change, action))


def _others(
    rows: Iterable[ListedDelivery], changes: Iterable[Change], actions: Sequence[str]
) -> dict[_Place, Elsewhere]:
    """Return what other runs did. Whom an enrolment reached, no ``added`` reaches again."""
    added_ids = {each.contact_id for each in changes if each.change == ChangeKind.ADDED}
    others: dict[_Place, Elsewhere] = {}
    for row in sorted(rows, key=lambda row: row.change == ChangeKind.ENROLLED):
        facts = row.key, row.change, row.snapshot, row.outcome
        if row.change != ChangeKind.ENROLLED:
            is_sent = row.outcome == State.DELIVERED
            reason = Reason.SENT_BEFORE if is_sent else Reason.IN_HAND
            others[row.contact_id, row.change, row.action] = Elsewhere(reason, *facts)
        elif row.contact_id in added_ids:
            others |= {
                (row.contact_id, str(ChangeKind.ADDED), action): Elsewhere(Reason.REACHED, *facts)
                for action in actions
            }
    return others
