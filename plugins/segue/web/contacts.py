"""One contact: the segments it entered and left, and everything that was sent or not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from segue.directory.checks import LONGEST_ID
from segue.ledger.facts import ListedDelivery, SpanKind
from segue.ledger.queries.history import Event
from segue.segments.kinds import ChangeKind, RemovalReason
from segue.web.access import ContactsWorkflow, Person, contacts_need
from segue.web.answers import actions_of, changes_of, order_of, place_of
from segue.web.deliveries import delivery_of, rendered
from segue.web.parameters import KeyInQuery
from segue.web.visits import ThisVisit
from segue.web.workflows import workflow_names
from segue.workflows.catalog import Catalog

AT_ONCE = 25  # events on one page
_SIMILAR = 20  # ids that are offered where there is no such contact
_DEEPEST = 10_000
router = APIRouter(include_in_schema=False)

_WORDS = {
    ChangeKind.ADDED: "entered",
    ChangeKind.REMOVED: "left",
    ChangeKind.OPTED_IN: "opted in to",
    ChangeKind.OPTED_OUT: "opted out of",
    ChangeKind.ENROLLED: "was enrolled in",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One change of the contact, and what each workflow on the segment made of it."""

    events: Sequence[Event]  # at least one

    @property
    def event(self) -> Event:
        """What all of them have in common."""
        return self.events[0]

    @property
    def what(self) -> str:
        """What the contact did, before the segment's name."""
        return _WORDS[ChangeKind(self.event.change)]

    @property
    def why(self) -> str:
        """More about it, or nothing."""
        if self.event.reason == RemovalReason.DELETED:
            return "the contact was deleted from the directory"
        if all(event.reason is None for event in self.events):
            return "compared again, this is no change any more"
        if all(event.kind == SpanKind.WITHDRAWN for event in self.events):
            return "withdrawn: a snapshot was quarantined"
        return ""


@router.get("/contact", name="contact")
def contact(
    visit: ThisVisit,
    contact_id: Annotated[str, Query(alias="id", max_length=LONGEST_ID)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=_DEEPEST)] = 1,
) -> HTMLResponse:
    """Find a contact by its id, and show what happened to it in workflows of the viewer."""
    names = workflow_names(visit.ledger, visit.catalog)
    workflows = _visible(visit.viewer, names)
    rest = len(names - workflows)
    total = visit.ledger.queries.count_events(contact_id, workflows) if contact_id else 0
    part = visit.part(number, total, AT_ONCE, "contact", id=contact_id)
    events = (
        visit.ledger.queries.events(contact_id, workflows, limit=AT_ONCE, offset=part.offset)
        if total
        else []
    )
    theirs = dict.fromkeys(event.workflow for event in events)
    similar = (
        visit.ledger.queries.contacts_beginning(contact_id.strip(), workflows, _SIMILAR)
        if contact_id.strip() and not total
        else []
    )
    return visit.page(
        "contact.html",
        **part.values,
        id=contact_id,
        moments=moments(_in_order(events, visit.catalog)),
        unwatched=_unwatched(events, visit.catalog),
        channels=_channels(theirs, visit.catalog),
        similar=similar,
        acts_on=next((name for name in theirs if visit.viewer.may_edit(name)), None),
        suppressed=(
            visit.ledger.people.find_suppression(contact_id)
            if contact_id and (total or not rest)  # nothing of who is in others' workflows alone
            else None
        ),
        hidden=rest,
    )


def _in_order(events: Iterable[Event], catalog: Catalog) -> Iterator[Event]:
    """Yield events with their deliveries in the order of the workflow's actions."""
    for event in events:
        yield replace(event, deliveries=_sorted(event, order_of(event.workflow, catalog)))


def _sorted(event: Event, order: Mapping[str, int]) -> list[ListedDelivery]:
    return sorted(event.deliveries, key=lambda item: place_of(item.action, order))


def _unwatched(events: Iterable[Event], catalog: Catalog) -> set[str]:
    """Return the segments of which no workflow here would have recorded that somebody left."""
    actors: dict[str, set[str]] = {}
    for event in events:
        actors.setdefault(event.segment, set()).add(event.workflow)
    return {
        segment
        for segment, workflows in actors.items()
        if all(ChangeKind.REMOVED not in changes_of(name, catalog) for name in workflows)
    }


def _channels(workflows: Iterable[str], catalog: Catalog) -> dict[tuple[str, str], str]:
    """Return the channel of each action, by (workflow, action), as they are defined now."""
    return {
        (name, action.id): action.channel
        for name in workflows
        for action in actions_of(name, catalog).values()
    }


@router.get("/contact/message", name="contact_message")
def contact_message(
    workflow: ContactsWorkflow,
    key: KeyInQuery,
    visit: ThisVisit,
) -> HTMLResponse:
    """Return the message of one delivery, for a page to put in its place."""
    row = delivery_of(workflow, key, visit.ledger)
    return visit.page(
        "contact_message.html",
        workflow=workflow,
        item=row,
        message=rendered(row, visit.ledger, visit.catalog),
    )


def moments(events: Iterable[Event]) -> list[Moment]:
    """Return events as moments: the same change, as several workflows recorded it, is one."""

    def same(event: Event) -> tuple[object, ...]:
        return (event.as_of, event.segment, event.change)

    return [Moment(list(group)) for _, group in groupby(events, same)]


def _visible(viewer: Person, known: set[str]) -> set[str]:
    """Return the workflows whose contacts the person may see; a 403 where there are none."""
    workflows = viewer.seeing_contacts(known)
    if known and not workflows:
        needs = contacts_need("Seeing contacts", "the DAG of a workflow")
        raise HTTPException(403, f"{needs} You may see those of none.")
    return workflows
