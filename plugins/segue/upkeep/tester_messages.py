"""A message to a tester: rendered for a contact, sent to somebody else, and no delivery.

The contact's details are real and so is the message, but for whom it reaches and a ``[test]`` in
its subject. No row of ``deliveries`` is read or written. What a vendor would have answered to
actions before it comes from the workflow's own ``tests:``, else it is a placeholder such as
``‹results.ticket.url›``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from segue.clock import REAL_CLOCK, Clock
from segue.contacts.change import Change
from segue.contacts.live_look_up import Desk
from segue.contacts.loading import live_details_of
from segue.contacts.overlay import problems_of
from segue.contracts.channel import Channel, Receipt, Sender
from segue.delivery import judgement
from segue.delivery.call_results import Answer, send_once
from segue.delivery.candidates import Circumstances, Group, candidates_of
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Prepared, Terms
from segue.directory.snapshots import Snapshot, find_snapshot, newest_complete, usable_snapshots
from segue.documents import did_you_mean
from segue.errors import (
    ContactFailure,
    DataError,
    DeliveryError,
    LedgerError,
    OutcomeUnknown,
    SegueError,
    SettingsError,
    SnapshotMissing,
)
from segue.ledger import Ledger
from segue.ledger.delivery_keys import trial_key
from segue.ledger.facts import DeliveryRow
from segue.ledger.pacing import Pacer
from segue.ledger.people.release_requests import Request
from segue.ledger.people.tester_requests import TrialResult, Wanted
from segue.ledger.states import State
from segue.preview.rehearsal import SEND, placeholders, rehearse
from segue.segments.kinds import ChangeKind
from segue.segments.population import Population
from segue.workflows.definition import Action
from segue.workflows.resolved import ResolvedWorkflow

STALE = timedelta(hours=1)  # nobody waits for a test any more that was asked for so long ago
_LONGEST_ADDRESS = 320  # characters, of a mail address
_PATIENCE = timedelta(minutes=1)  # with limits that all tasks share: others wait for their tests
_TOO_FAR = "the connection's limit allows no call for {:.0f} seconds; ask again then"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a test, in a word and in words."""

    result: TrialResult
    words: str


def send_test(
    request: Request,
    resolve: Callable[[str], ResolvedWorkflow],
    ledger: Ledger,
    *,
    owner: str,
    clock: Clock = REAL_CLOCK,
) -> Trial | None:
    """Send the message that a request asks for, at most once, and write down what came of it.

    None where another worker has it. What cannot be sent is an outcome; a LedgerError is raised.
    """
    try:
        resolved = resolve(str(request.selection.workflow))
        trial = _send(request, resolved, ledger, owner, clock)
    except LedgerError:
        raise
    except OutcomeUnknown as error:
        trial = Trial(TrialResult.UNCERTAIN, f"perhaps sent, and not sent again: {error}")
    except SegueError as error:
        trial = Trial(TrialResult.NOT_SENT, f"not sent: {error}")
    if trial is not None:
        ledger.people.finish_trial(request.id, trial.result, trial.words, clock.now(), owner=owner)
    return trial


def find_action(resolved: ResolvedWorkflow, wanted: str | None) -> Action:
    """Return the action to test; raise SettingsError where it is none, or one must be named."""
    ids = resolved.action_ids
    if wanted is None and len(ids) == 1:
        return resolved.definition.actions[0]
    if wanted is None:
        raise SettingsError(
            f"the workflow has several actions; say which one: --action {' or '.join(ids)}"
        )
    if wanted not in ids:
        hint = did_you_mean(wanted, ids)
        raise SettingsError(f"there is no action {wanted!r}; allowed: {', '.join(ids)}{hint}")
    return resolved.definition.action(wanted)


def require_kind(resolved: ResolvedWorkflow, wanted: str | None) -> str:
    """Return the kind of change to test, the workflow's first by default; raise SettingsError."""
    choices = [*map(str, resolved.definition.changes), str(ChangeKind.ENROLLED)]
    if wanted is not None and wanted not in choices:
        hint = did_you_mean(wanted, choices)
        raise SettingsError(f"--change is {wanted!r}; allowed: {', '.join(choices)}{hint}")
    return wanted or choices[0]


def require_address(channel: Channel, to: str) -> str:
    """Return the address ``to`` as a channel writes it; raise SettingsError unless it is one."""
    if not 0 < len(to) <= _LONGEST_ADDRESS or not to.isprintable() or set(to) & set(' ,;<>"'):
        raise SettingsError(
            f"--to is {to[:_LONGEST_ADDRESS]!r}; allowed: one address, without a name, blanks, "
            "commas or line breaks"
        )
    return channel.tester(to)


def require_listed_nowhere(ledger: Ledger, wanted: Wanted) -> None:
    """Raise SettingsError where the workflow is stopped, or the contact must not be used."""
    stop = ledger.people.stopped(wanted.workflow)
    if stop is not None:
        raise SettingsError(f"nothing of this workflow is sent until segue go: {stop}")
    kind = ledger.people.suppressed([wanted.contact]).get(wanted.contact)
    if kind is not None:
        raise SettingsError(f"the contact is {kind}: nothing is made of its details")


def _send(
    request: Request, resolved: ResolvedWorkflow, ledger: Ledger, owner: str, clock: Clock
) -> Trial | None:
    if request.requested_at < clock.now() - STALE:
        raise SettingsError("it was asked for more than an hour ago; ask again")
    wish = _wanted(request)
    require_listed_nowhere(ledger, wish)
    key = trial_key(ledger.namespace, request.id, request.requested_at)
    message_for_test, remark = prepare(resolved, wish, ledger, key, clock)
    channel = resolved.channels[wish.action]
    with channel.connect() as sender:
        pacer = Pacer(ledger.deliveries, clock, clock.now() + _PATIENCE, _TOO_FAR)
        pacer.take_turn(sender.limits(message_for_test.message))
        if sender.lacks(message_for_test.message):
            message_for_test = replace(
                message_for_test, message=sender.complete(message_for_test.message)
            )
            pacer.take_turn(sender.limits(message_for_test.message))
        require_listed_nowhere(ledger, wish)  # the last moment for a stop
        over_by = clock.now() + timedelta(seconds=channel.longest_call) + LEASE
        answer = _send_once(request.id, message_for_test, sender, ledger, owner, over_by)
    if answer is None:
        return None
    if isinstance(answer, DeliveryError):
        raise answer
    number = answer.external_id if isinstance(answer, Receipt) else None
    known_as = f" as {number}" if number else ""
    return Trial(TrialResult.SENT, f"sent to {wish.to}{known_as}{remark}")


def _send_once(
    number: int, message: Prepared, sender: Sender, ledger: Ledger, owner: str, over_by: datetime
) -> Answer | None:
    """Begin a test and make its call; None where another worker has it.

    A task that is told to end in between lets another one begin it.
    """
    is_called = False
    try:
        if not ledger.people.begin_test(number, owner, over_by):
            return None
        is_called = True
        return send_once(sender, message)
    except BaseException:
        if not is_called:
            ledger.people.give_back_test(number, owner)
        raise


def _wanted(request: Request) -> Wanted:
    selection, details = request.selection, request.asked
    workflow, action, contact = (
        str(selection.workflow),
        str(selection.action),
        str(selection.contact),
    )
    return Wanted(workflow, action, contact, details["to"], details["change"], details["snapshot"])


def prepare(
    resolved: ResolvedWorkflow, wanted: Wanted, ledger: Ledger, key: str, clock: Clock = REAL_CLOCK
) -> tuple[Prepared, str]:
    """Return the message as the tester gets it, and what a run would have done instead.

    The contact's details are looked up where the workflow has a live source.

    Raises SegueError where there is no such message.
    """
    action = find_action(resolved, wanted.action)
    channel = resolved.channels[action.id]
    tester = require_address(channel, wanted.to)
    snapshot = _snapshot(resolved, wanted.snapshot, ledger, clock.now())
    change = Change.supposed(wanted.contact, wanted.change, snapshot.key)
    details = live_details_of(resolved, snapshot, [change], Desk(ledger, clock))
    group = _group(resolved, change, details)
    _refuse_own_address(channel, group.fields[change.contact_id], tester)
    message = _render(resolved, action, group, key)
    copy_for_tester = replace(message, message=channel.readdressed(message.message, tester))
    return copy_for_tester, _remark(resolved, action, change, details, ledger.namespace)


def _snapshot(
    resolved: ResolvedWorkflow, key: str | None, ledger: Ledger, now: datetime
) -> Snapshot:
    if key is not None:
        return find_snapshot(resolved.directory, key, now=now)
    name, directory = resolved.directory.directory, resolved.directory
    bad = ledger.people.quarantined(directory.full_name)
    usable = usable_snapshots(directory, bad, now=now)
    newest = newest_complete(usable)
    if newest is None:
        raise SnapshotMissing(f"directory {name} has no complete snapshot")
    return newest


def _group(resolved: ResolvedWorkflow, change: Change, details: Population) -> Group:
    """Return the contact's details; raise ContactFailure or DataError where there are none."""
    for problem in problems_of(details).values():
        raise ContactFailure(problem)
    group = Group.of(resolved, [change], details)
    if change.contact_id not in group.fields:
        source = f", or the source {resolved.live.name} has none" if resolved.live else ""
        raise DataError(
            f"there is no contact {change.contact_id!r} in snapshot {change.details_at} of "
            f"{resolved.directory.directory}{source}; ids are compared exactly"
        )
    return group


def _render(resolved: ResolvedWorkflow, action: Action, group: Group, key: str) -> Prepared:
    """Return the message as the contact would get it, whatever would keep it from being sent."""
    circumstances = Circumstances("", {}, partial(_delivered, resolved), conditional=False)
    [candidate] = candidates_of(resolved, action, [group], circumstances)
    everybody = resolved.definition.policies.model_copy(update={"holdout": None})
    terms = replace(Terms.of(resolved, action), policies=everybody, only=())
    ready, refusals = judgement.judge(
        resolved.channels[action.id], terms, [replace(candidate, key=key, opted_in=True)]
    )
    if refusals:
        raise SettingsError(f"the message cannot be made: {refusals[0].reason}")
    return ready[0]


def _delivered(resolved: ResolvedWorkflow, change: Change, action: str) -> DeliveryRow:
    """Return an action before it as if it had been delivered, with what it would have answered."""
    examples = (example.results.get(action) for example in resolved.definition.tests)
    example_results = next((found for found in examples if isinstance(found, Mapping)), {})
    results = {**placeholders(resolved).get(action, {}), **example_results}
    return DeliveryRow(
        "", action, change.contact_id, change.change, 0, State.DELIVERED, "", results
    )


def _remark(
    resolved: ResolvedWorkflow, action: Action, change: Change, details: Population, namespace: str
) -> str:
    """Return, for the outcome, why a run would not have sent it.

    Consent is left aside, but for an opt-out that the live source has.
    """
    (change_plan,) = rehearse(
        resolved,
        [change],
        {},
        namespace=namespace,
        consent={change.contact_id: True},
        loaded=details,
    )
    outcome = next(each for each in change_plan.actions if each.action == action.id)
    if outcome.outcome == SEND:
        return ""
    return f"; a run would not have sent it: {outcome.outcome} ({outcome.reason})"


def _refuse_own_address(channel: Channel, fields: Mapping[str, Any], tester: str) -> None:
    """Raise SettingsError where the tester's address is one of the contact's, however spelt."""
    for value in fields.values():
        if not isinstance(value, str) or len(value) > _LONGEST_ADDRESS:
            continue
        with suppress(SettingsError):  # most values are no addresses
            if channel.tester(value.strip()).casefold() == tester.casefold():
                break
    else:
        return
    raise SettingsError("the address is the contact's own, and a test never goes to the contact")
