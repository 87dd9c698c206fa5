"""What the guard does: it releases a run's deliveries, or asks a person and obeys the answer.

Whoever answers must have been shown what is answered: the run area remembers whom a question was
about, because Airflow goes on to show the first text of a task that is cleared and asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from segue.errors import RunHalted
from segue.ledger.facts import Decision, RecordedRun
from segue.runs.areas import RunArea
from segue.runs.context import RunContext
from segue.runs.guard_question import Question, judge_policies, quarantined_of, question

log = logging.getLogger(__name__)

APPROVE, REJECT = "Approve", "Reject"  # the choices, as Airflow's approvals call them
QUARANTINE = "quarantine"  # the switch beside them, as the guard's operator names it


def release_or_ask(context: RunContext, area: RunArea, *, is_first_try: bool) -> int | Question:
    """Release a run's planned deliveries, or return what a person is to be asked before.

    Returns how many were released. ``is_first_try``: Airflow shows no earlier question. Raises
    RunHalted where it would show one that was about others, or the run is not recorded.
    """
    record = context.record()
    judge_policies(context, record)
    spans = context.live_spans(record)
    for remark in (remark for span in spans for remark in span.findings):
        log.warning("%s", remark)
    inquiry = question(context, record)
    if inquiry is None:
        ids, actions = [span.id for span in spans], context.resolved.action_ids
        _tell_what_goes_out(context, ids)
        number = context.ledger.runs.release(ids, context.now, actions)
        log.info("released %s deliveries", number)
        return number
    log.info("asking a person: %s", "; ".join(inquiry.reasons))
    if is_first_try:
        area.forget_question()
    _require_shown(inquiry, area)
    context.ledger.runs.begin_asking(record)
    return inquiry


def _tell_what_goes_out(context: RunContext, ids: Sequence[int]) -> None:
    """Log, before anything is released, how many changes are acted on, how and over which way."""
    resolved = context.resolved
    counts = context.ledger.queries.count_waiting(ids, resolved.action_ids)
    whom = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    if whom:
        channels = resolved.channels.items()
        ways = ", ".join(f"{name} ({each.name}, {each.connection})" for name, each in channels)
        log.info("to go out, where nothing forbids it: %s; by %s", whom, ways)


def _require_shown(inquiry: Question, area: RunArea) -> None:
    """Write down what is shown; raise RunHalted where it is an earlier question about others.

    Fewer than are shown may be asked about: who was forgotten meanwhile stands in nobody's way.
    """
    contacts = area.read_question()
    if contacts is None:
        area.write_question(inquiry.about, inquiry.quarantined)
    elif not (inquiry.about <= contacts and inquiry.quarantined <= area.quarantines_shown()):
        raise RunHalted(
            f"nothing was released: {inquiry.subject} {'; '.join(inquiry.reasons)}. Airflow would "
            "show the question of the first time, which was about others. To be asked, run "
            f"{inquiry.command_to_ask}; to go on without a question, change guard in "
            f"{inquiry.workflow}.yaml and clear this task"
        )


def obey(
    context: RunContext,
    area: RunArea,
    choices: Collection[str],
    parameters: Mapping[str, Any],
    person: str,
) -> None:
    """Do what a person's answer says, and record it.

    ``choices`` holds APPROVE or REJECT, ``parameters`` what came with it: nobody has checked it.
    Raises RunHalted for an answer that makes no sense, or to what was not asked.
    """
    record = context.record()
    quarantine = _wants_quarantine(choices, parameters)
    if APPROVE in choices:
        _approve(context, area, record, Decision("approved", person, context.now))
    elif REJECT in choices:
        reject = _reject_snapshot if quarantine else _reject
        reject(context, record, Decision("rejected", person, context.now))


def time_out(context: RunContext) -> None:
    """Reject what nobody has answered about, and record that."""
    _reject(context, context.record(), Decision("timed_out", "", context.now))


def _wants_quarantine(choices: Collection[str], parameters: Mapping[str, Any]) -> bool:
    others = dict(parameters)
    quarantine = others.pop(QUARANTINE, False)
    if others or not isinstance(quarantine, bool):
        raise RunHalted(
            f"the answer's params_input may hold {QUARANTINE}: true or false, found "
            f"{parameters}. Nothing was decided; clear this task to be asked again"
        )
    if quarantine and REJECT not in choices:
        raise RunHalted(
            "to approve changes and to quarantine their snapshot contradict each other. Nothing "
            "was decided; clear this task to be asked again"
        )
    return quarantine


def _approve(context: RunContext, area: RunArea, record: RecordedRun, decision: Decision) -> None:
    """Release what was asked about; raise RunHalted where it is something else by now."""
    spans, queries = context.live_spans(record), context.ledger.queries
    bad = quarantined_of(context, spans) - area.quarantines_shown()
    if bad:
        raise RunHalted(
            f"nothing was released: snapshot {', '.join(sorted(bad))} was quarantined after "
            "the question was put. Clear this task to be told what to run to be asked again"
        )
    ids, actions = [span.id for span in spans], context.resolved.action_ids
    if not queries.waiting_changes(ids, actions) <= (area.read_question() or frozenset()):
        counts = dict(queries.count_waiting(ids, actions))
        raise RunHalted(
            f"nothing was released: {counts or 'nothing'} would be, "
            "and the question was about others. Clear this task to be asked again"
        )
    number = context.ledger.runs.approve(record, ids, decision, actions)
    log.info("approved by %s: released %s deliveries", decision.by, number)


def _reject(context: RunContext, record: RecordedRun, decision: Decision) -> None:
    ids = [span.id for span in context.live_spans(record)]
    number = context.ledger.runs.reject(record, ids, decision)
    log.info("%s: rejected %s deliveries", decision.word, number)


def _reject_snapshot(context: RunContext, record: RecordedRun, decision: Decision) -> None:
    spans = context.ledger.runs.spans_of(record)
    if not spans:  # another run has taken them over meanwhile
        _reject(context, record, decision)
        return
    key, name = spans[-1].stretch.current.key, context.directory.full_name
    ids = [span.id for span in spans if not span.is_withdrawn]
    outcome = context.ledger.runs.reject_snapshot(record, ids, decision, directory=name, key=key)
    rejection = f"{decision.word}: rejected {outcome.rejected} deliveries"
    log.info("%s, quarantined snapshot %s of %s", rejection, key, name)
    for span in outcome.kept:
        log.warning("%s of %s stays recorded: something of it was sent", span.stretch, span.run_id)
