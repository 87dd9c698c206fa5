"""The details of a workflow's contacts, as its conditions and messages need them."""

from __future__ import annotations

from collections.abc import Iterable

from segue.delivery.branches import Change
from segue.delivery.resolved import ResolvedWorkflow
from segue.directory.snapshots import Snapshot
from segue.segments.changes import Memberships
from segue.segments.evaluation import Population
from segue.workflows.details import load_details


def details_of(
    resolved: ResolvedWorkflow,
    snapshot: Snapshot,
    changes: Iterable[Change],
    memberships: Memberships | None = None,
) -> Population:
    """Load the details of the contacts of these changes as they stood in ``snapshot``.

    One row per contact that was found, sorted by contact id.
    """
    return load_details(
        resolved.definition,
        resolved.directory,
        snapshot,
        {change.contact_id for change in changes},
        referred=resolved.referred,
        memberships=memberships,
    )
