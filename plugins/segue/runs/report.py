"""The report of a run: every detected change is accounted for, per action, or the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from segue.directory.snapshots import usable_snapshots
from segue.errors import RunHalted
from segue.ledger import Ledger
from segue.ledger.facts import Decision, RecordedRun, RecordedSpan, SpanKind
from segue.ledger.states import OPEN_STATES, State
from segue.runs.bridges import Bridge, bridges
from segue.runs.context import RunContext
from segue.runs.gaps import LEFT_OVER, Gap, gaps
from segue.workflows.resolved import ResolvedWorkflow

_SHOWN_GAPS = 5
Outcome = tuple[str, str]  # (state, reason)
_NOT_SENT = frozenset({State.SKIPPED, State.SUPPRESSED})


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run's changes: counts per action of (state, reason)."""

    run: RecordedRun
    spans: Sequence[RecordedSpan]
    changes: Counter[str]
    actions: Mapping[str, Counter[Outcome]]
    withdrawn: Counter[str]  # states of deliveries of changes that are none any more
    problems: Sequence[str]
    digests: Mapping[str, int] = field(default_factory=dict)  # messages, per action that is one
    bridges: Sequence[Bridge] = ()

    @property
    def states(self) -> Counter[str]:
        """How many deliveries stand in each state, over all actions."""
        return _by_state(self.actions.values())

    @property
    def needs_a_look(self) -> bool:
        """True where something is held or uncertain: whom ``notify.on_held`` names is told."""
        return bool(self.states[State.HELD] or self.states[State.UNCERTAIN])

    def lines(self) -> list[str]:
        """Return the report as lines of Markdown; numbers and reasons only, no contact text."""
        run = self.run
        return [
            f"Run {run.run_id}: {run.outcome}",
            *([run.reason] if run.reason else ()),
            *(line for span in self.spans for line in _span_lines(span)),
            *(f"- {bridge}" for bridge in self.bridges),
            *([_decision_line(run.decision)] if run.decision else ()),
            *([f"changes: {_counts(self.changes)}"] if self.changes else ()),
            *(self._action_line(action) for action in self.actions),
            *([_withdrawn_line(self.withdrawn)] if self.withdrawn else ()),
            *(f"PROBLEM: {problem}" for problem in self.problems),
        ]

    def _action_line(self, action: str) -> str:
        by_outcome: Counter[str] = Counter()
        for (state, reason), count in self.actions[action].items():
            by_outcome[_outcome(state, reason)] += count
        number = self.digests.get(action, 0)
        in_messages = f", in {number} message{'' if number == 1 else 's'}" if number else ""
        return f"- {action}: {_counts(by_outcome)}{in_messages}"


@dataclass(frozen=True, slots=True)
class Account:
    """A run's report at its end, with what was never looked at and what did not finish."""

    report: RunReport
    gaps: Sequence[Gap]
    broken_tasks: Sequence[str]
    latencies: Mapping[str, timedelta]  # per action, the longest

    @property
    def lines(self) -> list[str]:
        """The report's lines and those of the gaps."""
        return [*self.report.lines(), *gap_lines(self.report.run.workflow, self.gaps)]

    @property
    def problems(self) -> list[str]:
        """What fails the run, in words."""
        ending = [_unfinished_line(self.broken_tasks)] if self.broken_tasks else []
        return [*ending, *self.report.problems]


def account_for(context: RunContext, broken_tasks: Sequence[str]) -> Account:
    """Account for a run whose other tasks have ended; ``broken_tasks`` did not succeed.

    Raises RunHalted where the run is not recorded.
    """
    record = context.find_record()
    if record is None:
        raise RunHalted(_unfinished_line(broken_tasks or ["detect_changes recorded nothing"]))
    report = report_run(context.resolved, record, context.ledger)
    gaps = lost_gaps(context.resolved, context.ledger, context.now)
    latencies = context.ledger.queries.latencies([span.id for span in report.spans])
    return Account(report, gaps, broken_tasks, latencies)


def _unfinished_line(tasks: Sequence[str]) -> str:
    return f"the run did not finish: {', '.join(tasks)}"


def report_run(resolved: ResolvedWorkflow, run: RecordedRun, ledger: Ledger) -> RunReport:
    """Reconcile a run: changes detected = sum over states, per action."""
    spans = ledger.runs.spans_of(run)
    ids = [span.id for span in spans]
    actions, withdrawn = ledger.queries.tally(ids), ledger.queries.tally_withdrawn(ids)
    totals = ledger.queries.expected_deliveries(ids)
    return RunReport(
        run=run,
        spans=spans,
        changes=ledger.queries.count_changes(ids),
        actions=actions,
        withdrawn=withdrawn,
        problems=[
            *(remark for span in spans for remark in span.left_out),
            *_accounting_problems(totals, actions),
            *_problems(resolved, actions, withdrawn),
        ],
        digests=ledger.queries.count_digests(ids),
        bridges=bridges(resolved, spans),
    )


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
    bad = ledger.people.quarantined(resolved.directory.full_name) if ledger else {}
    snapshots = usable_snapshots(resolved.directory, bad, now=now)
    spans = [span.stretch for span in ledger.runs.all_spans(resolved.name)] if ledger else []
    watermark = ledger.retention.watermark(resolved.name) if ledger else None
    return gaps(resolved, spans, snapshots, now, bad, watermark)


def all_bridges(resolved: ResolvedWorkflow, ledger: Ledger | None) -> list[Bridge]:
    """Return the recorded spans of the workflow over runs without a snapshot, in order of time."""
    return bridges(resolved, ledger.runs.all_spans(resolved.name)) if ledger else []


def gap_lines(workflow: str, gaps: Sequence[Gap]) -> list[str]:
    """Return a line for each of the newest of a workflow's lost gaps."""
    lines = [_gap_line(gap) for gap in gaps[-_SHOWN_GAPS:]]
    if len(gaps) > _SHOWN_GAPS:
        lines.append(f"GAP: and {len(gaps) - _SHOWN_GAPS} earlier; see segue gaps {workflow}")
    return lines


def _gap_line(gap: Gap) -> str:
    remedy = f"fill it with: {gap.command}" if gap.fillable else f"nobody looks at it: {LEFT_OVER}"
    return f"GAP: {gap.stretch}; {remedy}"


def _accounting_problems(
    totals: Mapping[str, int], actions: Mapping[str, Counter[Outcome]]
) -> Iterator[str]:
    for action, count in totals.items():
        total = actions.get(action, Counter()).total()
        if total != count:
            yield f"{action}: {count} changes were detected, {total} are accounted for"


def _problems(
    resolved: ResolvedWorkflow,
    actions: Mapping[str, Counter[Outcome]],
    withdrawn: Mapping[str, int],
) -> Iterator[str]:
    """Yield what fails a run; actions that are not defined any more count like the others."""
    open_counts = {action: _open_count(counts) for action, counts in actions.items()}
    for action, count in open_counts.items():
        if count and action not in resolved.action_ids:
            yield (
                f"{count} deliveries of {action} were not sent, and it is not defined any "
                "more; clear the run from detect_changes to go on without it"
            )
    open_total = sum(open_counts.get(action, 0) for action in resolved.action_ids)
    if open_total:
        yield f"{open_total} deliveries were not tried to the end; clear the failed tasks"
    states = _by_state(actions.values()) + Counter(withdrawn)
    if states[State.UNCERTAIN]:
        yield f"{states[State.UNCERTAIN]} deliveries are uncertain: nobody can tell"
    limit = resolved.definition.report.max_failed
    if states[State.FAILED] > limit:
        yield f"{states[State.FAILED]} deliveries failed; report.max_failed is {limit}"


def _by_state(tallies: Iterable[Counter[Outcome]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for counts in tallies:
        for (state, _), count in counts.items():
            totals[state] += count
    return totals


def _open_count(counts: Counter[Outcome]) -> int:
    return sum(count for (state, _), count in counts.items() if state in OPEN_STATES)


def _withdrawn_line(withdrawn: Counter[str]) -> str:
    line = f"withdrawn: {withdrawn.total()} deliveries of changes that are none any more"
    counts = {state: count for state, count in withdrawn.items() if state not in _NOT_SENT}
    return f"{line} ({_counts(counts)})" if counts else line


def _span_lines(span: RecordedSpan) -> list[str]:
    return [_span_line(span), *(f"- odd: {finding}" for finding in span.findings)]


def _span_line(span: RecordedSpan) -> str:
    if span.kind == SpanKind.BASELINE:
        return f"{span.stretch.current.key}: baseline ({span.reason}), {span.current_size} members"
    if span.kind == SpanKind.ENROLMENT:
        return f"{span.stretch.current.key}: enrolment of {span.current_size} present members"
    if span.is_withdrawn:
        ends = dict.fromkeys((span.stretch.previous.key, span.stretch.current.key))
        return f"{' → '.join(ends)}: withdrawn ({span.reason})"
    return f"{span.stretch}: {span.previous_size} → {span.current_size} members"


def _decision_line(decision: Decision) -> str:
    word = decision.word.replace("_", " ")
    by_whom = f" by {decision.by}" if decision.by else ""
    return f"decision: {word}{by_whom} at {decision.at:%Y-%m-%d %H:%M} UTC"


def _outcome(state: str, reason: str) -> str:
    short = reason.split(":", maxsplit=1)[0] if state in (State.SKIPPED, State.SUPPRESSED) else ""
    return f"{state}({short})" if short else state


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
