"""The guard: the only thing that turns ``planned`` deliveries into ``released``.

Within the workflow's limits it does so at once; beyond them, and for whatever looks odd, it asks
a person. What is asked holds counts, limits and contact ids, and nothing else about a contact.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from segue.ledger.facts import RecordedRun, RecordedSpan, SpanKind
from segue.ledger.reasons import Reason
from segue.runs.context import RunContext
from segue.runs.suppression import is_pruned, suppressing_policy
from segue.workflows.definition import GuardLimits

_EXAMPLES = 10  # contact ids of each kind of change that a person is shown
_ENROLMENT = "present members are enrolled because a person asked for it"
_ODD = re.compile(r"[^\w.:@+=/ -]")  # what could break out of a cell

_CHOICES = (
    "**Approve** releases all of it. **Reject** sends nothing of it, now or later; where the "
    "snapshot itself is wrong, switch *quarantine* on first: no workflow of the directory uses it "
    "then, and the next run compares with the one before."
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked before a run releases anything; ``waiting`` counts contacts."""

    workflow: str
    segment: str
    spans: Sequence[RecordedSpan]
    reasons: Sequence[str]
    waiting: Mapping[str, int]  # by kind of change
    examples: Mapping[str, Sequence[str]]  # contact ids by kind of change
    about: frozenset[tuple[str, str]]  # (contact id, change) of everybody it is about
    quarantined: frozenset[str] = frozenset()  # snapshots of the spans

    @property
    def subject(self) -> str:
        """The headline: how many, of what."""
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.waiting.items()))
        return f"{self.workflow}: act on {counts}?"

    def body(self, deadline: datetime) -> str:
        """Return what there is to know before an answer, as Markdown."""
        rows = [
            f"| {kind} | {count} | {_ids(self.examples[kind], count)} |"
            for kind, count in sorted(self.waiting.items())
        ]
        whom = "who they are" if self._is_enrolment else "every message"
        lines = [
            *(f"Snapshots {_pair(span)}" for span in self.spans),
            "",
            "Asked because:",
            *(f"- {reason}" for reason in self.reasons),
            "",
            "| change | contacts | ids |",
            "|---|---|---|",
            *rows,
            "",
            f"See {whom} first: `{self._command}`",
            "",
            _CHOICES,
            "",
            f"Without an answer by {deadline:%Y-%m-%d %H:%M} UTC it is rejected and the run fails.",
        ]
        return "\n".join(lines)

    @property
    def command_to_ask(self) -> str:
        """The shell command whose run takes the spans over and asks about them."""
        stretches = [span.stretch for span in self.spans]
        current = stretches[-1].current.key
        if self._is_enrolment:
            conf: dict[str, object] = {"enroll_current_members": True, "current": current}
        else:
            conf = {"previous": stretches[0].previous.key, "current": current, "deliver": True}
        return f"airflow dags trigger {self.workflow} --conf {shlex.quote(json.dumps(conf))}"

    @property
    def _is_enrolment(self) -> bool:
        return self.spans[0].stretch.is_empty

    @property
    def _command(self) -> str:
        stretch = self.spans[-1].stretch
        if self._is_enrolment:
            return f"segue members {self.segment} --at {stretch.current.key}"
        return (
            f"segue plan {self.workflow} --from {stretch.previous.key} --at {stretch.current.key}"
        )


def judge_policies(context: RunContext, record: RecordedRun) -> None:
    """Let the policies judge a run's spans again: the guard may run long after detection.

    It only withholds: what detect_changes found suppressed has no branch that could send it, and
    is given back by detect_changes alone. An enrolment is a person's decision of now, whatever its
    snapshot's age.
    """
    resolved, wishes, now = context.resolved, context.wishes, context.now
    record_only = record.recorded_only and not wishes.deliver
    watermark = context.ledger.retention.watermark(record.workflow)
    for span in context.live_spans(record):
        reason: str | None = None
        if span.kind != SpanKind.ENROLMENT and is_pruned(span.stretch, watermark):
            reason = Reason.PRUNED
        elif span.kind != SpanKind.ENROLMENT:
            part = span.stretch
            reason = suppressing_policy(resolved, part, now, wishes, record_only=record_only)
        context.ledger.runs.withhold(span.id, reason, now)


def question(context: RunContext, record: RecordedRun) -> Question | None:
    """Return what to ask a person before the run's deliveries are released; None: nothing.

    Where nothing is planned there is nothing to ask, however odd the snapshot. What was rejected
    before waits for another answer, with whatever else is planned by now; not in a run that only
    records, which nothing may be released of. Where it is older than ``max_age`` allows, the
    question says so, and an approval lifts that.
    """
    if record.recorded_only:
        return None
    resolved, queries = context.resolved, context.ledger.queries
    spans, actions = context.live_spans(record), resolved.action_ids
    ids = [span.id for span in spans]
    counts = queries.count_waiting(ids, actions)
    reasons = _reasons(context, spans) if counts else []
    if not reasons:
        return None
    return Question(
        workflow=resolved.name,
        segment=resolved.segment.segment,
        spans=spans,
        reasons=reasons,
        waiting=counts,
        examples={kind: queries.waiting_contacts(ids, kind, _EXAMPLES, actions) for kind in counts},
        about=queries.waiting_changes(ids, actions),
        quarantined=quarantined_of(context, spans),
    )


def quarantined_of(context: RunContext, spans: Sequence[RecordedSpan]) -> frozenset[str]:
    """Return the keys of the spans' snapshots that are quarantined now."""
    return frozenset(key for span in spans for key in span.stretch.keys) & {
        *context.quarantine_reasons()
    }


def _reasons(context: RunContext, spans: Sequence[RecordedSpan]) -> list[str]:
    queries, actions = context.ledger.queries, context.resolved.action_ids
    ids = [span.id for span in spans]
    counts, rejections = queries.count_planned(ids, actions), queries.count_rejected(ids, actions)
    reasons = [
        *beyond_limits(context.resolved.definition.guard, counts, members_before(spans)),
        *_findings(spans),
        *(f"{count} contacts {kind} were rejected before" for kind, count in rejections.items()),
        *(_too_old(context, spans) if rejections else ()),
        *(f"snapshot {key} is quarantined" for key in sorted(quarantined_of(context, spans))),
    ]
    left_out = queries.count_left_to_others(ids)
    if reasons and left_out:
        others = f"left out: {left_out} deliveries that another run has sent, or has in hand"
        reasons.append(others)
    return reasons


def _findings(spans: Sequence[RecordedSpan]) -> list[str]:
    findings = [finding for span in spans for finding in span.findings]
    is_enrolment = any(span.kind == SpanKind.ENROLMENT for span in spans)
    return [*findings, _ENROLMENT] if is_enrolment else findings


def _too_old(context: RunContext, spans: Sequence[RecordedSpan]) -> Iterator[str]:
    """Yield a line for each span that ``max_age`` would keep back where nobody is asked."""
    for span in spans:
        policy = suppressing_policy(context.resolved, span.stretch, context.now)
        if span.kind != SpanKind.ENROLMENT and policy is not None:
            limit = context.resolved.definition.policies.max_age
            yield f"snapshot {span.stretch.current.key} is older than policies.max_age, {limit}"


def beyond_limits(limits: GuardLimits, counts: Mapping[str, int], members: int | None) -> list[str]:
    """Return, in words, each limit that the planned changes of a run go beyond.

    ``counts`` has contacts per kind of change, and limits hold for each kind; ``share`` is of
    ``members``, how many there were before the run's spans, and counts above ``floor``.
    """
    lines = []
    for kind, count in sorted(counts.items()):
        if limits.at_most is not None and count > limits.at_most:
            lines.append(f"{count} contacts {kind}, guard.at_most is {limits.at_most}")
        if limits.share is None or members is None or count <= limits.floor:
            continue
        if count > limits.share * members:
            lines.append(
                f"{count} of {members} contacts {kind}, guard.share is {limits.share * 100:g}%"
            )
    return lines


def members_before(spans: Sequence[RecordedSpan]) -> int | None:
    """Return how many members the segment had before the first of the spans, where known."""
    return next((span.previous_size for span in spans if span.previous_size is not None), None)


def _pair(span: RecordedSpan) -> str:
    stretch = span.stretch
    if stretch.is_empty:
        return f"{stretch.current.key}: {span.current_size} members"
    return f"{stretch}: {span.previous_size} → {span.current_size} members"


def _ids(examples: Sequence[str], count: int) -> str:
    """Return ids for a cell of a Markdown table; an id may hold any character."""
    more = f" and {count - len(examples)} more" if count > len(examples) else ""
    return ", ".join(f"`{_ODD.sub('?', contact_id)}`" for contact_id in examples) + more
