"""Load what a segment is judged by: its tables, and the segments that it refers to.

Segments are taken in the order in which they refer to each other, so that each one finds the
memberships that it asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from segue.directory.plain_columns import ArrowColumn, pc
from segue.directory.tables import SnapshotTables
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of
from segue.segments.conditions.inspection import Needs
from segue.segments.consent import segment_scope
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import evaluate
from segue.segments.outside import opted_out_by_import, outside_members
from segue.segments.population import Population
from segue.segments.transactions import ids_of

if TYPE_CHECKING:
    from segue.segments.membership.changes import Memberships


def load_population(
    segment: SegmentDefinition,
    tables: SnapshotTables,
    *,
    only: Collection[str] | None = None,
    memberships: Memberships | None = None,
) -> Population:
    """Read what judges ``segment`` and its contacts' opt states, of all contacts or ``only`` some.

    ``memberships`` gives those of segments that it refers to, as for ``with_segments``.
    Raises DataError where the snapshot lacks something, which ``missing_for`` tells beforehand.
    """
    needs = segment.needs | Needs(subscriptions=True)
    as_of = tables.snapshot.as_of
    population = Population.load(tables.directory, tables, needs, as_of=as_of, only=only)
    population = replace(population, this_segment=segment.segment)
    population = with_segments(population, segment.refers_to, tables, memberships)
    return with_segments(population, () if segment.match is not None else (segment,), tables)


def load_opt_states(
    segment: SegmentDefinition, tables: SnapshotTables, *, only: Collection[str] | None = None
) -> Population:
    """Read what says whether contacts are opted in to ``segment``, and nothing else."""
    needs = Needs(subscriptions=True)
    as_of = tables.snapshot.as_of
    population = Population.load(tables.directory, tables, needs, as_of=as_of, only=only)
    return _with_opt_outs(population, segment, opted_out_by_import(segment, tables))


def judge(segment: SegmentDefinition, population: Population) -> Mask:
    """Return who is in ``segment``, one boolean per contact; see ``load_population``."""
    if segment.match is not None:
        return evaluate(segment.match, replace(population, this_segment=segment.segment))
    assert population.segments is not None
    return population.segments[segment.segment].to_numpy(dtype=bool)


def with_segments(
    population: Population,
    segments: Iterable[SegmentDefinition],
    tables: SnapshotTables,
    memberships: Memberships | None = None,
) -> Population:
    """Return the population knowing who is in ``segments``, each after those it refers to.

    It must hold what their conditions read. ``memberships`` gives those that Python functions
    decide, which are expensive: they see all contacts, however few are asked for.
    """
    for segment in segments:
        if segment.match is not None:
            members = judge(segment, population)
        elif segment.python is not None and memberships is not None:
            membership = memberships.membership(segment, tables.directory, tables.snapshot)
            members = _among(population, ids_of(membership))
        else:
            outside = outside_members(segment, tables)
            population = _with_opt_outs(population, segment, outside.opted_out)
            members = _among(population, outside.ids)
        population = population.with_segment(segment.segment, members)
    return population


def _among(population: Population, ids: ArrowColumn) -> Mask:
    return mask_of(pc.is_in(ids_of(population.contacts), value_set=ids))


def _with_opt_outs(
    population: Population, segment: SegmentDefinition, opted_out: ArrowColumn
) -> Population:
    """Return the population with opt-outs of one segment as further rows of subscriptions."""
    if len(opted_out) == 0:
        return population
    rows = pd.DataFrame({"contact_id": pd.Series(opted_out.to_pylist(), dtype="str")})
    rows = rows.assign(scope=segment_scope(segment.segment), opted_in=False)
    subscriptions = population.subscriptions
    if subscriptions is not None:
        rows = pd.concat(
            [subscriptions[["contact_id", "scope", "opted_in"]], rows], ignore_index=True
        )
    return replace(population, subscriptions=rows)
