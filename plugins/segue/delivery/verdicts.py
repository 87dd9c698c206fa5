"""Which changes a workflow's conditions hold for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from segue.delivery.branches import Change
from segue.delivery.looking_up import problems_of
from segue.delivery.resolved import ResolvedWorkflow
from segue.segments.conditions import Condition
from segue.segments.evaluation import Population, evaluate


def judge(
    resolved: ResolvedWorkflow, changes: Sequence[Change], details: Callable[[str], Population]
) -> tuple[list[Change], list[Change], list[Change]]:
    """Split changes into passed, failed and contact-not-found, by the workflow's conditions.

    ``details`` returns the Population of the contacts for a snapshot key.
    """
    passed: list[Change] = []
    failed: list[Change] = []
    missing: list[Change] = []
    for key, group in by_details(changes):
        verdicts = holds(resolved.definition.conditions, details(key), group)
        for change, verdict in zip(group, verdicts, strict=True):
            target = missing if verdict is None else passed if verdict else failed
            target.append(change)
    return passed, failed, missing


def holds(
    condition: Condition | None, population: Population, changes: Sequence[Change]
) -> list[bool | None]:
    """Return whether ``condition`` holds for each change; None where the contact is missing.

    It holds for a contact whose live details were refused: the door says what was wrong.
    """
    rows = {contact: row for row, contact in enumerate(population.contacts["contact_id"])}
    if condition is None:
        return [True if change.contact_id in rows else None for change in changes]
    by_kind = {
        kind: evaluate(condition, population.with_change(kind))
        for kind in {change.change for change in changes}
    }
    unknown = problems_of(population)
    return [
        change.contact_id in unknown or bool(by_kind[change.change][rows[change.contact_id]])
        if change.contact_id in rows
        else None
        for change in changes
    ]


def by_details(changes: Iterable[Change]) -> Iterable[tuple[str, list[Change]]]:
    """Group changes by the snapshot that their contacts' details come from."""
    ordered = sorted(changes, key=lambda change: (change.details_at, change))
    for key, group in groupby(ordered, key=lambda change: change.details_at):
        yield key, list(group)
