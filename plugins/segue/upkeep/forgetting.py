"""Forget a contact everywhere Segue keeps it: ledger, run areas, stored memberships."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from segue.directory.whole_files import remove_unfinished
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Selection
from segue.ledger.retention.forgetting import ErasedRows
from segue.runs.areas import forget_in_areas


@dataclass(frozen=True, slots=True)
class Erased:
    """What held a contact: rows of the ledger, run areas, stored memberships."""

    rows: ErasedRows
    run_areas: int
    memberships: int


def forget(ledger: Ledger, state: str, contact_id: str, by: str, now: datetime) -> Erased:
    """Erase a contact, and keep a keyed digest so that nothing is ever sent to or about it.

    The ledger comes first, and may refuse (see ``Ledger.forget``). May be repeated: each time it
    erases what is there. Who asked for it, and when, is noted.
    """
    from segue.segments.membership.store import MembershipStore

    rows = ledger.retention.forget(contact_id, by, now)
    remove_unfinished(state, now)
    areas = forget_in_areas(state, ledger.namespace, contact_id)
    erasure = Erased(rows, areas, MembershipStore(state).forget(contact_id))
    outcome = "a contact is forgotten"  # which one, nobody is to know
    ledger.people.note("forget", Selection(), by, now, reason="", outcome=outcome)
    return erasure
