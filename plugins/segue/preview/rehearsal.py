"""The rehearsal: changes taken through every action, up to the call itself.

It goes the way of a branch (its steps, the judgement of the door) with the same functions. What
only a vendor can answer, such as the link of a ticket, stands in later messages as a placeholder:
``‹results.ticket.url›``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from segue.contacts.change import Change
from segue.contacts.conditions import by_details, judge
from segue.contacts.loading import details_of
from segue.contracts.channel import Audience
from segue.delivery import judgement
from segue.delivery.candidates import Candidate, Circumstances, Group, candidates_of
from segue.delivery.judgement import Terms
from segue.ledger.facts import DeliveryRow
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from segue.preview.standing import Elsewhere, Standing
from segue.workflows.definition import Action
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from segue.directory.snapshots import Snapshot
    from segue.segments.population import Population

SEND = "send"
Results = Mapping[str, Mapping[str, Any] | None]  # by action; None: it fails


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """What one action would do for one change: ``send``, ``skipped`` or ``failed``, and why.

    Where the ledger has decided the delivery already, its state and reason. ``recorded`` is how it
    stands there, decided or not; ``elsewhere`` is what another run has done of the change.
    """

    action: str
    channel: str
    key: str  # of the delivery
    outcome: str
    reason: str = ""
    message: Mapping[str, Any] | None = None  # the rendered fields, of what would be sent
    digest_of: int | None = None  # how many changes the one message is about, where it is a digest
    recorded: str = ""
    recorded_reason: str = ""
    elsewhere: Elsewhere | None = None
    language: str | None = None  # of the message, where its texts have several
    wait: str = ""  # how long it waits before it is judged again and sent, as it is written


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One change of the span with the verdict of the conditions and its actions, as written."""

    contact_id: str
    change: str
    reason: str
    conditions: str  # passed | failed | contact_not_found
    opted_in: bool | None  # on the newest complete snapshot; None where the contact is gone
    actions: Sequence[PlannedAction]
    suppressed: bool = False  # on the suppression list, as far as the ledger was asked


def rehearse(
    resolved: ResolvedWorkflow,
    changes: Sequence[Change],
    snapshots: Mapping[str, Snapshot],
    *,
    namespace: str,
    consent: Mapping[str, bool],
    results: Results | None = None,
    loaded: Population | None = None,
    standing_in: Mapping[str, str] | None = None,
    standing: Standing | None = None,
) -> list[PlannedChange]:
    """Return what every action would do for each change, sorted by contact id.

    ``snapshots`` are those that changes take their details from, by key; ``consent`` is the opt
    state of the contacts that still exist. ``results`` stand in for what vendors would answer.
    ``loaded`` are the contacts' details; without them the snapshots are read, and nothing is
    looked up live: ``standing_in`` is what messages show of such fields. ``standing`` is what the
    ledger has of the changes; without it, nothing.
    """

    @cache
    def details(key: str) -> Population:
        if loaded is not None:
            return loaded
        own = [change for change in changes if change.details_at == key]
        return details_of(resolved, snapshots[key], own)

    passes, failures, missing = judge(resolved, changes, details)
    groups = [
        Group.of(resolved, group, details(key), standing_in) for key, group in by_details(passes)
    ]
    rehearsal = _Rehearsal(
        resolved, groups, consent, namespace, results or {}, standing or Standing()
    )
    return rehearsal.plans(failures, missing)


Actions = dict[str, PlannedAction]  # by action id


class _Rehearsal:
    """Takes changes through every action, in the order of ``after``, up to the call itself."""

    def __init__(
        self,
        resolved: ResolvedWorkflow,
        groups: Sequence[Group],
        consent: Mapping[str, bool],
        namespace: str,
        results: Results,
        standing: Standing,
    ) -> None:
        self._resolved = resolved
        self._groups = groups
        self._consent = consent
        self._namespace = namespace
        self._results = results
        self._standing = standing
        self._placeholders = placeholders(resolved)

    def plans(self, failures: Iterable[Change], missing: Iterable[Change]) -> list[PlannedChange]:
        """Return the plan of every change, sorted; of these two kinds every action is skipped."""
        skips = {
            **dict.fromkeys(failures, ("failed", Reason.CONDITIONS)),
            **dict.fromkeys(missing, (Reason.NOT_FOUND, Reason.NOT_FOUND)),
        }
        plans: dict[Change, tuple[str, Actions]] = {
            **{change: ("passed", actions) for change, actions in self.run().items()},
            **{
                change: (verdict, self._all_skipped(change, reason))
                for change, (verdict, reason) in skips.items()
            },
        }
        return [
            PlannedChange(
                change.contact_id,
                change.change,
                change.reason,
                verdict,
                self._consent.get(change.contact_id),
                [actions[action] for action in self._resolved.action_ids],
                change.contact_id in self._standing.suppressed,
            )
            for change, (verdict, actions) in sorted(plans.items())
        ]

    def run(self) -> dict[Change, Actions]:
        """Return what every action would do for changes that passed the conditions."""
        plans: dict[Change, Actions] = {
            change: {} for group in self._groups for change in group.changes
        }
        for action in _in_order(self._resolved):
            outcomes = self._judge(action, plans)
            for change, outcome in outcomes.items():
                plans[change][action.id] = outcome
        return plans

    def _all_skipped(self, change: Change, reason: str) -> Actions:
        """Return every action as skipped for one reason, unless the ledger has decided it."""
        return {
            action.id: self._on_record(action, change)
            or self._outcome(action, change, State.SKIPPED, reason)
            for action in self._resolved.definition.actions
        }

    def _on_record(self, action: Action, change: Change) -> PlannedAction | None:
        """Return what the ledger has decided, or another run keeps out of this one."""
        key = self._key(action, change)
        row, other = self._standing.decided(key), self._standing.elsewhere(change, action.id)
        if row is not None:
            return self._outcome(action, change, row.state, row.reason)
        if other is not None and self._standing.row(key) is None:
            outcome = self._outcome(action, change, State.SUPPRESSED, other.reason)
            return replace(outcome, elsewhere=other)
        return None

    def _barred(self, action: Action, change: Change) -> PlannedAction | None:
        """Return the skip of a message to a contact on the suppression list; about it is sent."""
        channel = self._resolved.channels[action.id]
        if channel.addressed_to is not Audience.CONTACT:
            return None
        if change.contact_id not in self._standing.suppressed:
            return None
        return self._outcome(action, change, State.SKIPPED, Reason.SUPPRESSION_LIST)

    def _judge(
        self, action: Action, planned: Mapping[Change, Actions]
    ) -> dict[Change, PlannedAction]:
        by_key = {self._key(action, change): change for change in planned}
        circumstances = Circumstances(
            self._namespace,
            self._consent,
            lambda change, other: self._row(change, planned[change][other]),
        )
        decided = {
            change: outcome
            for change in planned
            if (outcome := self._on_record(action, change) or self._barred(action, change))
        }
        candidates = candidates_of(self._resolved, action, self._groups, circumstances)
        if action.digest:  # who is decided is not in it
            candidates = _rest(candidates, {outcome.key for outcome in decided.values()})
        ready, refusals = judgement.judge(
            self._resolved.channels[action.id], Terms.of(self._resolved, action), candidates
        )
        outcomes = {
            by_key[key]: replace(
                self._outcome(action, by_key[key], SEND, message=item.message),
                digest_of=len(item.keys) if action.digest else None,
                language=item.language,
            )
            for item in ready
            for key in item.keys
        }
        for item in refusals:
            change = by_key[item.key]
            outcomes[change] = self._outcome(action, change, item.state, item.reason)
        for change, outcome in decided.items():  # with what it would say by today's definition
            message = outcomes[change].message if change in outcomes else None
            outcomes[change] = replace(outcome, message=message)
        return outcomes

    def _row(self, change: Change, earlier: PlannedAction) -> DeliveryRow:
        """Return the delivery as it would stand in the ledger once it was sent."""
        row = self._standing.decided(earlier.key)
        if row is not None:
            return row
        answer = self._results.get(earlier.action, {})
        if answer is None and earlier.outcome == SEND:
            earlier = replace(earlier, outcome=State.FAILED)
        is_sent = earlier.outcome == SEND
        results = {**self._placeholders.get(earlier.action, {}), **(answer or {})}
        return DeliveryRow(
            earlier.key,
            earlier.action,
            change.contact_id,
            change.change,
            0,
            State.DELIVERED if is_sent else State(earlier.outcome),
            earlier.reason,
            results if is_sent else {},
        )

    def _outcome(
        self,
        action: Action,
        change: Change,
        outcome: str,
        reason: str = "",
        message: Mapping[str, Any] | None = None,
    ) -> PlannedAction:
        key = self._key(action, change)
        plan = PlannedAction(action.id, action.channel, key, str(outcome), reason, message)
        if action.wait is not None and outcome == SEND:
            plan = replace(plan, wait=str(action.wait))
        row = self._standing.row(key)
        if row is None:
            return plan
        return replace(plan, recorded=str(row.state), recorded_reason=row.reason)

    def _key(self, action: Action, change: Change) -> str:
        return change.key(self._namespace, self._resolved.name, action.id)


def _rest(candidates: list[Candidate], keys: Collection[str]) -> list[Candidate]:
    """Return those that are not of these keys; all of them where none is left to be told of."""
    rest = [candidate for candidate in candidates if candidate.key not in keys]
    return rest or candidates


def _in_order(resolved: ResolvedWorkflow) -> list[Action]:
    """Return the actions so that each comes after those it is ``after``."""
    return sorted(resolved.definition.actions, key=lambda action: len(resolved.before(action)))


def placeholders(resolved: ResolvedWorkflow) -> dict[str, dict[str, str]]:
    """Return, per action, a stand-in for each of its results that some template reads."""
    by_action: dict[str, dict[str, str]] = {}
    for action in resolved.definition.actions:
        for _, template in resolved.channels[action.id].templates():
            for other, *names in template.references_to("results", digest=action.digest):
                if names:
                    by_action.setdefault(other, {})[names[0]] = f"‹results.{other}.{names[0]}›"
    return by_action
