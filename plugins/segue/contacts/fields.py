"""A contact's details: what conditions judge and templates print, loaded for a few contacts.

``deleted`` contacts are looked up in the previous snapshot, all others in the current one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from segue.contracts.template_values import is_missing
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.segments.columns.arrow import values_of
from segue.segments.conditions.inspection import Needs, needed_columns
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.loading import with_segments
from segue.segments.membership.changes import Memberships
from segue.segments.population import Population
from segue.segments.unreadable import Reading, Use, condition_uses, uses_of
from segue.workflows.definition import WorkflowDefinition


def details_needed(workflow: WorkflowDefinition) -> Needs:
    """Return what the workflow's conditions read."""
    needs = Needs()
    for _, condition in workflow.all_conditions():
        needs |= needed_columns(condition)
    return needs


def uses_of_workflow(
    workflow: WorkflowDefinition, segment: SegmentDefinition, live: Collection[str] = ()
) -> frozenset[Use]:
    """Return what a workflow reads of snapshots as dates, numbers, booleans or time zones.

    Contacts' fields that are looked up ``live`` are those of the segment alone.
    """
    conditions = [condition for _, condition in workflow.all_conditions()]
    own = {use for condition in conditions for use in condition_uses(condition)}
    own |= {Use("contacts", field, Reading.ZONE) for field in workflow.zone_fields()}
    looked_up = {use for use in own if use.table == "contacts" and use.column in live}
    return uses_of(segment) | (own - looked_up)


def load_details(
    workflow: WorkflowDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    contact_ids: Collection[str],
    *,
    referred: Sequence[SegmentDefinition] = (),
    memberships: Memberships | None = None,
    live: Collection[str] = (),
    fields: Collection[str] | None = None,
) -> Population:
    """Load the details of ``contact_ids`` as they stood in ``snapshot``.

    One row per contact that was found, sorted by contact id. With ``load: none`` a contact has
    nothing but its id. Of the contacts' own columns those in ``fields`` are read beside what
    conditions need, or all of them. ``referred`` are the segments that conditions refer to, in
    order; ``memberships`` keeps those that are expensive to decide. ``live`` are fields that are
    looked up later: what the snapshot does not have of them is missing.
    """
    if workflow.load == "none":
        contacts = pd.DataFrame({"contact_id": sorted(contact_ids)}, dtype="str")
        return Population(
            contacts=contacts,
            as_of=snapshot.as_of,
            zone=directory.zone,
            this_segment=workflow.segment,
        )
    tables = SnapshotTables(directory, snapshot)
    own = frozenset(tables.columns("contacts")) - {"contact_id"}
    read = own if fields is None else own & frozenset(fields)
    lists = Needs(read, mailing_lists=tables.has("mailing_lists"), subscriptions=True)
    needs = details_needed(workflow) | lists
    needs = replace(needs, contacts=needs.contacts - (frozenset(live) - own))
    for segment in referred:
        needs |= segment.needs
    population = Population.load(directory, tables, needs, as_of=snapshot.as_of, only=contact_ids)
    contacts = _with_columns(population.contacts, sorted(frozenset(live) - own))
    population = replace(population, contacts=contacts, this_segment=workflow.segment)
    return with_segments(population, referred, tables, memberships)


def _with_columns(contacts: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return contacts with further columns, in which everything is missing."""
    return contacts.assign(**{name: pd.Series(dtype="str") for name in names})


def contact_fields(
    workflow: WorkflowDefinition, population: Population
) -> dict[str, dict[str, Any]]:
    """Return, per contact id, what templates see as ``contact``.

    All columns of the contact that were loaded, ``mailing_lists`` (names of the lists the contact
    is opted into) and ``opted_in`` (the effective state for the workflow's segment). What is
    missing is left out.
    With ``load: none`` there is the contact's id and nothing else.
    """
    if workflow.load == "none":
        ids = population.contacts["contact_id"]
        return {contact_id: {"contact_id": contact_id} for contact_id in ids}
    opted_in = opt_states(population, workflow.segment)
    lists = _mailing_lists(population)
    fields = {}
    for record, is_opted_in in zip(_records(population.contacts), opted_in, strict=True):
        contact_id = record["contact_id"]
        extras = {"mailing_lists": lists.get(contact_id, []), "opted_in": bool(is_opted_in)}
        fields[contact_id] = {**record, **extras}
    return fields


def _records(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Yield each row's values by column, without those that are missing."""
    names = [str(name) for name in frame.columns]
    columns = [values_of(frame[name]) for name in frame.columns]
    for row in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if not is_missing(value)}


def _mailing_lists(population: Population) -> dict[str, list[str]]:
    frame = population.mailing_lists
    if frame is None or frame.empty:
        return {}
    if "opted_in" in frame.columns:
        frame = frame[frame["opted_in"].to_numpy(dtype=bool)]
    names = frame.sort_values(["contact_id", "mailing_list"])
    by_contact: dict[str, list[str]] = {}
    for contact_id, name in zip(names["contact_id"], names["mailing_list"], strict=True):
        by_contact.setdefault(str(contact_id), []).append(name)
    return by_contact
