"""The steps of a branch: load details, check conditions, deliver an action.

Airflow's operators are one call into this module each; nothing here knows Airflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from segue.clock import REAL_CLOCK, Clock
from segue.contacts.change import Change
from segue.contacts.conditions import by_details, holds, judge, not_judged
from segue.contacts.fields import contact_fields
from segue.contacts.live_look_up import Desk, PartlyLookedUp
from segue.contacts.loading import fields_read, live_details_of, with_fields_read_now
from segue.contacts.overlay import opted_out_live, problems_of, recalled
from segue.contacts.recheck import current_consent, recheck
from segue.contracts.channel import Audience
from segue.delivery.calls import Pass
from segue.delivery.candidates import Candidate, Terms
from segue.delivery.door import Door
from segue.delivery.recovery import earlier_ids
from segue.directory.snapshots import find_snapshot
from segue.errors import AudienceEdited
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryRow
from segue.ledger.pacing import rest
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef
from segue.segments.membership.changes import Memberships
from segue.segments.population import Population
from segue.workflows.definition import Action, prerequisites
from segue.workflows.resolved import ResolvedWorkflow

_LONGEST_PASS = timedelta(minutes=10)  # after which who may be written to is judged anew


def load_branch(
    resolved: ResolvedWorkflow,
    ref: BranchRef,
    desk: Desk,
    memberships: Memberships | None = None,
    clear_number: int = 0,
) -> int:
    """Write the details of a branch's contacts to the run area; returns how many were found.

    Raises TransientFailure or ConnectionFailure where a live source cannot be asked; the answers
    that it gave before are kept for the next try, but not for the person who clears the run.
    """
    area = _area(resolved, ref)
    found = 0
    for key, changes in by_details(area.read_slice(ref.number)):
        snapshot = find_snapshot(resolved.directory, key, now=desk.clock.now())
        load = partial(live_details_of, resolved, snapshot, desk=desk, memberships=memberships)
        so_far = f"{key} so far {clear_number}"
        answered = recalled(resolved.live, area.found_details(ref.number, so_far))
        try:
            population = load(changes, answered=answered)
        except PartlyLookedUp as error:
            partly = [change for change in changes if change.contact_id in error.found]
            area.write_details(ref.number, so_far, load(partly, answered=error.found))
            raise
        area.write_details(ref.number, key, population, fields_read(resolved))
        area.remove_details(ref.number, so_far)
        found += len(population.contacts)
    return found


def check_branch(
    resolved: ResolvedWorkflow, ref: BranchRef, ledger: Ledger, now: datetime
) -> tuple[int, int]:
    """Judge the workflow's conditions for a branch; returns (passed, judged).

    Records ``skipped(conditions)`` for contacts that fail and takes that back for those who pass.
    """
    area = _area(resolved, ref)
    changes = area.read_slice(ref.number)
    passed, failed, missing = judge(
        resolved, changes, lambda key: area.read_details(ref.number, key)
    )
    ledger.deliveries.skip(_keys(resolved, ledger, failed), Reason.CONDITIONS, now)
    ledger.deliveries.skip(_keys(resolved, ledger, missing), Reason.NOT_FOUND, now)
    ledger.deliveries.unskip(_keys(resolved, ledger, passed), Reason.CONDITIONS, now)
    ledger.deliveries.unskip(_keys(resolved, ledger, passed), Reason.NOT_FOUND, now)
    area.write_passed(ref.number, passed)
    return len(passed), len(changes)


def deliver_action(
    resolved: ResolvedWorkflow,
    action: Action,
    ref: BranchRef,
    ledger: Ledger,
    *,
    owner: str,
    clear_number: int,
    memberships: Memberships | None = None,
    clock: Clock = REAL_CLOCK,
) -> Pass:
    """Deliver one action to the contacts of a branch that passed the conditions."""
    deliver = partial(
        send,
        resolved,
        action,
        [_passed(resolved, action, ref, clock)],
        ledger,
        clear_number=clear_number,
        memberships=memberships,
        clock=clock,
    )
    return _to_the_end(
        deliver, owner, lambda: ledger.people.stopped(resolved.name) is not None, clock
    )


def deliver_digest(
    resolved: ResolvedWorkflow,
    action: Action,
    refs: Iterable[BranchRef],
    ledger: Ledger,
    *,
    owner: str,
    clear_number: int,
    link: str,
    memberships: Memberships | None = None,
    clock: Clock = REAL_CLOCK,
) -> Pass:
    """Deliver a digest to the contacts of all branches that passed the conditions."""
    deliver = partial(
        send,
        resolved,
        action,
        [_passed(resolved, action, ref, clock) for ref in refs],
        ledger,
        clear_number=clear_number,
        link=link,
        memberships=memberships,
        clock=clock,
    )
    return _to_the_end(
        deliver, owner, lambda: ledger.people.stopped(resolved.name) is not None, clock
    )


def _to_the_end(
    deliver: Callable[..., Pass], owner: str, is_stopped: Callable[[], bool], clock: Clock
) -> Pass:
    """Pass through the door, pass after pass, as long as only the rate is what keeps the rest.

    A slow rate makes hours of a branch. What stands when a pass begins (consent, ``recheck``, what
    came of the actions before) is looked at anew for each.
    """
    outcomes: Counter[State] = Counter()
    for number in count():
        part = f"{owner}/{number}" if number else owner
        result = deliver(owner=part, until=clock.now() + _LONGEST_PASS)
        outcomes += result.outcomes
        result.outcomes = outcomes
        if result.resumes_in is None:
            break
        rest(result.resumes_in, clock.sleep, is_stopped)
    return result


@dataclass(frozen=True, slots=True)
class Slice:
    """Changes that passed the conditions.

    ``details`` returns their contacts' details as they stood in the snapshot with a key.
    """

    changes: Sequence[Change]
    details: Callable[[str], Population]


def send(
    resolved: ResolvedWorkflow,
    action: Action,
    slices: Sequence[Slice],
    ledger: Ledger,
    *,
    owner: str,
    clear_number: int | None = None,
    link: str | None = None,
    memberships: Memberships | None = None,
    clock: Clock = REAL_CLOCK,
    until: datetime | None = None,
) -> Pass:
    """Take changes through the door, for one action; a digest is about all of them.

    Without a ``clear_number``, as outside of a run, nothing that failed is tried again. ``link`` is
    what a digest shows. After ``until`` no further call begins.
    """
    now = clock.now()
    changes = [change for each in slices for change in each.changes]
    channel = resolved.channels[action.id]
    terms = Terms.of(resolved, action)
    to_contact = channel.addressed_to is Audience.CONTACT
    quarantined = ledger.people.quarantined(resolved.directory.directory)
    consent = current_consent(resolved, changes, now, quarantined) if to_contact else {}
    groups = [
        (group, each.details(key)) for each in slices for key, group in by_details(each.changes)
    ]
    withdrawn: Mapping[Change, str] = {}
    if resolved.definition.policies.recheck:
        answers = recalled(resolved.live, [population for _, population in groups])
        withdrawn = recheck(resolved, changes, now, quarantined, memberships, answers)
    candidates = [
        candidate
        for group, population in groups
        for candidate in _candidates(
            resolved, action, group, population, consent, withdrawn, ledger
        )
    ]
    door = Door(
        ledger,
        channel,
        terms if link is None else replace(terms, link=link),
        owner=owner,
        clear_number=clear_number,
        clock=clock,
        until=until,
    )
    return door.deliver(candidates)


def _passed(resolved: ResolvedWorkflow, action: Action, ref: BranchRef, clock: Clock) -> Slice:
    area = _area(resolved, ref, action.id)
    passed = area.read_passed(ref.number)

    def details(key: str) -> Population:
        return with_fields_read_now(
            area.read_details(ref.number, key),
            resolved,
            lambda: find_snapshot(resolved.directory, key, now=clock.now()),
            [change for change in passed if change.details_at == key],
            area.read_fields(ref.number, key),
        )

    return Slice(passed, details)


def _area(resolved: ResolvedWorkflow, ref: BranchRef, action: str | None = None) -> RunArea:
    """Open a branch's run area; raise AudienceEdited where other contacts would be acted on now.

    Messages may be mended and sent again, and actions added and removed, but who is acted on was
    decided in detect_changes. An edited ``if`` stops its ``action`` alone.
    """
    area = RunArea(ref.area)
    audience = area.read_audience()
    if not resolved.acts_on_the_same(audience):
        edited = "the segment, the conditions or the directory were edited"
    elif not resolved.acts_on_the_same(audience, action):
        edited = f"the if of {action} was edited"
    else:
        return area
    raise AudienceEdited(
        f"{edited} after this run detected its changes; clear the run from detect_changes to go on "
        "with the new definition"
    )


def _candidates(
    resolved: ResolvedWorkflow,
    action: Action,
    changes: Sequence[Change],
    population: Population,
    consent: Mapping[str, bool],
    withdrawn: Mapping[Change, str],
    ledger: Ledger,
) -> Iterable[Candidate]:
    fields = contact_fields(resolved.definition, population)
    problems, opted_out = problems_of(population), opted_out_live(population)
    verdicts = holds(action.condition, population, changes)
    of_workflow = holds(resolved.definition.conditions, population, changes)
    before = {
        other: _keys_of(resolved, ledger, other, changes)
        for other in sorted(
            prerequisites(resolved.definition, action), key=resolved.action_ids.index
        )
    }
    rows: dict[str, DeliveryRow] = {}
    for keys in before.values():
        rows |= ledger.deliveries.rows(keys)
    own = _keys_of(resolved, ledger, action.id, changes)
    channel = resolved.channels[action.id]
    earlier: Mapping[str, Sequence[str]] = {}
    if channel.looks_back:
        ids = [change.contact_id for change in changes]
        earlier = earlier_ids(ledger, resolved.name, action.id, channel, ids)
    for index, change in enumerate(changes):
        yield Candidate(
            key=own[index],
            contact_id=change.contact_id,
            change=change.change,
            snapshot=change.snapshot,
            fields=fields.get(change.contact_id),
            opted_in=consent.get(change.contact_id) and change.contact_id not in opted_out,
            passes_if=bool(verdicts[index]),
            before={other: rows.get(keys[index]) for other, keys in before.items()},
            withdrawn=withdrawn.get(change),
            earlier=earlier.get(change.contact_id, ()),
            problem=problems.get(change.contact_id)
            or not_judged(of_workflow[index], verdicts[index]),
        )


def _keys_of(
    resolved: ResolvedWorkflow, ledger: Ledger, action: str, changes: Sequence[Change]
) -> list[str]:
    return [
        ledger.key(resolved.name, action, change.contact_id, change.change, change.snapshot)
        for change in changes
    ]


def _keys(resolved: ResolvedWorkflow, ledger: Ledger, changes: Sequence[Change]) -> list[str]:
    """Return the keys of all actions for these changes."""
    return [
        key for action in resolved.action_ids for key in _keys_of(resolved, ledger, action, changes)
    ]
