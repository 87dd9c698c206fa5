"""The text of a message that was sent: rendered again, and held against the ledger's digest.

No message text is stored anywhere; the ledger keeps its SHA-256. The snapshots are kept, and so is
the workflow as it was when the run was recorded. What renders to the same digest is exactly what
was sent; anything else is shown as what it is, the message as it would read now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segue.contacts.change import Change
from segue.contacts.loading import details_of
from segue.contracts.live_source import stand_ins
from segue.delivery.candidates import Circumstances, Group, candidates_of, rows_before
from segue.delivery.judgement import Terms, message_digest, rendered
from segue.directory.snapshots import find_snapshot
from segue.errors import ContactFailure, DataError, DefinitionError, TemplateAway
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryInFull
from segue.segments.membership.changes import Memberships
from segue.workflows.resolved import ResolvedWorkflow

Resolve = Callable[[Mapping[str, Any] | None], ResolvedWorkflow]  # None: as it is defined now


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """The fields of a message, and whether they are what was sent.

    ``exact`` is None where nothing was sent that could be compared; ``note`` says it in words.
    """

    message: Mapping[str, Any] | None
    exact: bool | None
    note: str


def message_of(
    delivery: DeliveryInFull,
    ledger: Ledger,
    resolve: Resolve,
    now: datetime,
    memberships: Memberships | None = None,
) -> RenderedMessage:
    """Return the message of a delivery.

    ``resolve`` returns the workflow written as the mapping says, or as it is defined now.
    """
    if delivery.message_key:
        return RenderedMessage(None, None, _OF_A_DIGEST.format(delivery.message_key))
    message, why = None, ""
    for resolved in _versions(delivery, ledger, resolve):
        try:
            message = _message(delivery, ledger, resolved, now, memberships)
        except (DataError, ContactFailure, TemplateAway) as error:
            why = str(error)
            continue
        if delivery.digest == message_digest(message):
            return RenderedMessage(message, True, "Exactly what was sent.")
    if message is None:
        return RenderedMessage(None, None, f"The text cannot be rendered again: {why or _NO_WAY}.")
    if delivery.digest is None:
        return RenderedMessage(message, None, "Nothing was sent; this is how it would read.")
    return RenderedMessage(message, False, _DIFFERS)


_OF_A_DIGEST = (
    "It went out in a digest, one message about many contacts. "
    "segue deliveries --message {} lists them."
)
_NO_WAY = "the workflow, or this action of it, is not defined any more"
_DIFFERS = (
    "Not exactly what was sent: the workflow, its templates or the snapshot's files were edited "
    "since, Segue was upgraded, details were looked up elsewhere, or the message held what the "
    "vendor alone knew, such as a person's id or an open ticket. This is how the message reads "
    "with what is there now."
)


def _versions(
    delivery: DeliveryInFull, ledger: Ledger, resolve: Resolve
) -> Iterator[ResolvedWorkflow]:
    """Yield the workflow as its run recorded it, and as it is defined now, where it can be read."""
    body = ledger.queries.definition(delivery.definition)
    definition = json.loads(body).get("workflow") if body else None
    for data in (definition, None) if definition else (None,):
        try:
            resolved = resolve(data)
        except (DefinitionError, KeyError):
            continue  # a version of Segue before this one wrote it, or what it refers to is gone
        if delivery.action in resolved.action_ids:
            yield resolved


def _message(
    delivery: DeliveryInFull,
    ledger: Ledger,
    resolved: ResolvedWorkflow,
    now: datetime,
    memberships: Memberships | None,
) -> Mapping[str, Any]:
    """Render once more; raise DataError where the snapshot is gone, or ContactFailure."""
    previous, reason = delivery.previous_key, delivery.change_reason or ""
    contact = delivery.contact_id
    change = Change.between(previous, delivery.snapshot, contact, delivery.change, reason)
    snapshot = find_snapshot(resolved.directory, change.details_at, now=now)
    details = details_of(resolved, snapshot, [change], memberships)
    group = Group.of(resolved, [change], details, stand_ins(resolved.live))
    if contact not in group.fields:
        raise DataError(f"the contact is not in snapshot {change.details_at}")
    action = resolved.definition.action(delivery.action)
    row_before = rows_before(ledger, resolved, action, [change])
    circumstances = Circumstances(ledger.namespace, {}, row_before, conditional=False)
    [candidate] = candidates_of(resolved, action, [group], circumstances)
    return rendered(resolved.channels[action.id], Terms.of(resolved, action), candidate)
