"""Which changes a workflow's conditions hold for, and of which contacts nobody can tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from segue.contacts.change import Change
from segue.contacts.overlay import problems_of
from segue.errors import SegueError, log_defect
from segue.segments.conditions.nodes import Condition
from segue.segments.evaluation import evaluate
from segue.segments.population import Population
from segue.workflows.resolved import ResolvedWorkflow

log = logging.getLogger(__name__)

# a text says why a condition cannot be judged of a contact; None: the contact is missing
Verdict: TypeAlias = bool | str | None


def judge(
    resolved: ResolvedWorkflow, changes: Sequence[Change], details: Callable[[str], Population]
) -> tuple[list[Change], list[Change], list[Change]]:
    """Split changes into passed, failed and contact-not-found, by the workflow's conditions.

    ``details`` returns the Population of the contacts for a snapshot key. A contact of whom they
    cannot be judged is among the passed: the door fails it, and says why.
    """
    passes: list[Change] = []
    failures: list[Change] = []
    missing: list[Change] = []
    for key, group in by_details(changes):
        verdicts = holds(resolved.definition.conditions, details(key), group)
        for change, verdict in zip(group, verdicts, strict=True):
            target = missing if verdict is None else passes if verdict else failures
            target.append(change)
    return passes, failures, missing


def holds(
    condition: Condition | None, population: Population, changes: Sequence[Change]
) -> list[Verdict]:
    """Return whether ``condition`` holds for each change; None where the contact is missing.

    It holds for a contact whose live details were refused: the door says what was wrong. Where
    one contact's values cannot be judged the verdict is why not, in words without its values.
    Raises SegueError where that concerns everybody: a column or a table that is not there.
    """
    rows = {contact: row for row, contact in enumerate(population.contacts["contact_id"])}
    if condition is None:
        return [True if change.contact_id in rows else None for change in changes]
    by_kind = {
        kind: _one_by_one(condition, population.with_change(kind))
        for kind in {change.change for change in changes}
    }
    unknown = problems_of(population)
    return [
        change.contact_id in unknown or by_kind[change.change][rows[change.contact_id]]
        if change.contact_id in rows
        else None
        for change in changes
    ]


def not_judged(*verdicts: Verdict) -> str | None:
    """Return why the first of several conditions that cannot be judged cannot; None: all can."""
    return next((verdict for verdict in verdicts if isinstance(verdict, str)), None)


def _one_by_one(condition: Condition, population: Population) -> list[bool | str]:
    """Judge all contacts at once, or by halves until whoever cannot be judged is alone."""
    try:
        return [bool(verdict) for verdict in evaluate(condition, population)]
    except SegueError:
        raise
    except Exception as error:  # noqa: BLE001 - of any kind: the others are judged
        ids = list(map(str, population.contacts["contact_id"]))
        if len(ids) > 1:
            halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :])
            return [
                verdict
                for half in halves
                for verdict in _one_by_one(condition, population.only(*half))
            ]
        kind = log_defect(log, error, f"in a condition, of contact {ids[0]},")
        return [f"conditions: they cannot be judged of this contact ({kind})"]


def by_details(changes: Iterable[Change]) -> Iterable[tuple[str, list[Change]]]:
    """Group changes by the snapshot that their contacts' details come from."""
    in_order = sorted(changes, key=lambda change: (change.details_at, change))
    for key, group in groupby(in_order, key=lambda change: change.details_at):
        yield key, list(group)
