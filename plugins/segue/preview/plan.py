"""The plan: what a run between two snapshots would do, down to each rendered message.

It goes the way of a run (detection, the steps of a branch, the judgement of the door) with the
same functions, and stops where a run would write or send. What only a vendor can answer, such as
the link of a ticket, stands in later messages as a placeholder: ``‹results.ticket.url›``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from segue.contacts.change import Change, changes_of_span
from segue.contacts.conditions import by_details, judge
from segue.contacts.loading import details_of
from segue.contacts.recheck import current_consent
from segue.contracts.live_source import stand_ins
from segue.delivery import judgement
from segue.delivery.candidates import Circumstances, Group, candidates_of
from segue.delivery.judgement import Terms
from segue.ledger.facts import DeliveryRow, DetectedSpan, SpanKind
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from segue.runs.comparison import compare
from segue.runs.guard_question import beyond_limits
from segue.runs.snapshot_pair import stretch_between
from segue.runs.suppression import suppressing_policy
from segue.segments.membership.store import membership, membership_pieces
from segue.workflows.definition import Action
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot
    from segue.segments.definition import SegmentDefinition
    from segue.segments.membership.changes import Memberships
    from segue.segments.membership.slices import Leavers
    from segue.segments.population import Population

SEND = "send"
Results = Mapping[str, Mapping[str, Any] | None]  # by action; None: it fails


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """What one action would do for one change: ``send``, ``skipped`` or ``failed``, and why."""

    action: str
    channel: str
    key: str  # of the delivery
    outcome: str
    reason: str = ""
    message: Mapping[str, Any] | None = None  # the rendered fields, of what would be sent
    digest_of: int | None = None  # how many changes the one message is about, where it is a digest


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One change of the span with the verdict of the conditions and its actions, as written."""

    contact_id: str
    change: str
    reason: str
    conditions: str  # passed | failed | contact_not_found
    opted_in: bool | None  # on the newest complete snapshot; None where the contact is gone
    actions: Sequence[PlannedAction]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run over (previous, current] would do, were it released now."""

    workflow: str
    segment: str
    previous: str | None
    current: str
    baseline: str | None  # why nothing is compared and nothing sent
    suppressed: str | None  # the policy that would keep all of it from being sent
    previous_size: int | None
    current_size: int
    beyond_guard: Sequence[str]  # why the guard would ask a person first
    changes: Sequence[PlannedChange]
    counts: Mapping[str, int]  # of all changes by kind, be they among ``changes`` or not
    left_out: Sequence[str] = ()  # whose changes a run could not record, in words

    def outcomes(self) -> dict[str, Counter[str]]:
        """Return, per action, how many changes would have each outcome: ``skipped (if)``."""
        counts: dict[str, Counter[str]] = {}
        for action_plan in (action for change in self.changes for action in change.actions):
            short = action_plan.reason.split(":")[0]
            name = f"{action_plan.outcome} ({short})" if action_plan.outcome == "skipped" else None
            counts.setdefault(action_plan.action, Counter())[name or action_plan.outcome] += 1
        return counts

    def without_repeats(self) -> Plan:
        """Return the plan with each digest's message at the first of its changes alone."""
        actions_so_far: set[str] = set()
        changes = []
        for change in self.changes:
            actions = [
                replace(action, message=None) if action.action in actions_so_far else action
                for action in change.actions
            ]
            actions_so_far |= {
                action.action for action in actions if action.digest_of and action.message
            }
            changes.append(replace(change, actions=actions))
        return replace(self, changes=changes)


def plan(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    *,
    namespace: str,
    now: datetime,
    quarantined: Collection[str] = (),
    most: int | None = None,
) -> Plan:
    """Return what a run that compares ``previous`` with ``current`` would do; writes nothing.

    Consent is judged, as when sending, on the newest complete snapshot that is not among the
    ``quarantined``. Of more changes than ``most``, the first by contact id are looked at. Raises
    DataError where a snapshot cannot be used.
    """
    span = compare_pair(resolved, previous, current, store=Uncached(), now=now)
    changes = sorted(changes_of_span(span.stretch, span.changes))[:most]
    snapshots = {item.key: item for item in (previous, current) if item is not None}
    consent = current_consent(resolved, changes, now, quarantined)
    return Plan(
        workflow=resolved.name,
        segment=resolved.segment.segment,
        previous=previous.key if previous else None,
        current=current.key,
        baseline=span.reason if span.kind == "baseline" else None,
        suppressed=span.suppressed,
        previous_size=span.previous_size,
        current_size=span.current_size,
        beyond_guard=stopped_by(resolved, span),
        changes=rehearse(
            resolved,
            changes,
            snapshots,
            namespace=namespace,
            consent=consent,
            standing_in=stand_ins(resolved.live),
        ),
        counts=Counter(kind for _, kind, _ in span.changes),
        left_out=span.left_out,
    )


def stopped_by(resolved: ResolvedWorkflow, span: DetectedSpan) -> list[str]:
    """Return why the guard would ask a person before it releases anything of a span."""
    counts = Counter(kind for _, kind, _ in span.changes)
    odd = span.findings if counts else []
    return [*beyond_limits(resolved.definition.guard, counts, span.previous_size), *odd]


class Uncached:
    """Memberships computed when asked for and kept nowhere: looking must leave no trace."""

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return the membership as ``segue.segments.membership.store`` computes it."""
        return membership(segment, directory, snapshot)

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the same in Arrow tables."""
        return membership_pieces(segment, directory, snapshot, leavers)


def compare_pair(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    *,
    store: Memberships,
    now: datetime,
) -> DetectedSpan:
    """Return the changes between two snapshots as detection finds them; raise DataError."""
    part = stretch_between(previous, current)
    span = compare(resolved, part, store=store, now=now)
    policy = suppressing_policy(resolved, part, now)
    return replace(span, suppressed=policy) if span.kind == SpanKind.CHANGES else span


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
) -> list[PlannedChange]:
    """Return what every action would do for each change, sorted by contact id.

    ``snapshots`` are those that changes take their details from, by key; ``consent`` is the opt
    state of the contacts that still exist. ``results`` stand in for what vendors would answer.
    ``loaded`` are the contacts' details; without them the snapshots are read, and nothing is
    looked up live: ``standing_in`` is what messages show of such fields.
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
    rehearsal = _Rehearsal(resolved, groups, consent, namespace, results or {})
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
    ) -> None:
        self._resolved = resolved
        self._groups = groups
        self._consent = consent
        self._namespace = namespace
        self._results = results
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
        """Return every action as skipped for one reason."""
        return {
            action.id: self._outcome(action, change, State.SKIPPED, reason)
            for action in self._resolved.definition.actions
        }

    def _judge(
        self, action: Action, planned: Mapping[Change, Actions]
    ) -> dict[Change, PlannedAction]:
        by_key = {self._key(action, change): change for change in planned}
        circumstances = Circumstances(
            self._namespace,
            self._consent,
            lambda change, other: self._row(change, planned[change][other]),
        )
        candidates = candidates_of(self._resolved, action, self._groups, circumstances)
        ready, refusals = judgement.judge(
            self._resolved.channels[action.id], Terms.of(self._resolved, action), candidates
        )
        outcomes = {
            by_key[key]: replace(
                self._outcome(action, by_key[key], SEND, message=item.message),
                digest_of=len(item.keys) if action.digest else None,
            )
            for item in ready
            for key in item.keys
        }
        for item in refusals:
            change = by_key[item.key]
            outcomes[change] = self._outcome(action, change, item.state, item.reason)
        return outcomes

    def _row(self, change: Change, earlier: PlannedAction) -> DeliveryRow:
        """Return the delivery as it would stand in the ledger once it was sent."""
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
        return PlannedAction(action.id, action.channel, key, str(outcome), reason, message)

    def _key(self, action: Action, change: Change) -> str:
        return change.key(self._namespace, self._resolved.name, action.id)


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
