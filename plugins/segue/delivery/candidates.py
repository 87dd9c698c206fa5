"""Candidates: what one action may send now, as the door judges it.

All are built here: those of a run, of a plan, of a message shown again, and of one to a tester.
What a preview supposes instead of reading it is in its ``Circumstances`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from segue.contacts.change import Change
from segue.contacts.conditions import holds, not_judged
from segue.contacts.fields import contact_fields
from segue.contacts.overlay import opted_out_live, problems_of
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryRow
from segue.segments.population import Population
from segue.workflows.definition import Action
from segue.workflows.resolved import ResolvedWorkflow

RowBefore = Callable[[Change, str], DeliveryRow | None]  # of the action with this id


@dataclass(frozen=True, slots=True)
class Candidate:
    """One contact's change, as one action sees it.

    ``fields`` are what templates see as ``contact``; None where the contact was not found.
    ``opted_in`` is the effective state on the newest snapshot, None where the contact is gone.
    ``has_left`` says that the workflow's ``leave_when`` holds.
    ``before`` holds the deliveries of all actions that come before this one, by action id.
    ``withdrawn`` says why a change does not stand any more, where the workflow rechecks.
    ``earlier`` are the vendor's ids of what the action delivered to the contact, newest first,
    where the channel looks back. ``problem`` says why its details could not be looked up.
    """

    key: str
    contact_id: str
    change: str
    snapshot: str
    fields: Mapping[str, Any] | None
    opted_in: bool | None
    passes_if: bool = True
    has_left: bool = False
    before: Mapping[str, DeliveryRow | None] = field(default_factory=dict)
    withdrawn: str | None = None
    earlier: Sequence[str] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Changes whose contacts' details are of one snapshot.

    ``fields`` are, by contact, what templates see as ``contact``.
    """

    changes: Sequence[Change]
    details: Population
    fields: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        resolved: ResolvedWorkflow,
        changes: Sequence[Change],
        details: Population,
        stand_ins: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a group; ``stand_ins`` are what a preview shows of fields that are missing."""
        fields = contact_fields(resolved.definition, details)
        if stand_ins:
            fields = {contact: {**stand_ins, **own} for contact, own in fields.items()}
        return cls(changes, details, fields)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides about candidates beside their details: a run reads it, a preview supposes it.

    ``consent`` is the opt state by contact on the newest snapshot, without those that are gone.
    ``before`` returns the delivery of another action for the same change. ``withdrawn`` says why
    changes do not stand any more, ``earlier`` what the action delivered to a contact before. Not
    ``conditional``: the message as it is, whether or not conditions hold.
    """

    namespace: str
    consent: Mapping[str, bool]
    before: RowBefore
    withdrawn: Mapping[Change, str] = field(default_factory=dict)
    earlier: Mapping[str, Sequence[str]] = field(default_factory=dict)
    conditional: bool = True


def candidates_of(
    resolved: ResolvedWorkflow,
    action: Action,
    groups: Iterable[Group],
    circumstances: Circumstances,
) -> list[Candidate]:
    """Return the candidates of an action, one for each change, in the order of the groups."""
    return [
        candidate
        for group in groups
        for candidate in _of_group(resolved, action, group, circumstances)
    ]


def rows_before(
    ledger: Ledger, resolved: ResolvedWorkflow, action: Action, changes: Iterable[Change]
) -> RowBefore:
    """Read the deliveries of the actions that come before one, for the same changes."""
    keys = {
        (change, other): change.key(ledger.namespace, resolved.name, other)
        for other in resolved.before(action)
        for change in changes
    }
    rows = ledger.deliveries.rows(keys.values())
    return lambda change, other: rows.get(keys[change, other])


def _of_group(
    resolved: ResolvedWorkflow, action: Action, group: Group, circumstances: Circumstances
) -> Iterable[Candidate]:
    problems, opted_out = problems_of(group.details), opted_out_live(group.details)
    definition = resolved.definition
    conditions = (definition.conditions, action.condition, definition.leave_when)
    verdicts = [
        holds(condition if circumstances.conditional else None, group.details, group.changes)
        for condition in conditions
    ]
    may_leave = definition.leave_when is not None and circumstances.conditional
    order = resolved.before(action)
    for change, of_workflow, of_action, leaves in zip(group.changes, *verdicts, strict=True):
        contact = change.contact_id
        yield Candidate(
            key=change.key(circumstances.namespace, resolved.name, action.id),
            contact_id=contact,
            change=change.change,
            snapshot=change.snapshot,
            fields=group.fields.get(contact),
            opted_in=circumstances.consent.get(contact) and contact not in opted_out,
            passes_if=bool(of_action),
            has_left=may_leave and leaves is True and contact not in problems,
            before={other: circumstances.before(change, other) for other in order},
            withdrawn=circumstances.withdrawn.get(change),
            earlier=circumstances.earlier.get(contact, ()),
            problem=problems.get(contact) or not_judged(of_workflow, of_action, leaves),
        )
