"""The details of a workflow's contacts, as its conditions and messages need them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from segue.contacts.change import Change
from segue.contacts.fields import contact_fields, load_details
from segue.contacts.live_look_up import Desk, Part, PartlyLookedUp, look_up
from segue.contacts.overlay import lay_over
from segue.contracts.live_source import Answer
from segue.contracts.templates import union
from segue.directory.snapshots import Snapshot
from segue.errors import TransientFailure
from segue.segments.kinds import RemovalReason
from segue.segments.membership.changes import Memberships
from segue.segments.population import Population
from segue.workflows.resolved import ResolvedWorkflow


@dataclass(frozen=True, slots=True)
class EarlierTries:
    """What the earlier tries of a look-up came to: ``answers`` by contact.

    ``find_witness`` returns the change of somebody whom the source has answered elsewhere.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    tried_before: bool = False
    find_witness: Callable[[], Change | None] = lambda: None


def details_of(
    resolved: ResolvedWorkflow,
    snapshot: Snapshot,
    changes: Sequence[Change],
    memberships: Memberships | None = None,
) -> Population:
    """Load the details of the contacts of these changes as they stood in ``snapshot``.

    One row per contact that was found, sorted by contact id. Nothing is looked up live: of a live
    source's fields there is what the snapshot has of that name, or nothing.
    """
    return load_details(
        resolved.definition,
        resolved.directory,
        snapshot,
        {change.contact_id for change in changes},
        referred=resolved.referred,
        memberships=memberships,
        live=resolved.live.provides if resolved.live else (),
        fields=fields_read(resolved),
    )


def fields_read(resolved: ResolvedWorkflow) -> frozenset[str] | None:
    """Return which of contacts' own fields a workflow may read, conditions left out.

    None: any of them, where a template computes a field's name or hands a contact on as a whole.
    """
    of_actions = (
        resolved.channels[action.id].fields_read(digest=action.digest)
        for action in resolved.definition.actions
        if action.id in resolved.channels
    )
    of_look_up = resolved.live.fields_read if resolved.live else frozenset[str]()
    return union([resolved.definition.zone_fields(), of_look_up, *of_actions])


def with_fields_read_now(
    population: Population,
    resolved: ResolvedWorkflow,
    snapshot_of: Callable[[], Snapshot],
    changes: Sequence[Change],
    loaded: Collection[str] | None,
) -> Population:
    """Return details with the fields that messages name since they were loaded.

    A message may be mended after its run's details were loaded. ``loaded`` are the fields that
    were read then, None for all; what was looked up live stays as it was.
    """
    names = fields_read(resolved)
    if loaded is None or (names is not None and names <= set(loaded)):
        return population
    anew = details_of(resolved, snapshot_of(), changes).contacts.set_index("contact_id")
    further = [name for name in anew.columns if name not in population.contacts.columns]
    rows = anew[further].reindex(population.contacts["contact_id"]).reset_index(drop=True)
    contacts = population.contacts.reset_index(drop=True)
    columns = {str(name): column for name, column in rows.items()}
    return replace(population, contacts=contacts.assign(**columns))


def live_details_of(
    resolved: ResolvedWorkflow,
    snapshot: Snapshot,
    changes: Sequence[Change],
    desk: Desk,
    memberships: Memberships | None = None,
    earlier: EarlierTries | None = None,
) -> Population:
    """Load the same, with what the workflow's live source has of the contacts now laid over it.

    Without a live source they are the snapshot's. Only a task can do this: it calls an Airflow
    connection. Who was answered in ``earlier`` tries is not asked for again. Raises
    ConnectionFailure, or TransientFailure; PartlyLookedUp has all answers so far.
    """
    population = details_of(resolved, snapshot, changes, memberships)
    if resolved.live is None:
        return population
    earlier = earlier or EarlierTries()
    deleted_ids = {
        change.contact_id for change in changes if change.reason == RemovalReason.DELETED
    }
    fields_by_contact = contact_fields(resolved.definition, population)
    answers = dict(earlier.answers)
    nobody = deleted_ids | answers.keys()
    to_ask = {contact: own for contact, own in fields_by_contact.items() if contact not in nobody}

    def find_witness() -> Part | None:
        mine = _answered_one(answers, fields_by_contact)
        other = None if mine else earlier.find_witness()
        if other is None:
            return mine
        theirs = details_of(resolved, snapshot, [other], memberships)
        return contact_fields(resolved.definition, theirs) or None

    try:
        answers |= look_up(
            resolved.live, to_ask, desk, find_witness, tried_before=earlier.tried_before
        )
    except PartlyLookedUp as error:
        raise PartlyLookedUp(error, {**answers, **error.found}) from None
    except TransientFailure as error:
        raise PartlyLookedUp(error, answers) if answers else error from None
    return lay_over(population, resolved.live, answers, deleted_ids)


def _answered_one(answers: Mapping[str, Answer], fields: Part) -> Part | None:
    """Return somebody whom the source has answered, as it is asked."""
    for contact, answer in answers.items():
        if contact in fields and isinstance(answer, Mapping):
            return {contact: fields[contact]}
    return None
