"""Who is opted in (DESIGN.md §4): everybody, unless a record says otherwise.

A contact is opted out of a segment by ``unsubscribed`` in contacts, or by a row of subscriptions
with the scope ``directory`` or ``segment:NAME`` of that segment that is not opted in.
"""

from __future__ import annotations

import pyarrow as pa

from segue.segments.arrow import TEXT, pc
from segue.segments.column_source import column_of
from segue.segments.id_keys import IdSet
from segue.segments.ordered import Mask
from segue.segments.population import UNSUBSCRIBED, Population
from segue.segments.transactions import ids_of


def opt_states(population: Population, segment: str, opted_out: Mask | None = None) -> Mask:
    """Return the effective opt state of each contact for ``segment``, in the contacts' order.

    ``opted_out`` marks those that subscriptions opt out, if that is known already.
    """
    if opted_out is None:
        opted_out = opt_outs(population, segment).holds(ids_of(population.contacts))
    if UNSUBSCRIBED in population.contacts.columns:
        unsubscribed = column_of(population.contacts[UNSUBSCRIBED], population.zone)
        opted_out = opted_out | unsubscribed.booleans.true
    return ~opted_out


def opt_outs(population: Population, segment: str) -> IdSet:
    """Return the contacts that a row of subscriptions opts out of ``segment``."""
    rows = population.subscriptions
    if rows is None:
        return IdSet(pa.chunked_array([], TEXT))
    opted_out = column_of(rows["opted_in"], population.zone).booleans.false
    scopes = ("directory", f"segment:{segment}")
    in_scope = column_of(rows["scope"], population.zone).texts.one_of(scopes)
    return IdSet(pa.chunked_array([pc.unique(ids_of(rows[opted_out & in_scope]))]))
