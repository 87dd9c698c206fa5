"""The report of a run: every detected change is accounted for, per action, or the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from segue.directory.snapshots import usable_snapshots
from segue.ledger import Ledger
from segue.ledger.facts import Decision, RecordedRun, RecordedSpan, SpanKind
from segue.ledger.states import OPEN_STATES, State
from segue.runs.bridges import Bridge, bridges
from segue.runs.gaps import LEFT_OVER, Gap, gaps
from segue.workflows.resolved import ResolvedWorkflow

_SHOWN_GAPS = 5
_NOT_SENT = frozenset({State.SKIPPED, State.SUPPRESSED})


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run's changes: counts per action of (state, reason)."""

    run: RecordedRun
    spans: Sequence[RecordedSpan]
    changes: Counter[str]
    actions: Mapping[str, Counter[tuple[str, str]]]
    withdrawn: Counter[str]  # states of deliveries of changes that are none any more
    problems: Sequence[str]
    digests: Mapping[str, int] = field(default_factory=dict)  # messages, per action that is one
    bridges: Sequence[Bridge] = ()

    @property
    def states(self) -> Counter[str]:
        """How many deliveries stand in each state, over all actions."""
        totals: Counter[str] = Counter()
        for counts in self.actions.values():
            for (state, _), count in counts.items():
                totals[state] += count
        return totals

    def lines(self) -> list[str]:
        """Return the report as lines of Markdown; numbers and reasons only, no contact text."""
        text_lines = [f"Run {self.run.run_id}: {self.run.outcome}"]
        if self.run.reason:
            text_lines.append(self.run.reason)
        for span in self.spans:
            text_lines += [_span_line(span), *(f"- odd: {finding}" for finding in span.findings)]
        text_lines += [f"- {bridge}" for bridge in self.bridges]
        if self.run.decision:
            text_lines.append(_decision_line(self.run.decision))
        if self.changes:
            text_lines.append("changes: " + _counts(self.changes))
        for action, counts in self.actions.items():
            by_outcome = Counter({_outcome(*key): count for key, count in counts.items()})
            number = self.digests.get(action, 0)
            in_messages = f", in {number} message{'' if number == 1 else 's'}" if number else ""
            text_lines.append(f"- {action}: {_counts(by_outcome)}{in_messages}")
        if self.withdrawn:
            text_lines.append(_withdrawn_line(self.withdrawn))
        text_lines += [f"PROBLEM: {problem}" for problem in self.problems]
        return text_lines


def report_run(resolved: ResolvedWorkflow, run: RecordedRun, ledger: Ledger) -> RunReport:
    """Reconcile a run: changes detected = sum over states, per action."""
    spans = ledger.runs.spans_of(run)
    ids = [span.id for span in spans]
    changes = ledger.queries.count_changes(ids)
    actions = ledger.queries.tally(ids)
    withdrawn, digests = ledger.queries.tally_withdrawn(ids), ledger.queries.count_digests(ids)
    totals = ledger.queries.expected_deliveries(ids)
    problems = [
        *(remark for span in spans for remark in span.left_out),
        *_problems(resolved, totals, actions, withdrawn),
    ]
    bridges_of_run = bridges(resolved, spans)
    return RunReport(run, spans, changes, actions, withdrawn, problems, digests, bridges_of_run)


def lost_gaps(resolved: ResolvedWorkflow, ledger: Ledger, now: datetime) -> list[Gap]:
    """Return the gaps before the newest recorded span, in order of time.

    What comes after it is still to be covered, by runs that catch up or by the next one.
    """
    spans = [span.stretch for span in ledger.runs.all_spans(resolved.name)]
    if not spans:
        return []
    limit = max(spans, key=lambda stretch: stretch.current).previous.as_of
    gaps = all_gaps(resolved, ledger, now)
    return [gap for gap in gaps if gap.due is None and gap.stretch.current.as_of <= limit]


def all_gaps(resolved: ResolvedWorkflow, ledger: Ledger | None, now: datetime) -> list[Gap]:
    """Return the gaps of the workflow in order of time; without a ledger nothing is covered."""
    bad = ledger.people.quarantined(resolved.directory.directory) if ledger else {}
    snapshots = usable_snapshots(resolved.directory, bad, now=now)
    spans = [span.stretch for span in ledger.runs.all_spans(resolved.name)] if ledger else []
    watermark = ledger.retention.watermark(resolved.name) if ledger else None
    return gaps(resolved, spans, snapshots, now, bad, watermark)


def all_bridges(resolved: ResolvedWorkflow, ledger: Ledger | None) -> list[Bridge]:
    """Return the recorded spans of the workflow over runs without a snapshot, in order of time."""
    return bridges(resolved, ledger.runs.all_spans(resolved.name)) if ledger else []


def gap_lines(workflow: str, lost: Sequence[Gap]) -> list[str]:
    """Return a line for each of the newest of a workflow's lost gaps."""
    lines = [_gap_line(gap) for gap in lost[-_SHOWN_GAPS:]]
    if len(lost) > _SHOWN_GAPS:
        lines.append(f"GAP: and {len(lost) - _SHOWN_GAPS} earlier; see segue gaps {workflow}")
    return lines


def _gap_line(gap: Gap) -> str:
    remedy = f"fill it with: {gap.command}" if gap.fillable else f"nobody looks at it: {LEFT_OVER}"
    return f"GAP: {gap.stretch.previous.key} → {gap.stretch.current.key}; {remedy}"


def _problems(
    resolved: ResolvedWorkflow,
    expected: Mapping[str, int],
    actions: Mapping[str, Counter[tuple[str, str]]],
    withdrawn: Mapping[str, int],
) -> list[str]:
    """Return what fails a run; actions that are not defined any more count like the others."""
    problems = []
    for action, count in expected.items():
        total = actions.get(action, Counter()).total()
        if total != count:
            problems.append(f"{action}: {count} changes were detected, {total} are accounted for")
    states: Counter[str] = Counter(withdrawn)
    open_count = 0
    for action, counts in actions.items():
        mine: Counter[str] = Counter()
        for (state, _), count in counts.items():
            mine[state] += count
        states += mine
        still_open = sum(mine[state] for state in OPEN_STATES)
        if action in resolved.action_ids:
            open_count += still_open
        elif still_open:
            problems.append(
                f"{still_open} deliveries of {action} were not sent, and it is not defined any "
                "more; clear the run from detect_changes to go on without it"
            )
    if open_count:
        problems.append(
            f"{open_count} deliveries were not tried to the end; clear the failed tasks"
        )
    if states[State.UNCERTAIN]:
        problems.append(f"{states[State.UNCERTAIN]} deliveries are uncertain: nobody can tell")
    limit = resolved.definition.report.max_failed
    if states[State.FAILED] > limit:
        problems.append(f"{states[State.FAILED]} deliveries failed; report.max_failed is {limit}")
    return problems


def _withdrawn_line(withdrawn: Counter[str]) -> str:
    line = f"withdrawn: {withdrawn.total()} deliveries of changes that are none any more"
    counts = {state: count for state, count in withdrawn.items() if state not in _NOT_SENT}
    return f"{line} ({_counts(counts)})" if counts else line


def _span_line(span: RecordedSpan) -> str:
    if span.kind == SpanKind.BASELINE:
        return f"{span.stretch.current.key}: baseline ({span.reason}), {span.current_size} members"
    if span.kind == SpanKind.ENROLMENT:
        return f"{span.stretch.current.key}: enrolment of {span.current_size} present members"
    if span.is_withdrawn:
        ends = dict.fromkeys((span.stretch.previous.key, span.stretch.current.key))
        return f"{' → '.join(ends)}: withdrawn ({span.reason})"
    return (
        f"{span.stretch.previous.key} → {span.stretch.current.key}: "
        f"{span.previous_size} → {span.current_size} members"
    )


def _decision_line(decision: Decision) -> str:
    word = decision.word.replace("_", " ")
    by_whom = f" by {decision.by}" if decision.by else ""
    return f"decision: {word}{by_whom} at {decision.at:%Y-%m-%d %H:%M} UTC"


def _outcome(state: str, reason: str) -> str:
    short = reason.split(":", maxsplit=1)[0] if state in (State.SKIPPED, State.SUPPRESSED) else ""
    return f"{state}({short})" if short else state


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
