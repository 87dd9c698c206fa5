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
from segue.contacts.conditions import by_details, judge
from segue.contacts.live_look_up import Desk, PartlyLookedUp
from segue.contacts.loading import EarlierTries, fields_read, live_details_of, with_fields_read_now
from segue.contacts.overlay import recalled
from segue.contacts.recheck import current_consent, recheck
from segue.contracts.channel import Audience
from segue.delivery.calls import Pass
from segue.delivery.candidates import Circumstances, Group, candidates_of, rows_before
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.delivery.recovery import earlier_ids
from segue.directory.snapshots import find_snapshot
from segue.errors import AudienceEdited, TransientFailure
from segue.ledger import Ledger
from segue.ledger.pacing import rest
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef
from segue.segments.membership.changes import Memberships
from segue.segments.population import Population
from segue.workflows.definition import Action
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
    that it gave before are kept for the next try, but not for the person who clears the run. Whom
    alone it does not answer is refused in the next try, or at once where there is none.
    """
    area = _area(resolved, ref)
    total = 0
    for key, changes in by_details(area.read_slice(ref.number)):
        snapshot = find_snapshot(resolved.directory, key, now=desk.clock.now())
        load = partial(live_details_of, resolved, snapshot, desk=desk, memberships=memberships)
        so_far = f"{key} so far {clear_number}"
        details_so_far = area.found_details(ref.number, so_far)
        earlier = EarlierTries(
            recalled(resolved.live, details_so_far),
            tried_before=bool(details_so_far) or not resolved.definition.retries,
            find_witness=partial(_answered_elsewhere, resolved, area, key),
        )
        try:
            population = load(changes, earlier=earlier)
        except TransientFailure as error:
            answers = error.found if isinstance(error, PartlyLookedUp) else {}
            part = [change for change in changes if change.contact_id in answers]
            details = load(part, earlier=EarlierTries(answers))
            area.write_details(ref.number, so_far, details)
            raise
        area.write_details(ref.number, key, population, fields_read(resolved))
        area.remove_details(ref.number, so_far)
        total += len(population.contacts)
    return total


def _answered_elsewhere(resolved: ResolvedWorkflow, area: RunArea, key: str) -> Change | None:
    """Return a change of somebody whom the live source has answered in any branch of a run."""
    for number in area.branches_with_details(key):
        answers = recalled(resolved.live, area.found_details(number, key))
        for change in area.read_slice(number):
            if isinstance(answers.get(change.contact_id), Mapping):
                return change
    return None


def check_branch(
    resolved: ResolvedWorkflow, ref: BranchRef, ledger: Ledger, now: datetime
) -> tuple[int, int]:
    """Judge the workflow's conditions for a branch; returns (passed, judged).

    Records ``skipped(conditions)`` for contacts that fail and takes that back for those who pass.
    """
    area = _area(resolved, ref)
    changes = area.read_slice(ref.number)
    passes, failures, missing = judge(
        resolved, changes, lambda key: area.read_details(ref.number, key)
    )
    ledger.deliveries.skip(_keys(resolved, ledger, failures), Reason.CONDITIONS, now)
    ledger.deliveries.skip(_keys(resolved, ledger, missing), Reason.NOT_FOUND, now)
    ledger.deliveries.unskip(_keys(resolved, ledger, passes), Reason.CONDITIONS, now)
    ledger.deliveries.unskip(_keys(resolved, ledger, passes), Reason.NOT_FOUND, now)
    area.write_passed(ref.number, passes)
    return len(passes), len(changes)


def deliver(
    resolved: ResolvedWorkflow,
    action: Action,
    refs: Iterable[BranchRef],
    ledger: Ledger,
    *,
    owner: str,
    clear_number: int,
    link: str | None = None,
    memberships: Memberships | None = None,
    clock: Clock = REAL_CLOCK,
) -> Pass:
    """Deliver one action to the contacts of these branches that passed the conditions.

    A digest is about all of them, and shows ``link``.
    """
    one_pass = partial(
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
        one_pass, owner, lambda: ledger.people.stopped(resolved.name) is not None, clock
    )


def _to_the_end(
    one_pass: Callable[..., Pass], owner: str, is_stopped: Callable[[], bool], clock: Clock
) -> Pass:
    """Pass through the door, pass after pass, as long as only the rate is what keeps the rest.

    A slow rate makes hours of a branch. What stands when a pass begins (consent, ``recheck``, what
    came of the actions before) is looked at anew for each.
    """
    outcomes: Counter[State] = Counter()
    for number in count():
        part = f"{owner}/{number}" if number else owner
        result = one_pass(owner=part, until=clock.now() + _LONGEST_PASS)
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

    Without a ``clear_number``, as outside of a run, nothing that failed is tried again. In a run an
    action that waits, or comes after one, sends nothing, and nothing is judged for it. ``link`` is
    what a digest shows. After ``until`` no further call begins.
    """
    groups = [
        Group.of(resolved, group, each.details(key))
        for each in slices
        for key, group in by_details(each.changes)
    ]
    if resolved.waits(action) and clear_number is not None:
        circumstances = _unjudged(resolved, action, groups, ledger)
    else:
        circumstances = _circumstances(resolved, action, groups, ledger, memberships, clock.now())
    terms = Terms.of(resolved, action)
    door = Door(
        ledger,
        resolved.channels[action.id],
        terms if link is None else replace(terms, link=link),
        owner=owner,
        clear_number=clear_number,
        clock=clock,
        until=until,
    )
    return door.deliver(candidates_of(resolved, action, groups, circumstances))


def _circumstances(
    resolved: ResolvedWorkflow,
    action: Action,
    groups: Sequence[Group],
    ledger: Ledger,
    memberships: Memberships | None,
    now: datetime,
) -> Circumstances:
    """Read what decides about changes beside their details, as it stands now."""
    changes = [change for group in groups for change in group.changes]
    channel = resolved.channels[action.id]
    ledger.runs.require_owner(resolved.name, resolved.project)
    quarantined_keys = ledger.people.quarantined(resolved.directory.full_name)
    consent: Mapping[str, bool] = {}
    withdrawn: Mapping[Change, str] = {}
    earlier: Mapping[str, Sequence[str]] = {}
    if channel.addressed_to is Audience.CONTACT:
        consent = current_consent(resolved, changes, now, quarantined_keys)
    if resolved.definition.policies.recheck:
        answers = recalled(resolved.live, [group.details for group in groups])
        withdrawn = recheck(resolved, changes, now, quarantined_keys, memberships, answers)
    if channel.looks_back:
        ids = [change.contact_id for change in changes]
        earlier = earlier_ids(ledger, resolved.name, action.id, channel, ids)
    row_before = rows_before(ledger, resolved, action, changes)
    return Circumstances(ledger.namespace, consent, row_before, withdrawn, earlier)


def _unjudged(
    resolved: ResolvedWorkflow, action: Action, groups: Sequence[Group], ledger: Ledger
) -> Circumstances:
    """Return what says from when an action waits: what decides about it is read afterwards."""
    ledger.runs.require_owner(resolved.name, resolved.project)
    changes = [change for group in groups for change in group.changes]
    row_before = rows_before(ledger, resolved, action, changes)
    return Circumstances(ledger.namespace, {}, row_before, conditional=False)


def _passed(resolved: ResolvedWorkflow, action: Action, ref: BranchRef, clock: Clock) -> Slice:
    area = _area(resolved, ref, action.id)
    passes = area.read_passed(ref.number)

    def details(key: str) -> Population:
        return with_fields_read_now(
            area.read_details(ref.number, key),
            resolved,
            lambda: find_snapshot(resolved.directory, key, now=clock.now()),
            [change for change in passes if change.details_at == key],
            area.read_fields(ref.number, key),
        )

    return Slice(passes, details)


def _area(resolved: ResolvedWorkflow, ref: BranchRef, action: str | None = None) -> RunArea:
    """Open a branch's run area; raise AudienceEdited where other contacts would be acted on now.

    Messages may be mended and sent again, and actions added and removed, but who is acted on was
    decided in detect_changes. An edited ``if`` stops its ``action`` alone.
    """
    area = RunArea(ref.area)
    audience = area.read_audience()
    if not resolved.acts_on_the_same(audience):
        edit = "the segment, the conditions, leave_when or the directory were edited"
    elif not resolved.acts_on_the_same(audience, action):
        edit = f"the if of {action} was edited"
    else:
        return area
    raise AudienceEdited(
        f"{edit} after this run detected its changes; clear the run from detect_changes to go on "
        "with the new definition"
    )


def _keys(resolved: ResolvedWorkflow, ledger: Ledger, changes: Sequence[Change]) -> list[str]:
    """Return the keys of all actions for these changes."""
    return [
        change.key(ledger.namespace, resolved.name, action)
        for action in resolved.action_ids
        for change in changes
    ]
