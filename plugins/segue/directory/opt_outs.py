"""Who opted out by a snapshot, and in which of its columns and rows that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from segue.directory.checks import DIRECTORY_SCOPE, ID
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.directory.tables import SnapshotTables

NOTHING_SAYS = (
    "nothing says who opted out: everybody counts as opted in; the directory's `consent` names the "
    "column of contacts that says it"
)
NONE_BY_CONSENT = "`consent: none`: no opt-outs are recorded, everybody counts as opted in"


@dataclass(frozen=True, slots=True)
class OptOuts:
    """Who opted out, and where it is read."""

    contacts: int  # that are opted out of the directory
    places: Mapping[str, int]  # rows that opt out, by column, or by scope of subscriptions
    are_none: bool = False  # the directory says that it records none

    def __str__(self) -> str:
        if not self.places:
            return NONE_BY_CONSENT if self.are_none else NOTHING_SAYS
        places = ", ".join(f"{place} {rows}" for place, rows in self.places.items())
        return f"{self.contacts} opted out of the directory; opt-outs: {places}"


def opt_sources(tables: SnapshotTables) -> dict[str, str]:
    """Return where the snapshot says who opted out, and what to call each place.

    ``contacts.unsubscribed`` is the standard column, or the one that ``consent`` names;
    ``subscriptions`` is the table.
    """
    subscriptions = {"subscriptions": "subscriptions"} if tables.has("subscriptions") else {}
    return _opt_column(tables, "contacts") | subscriptions


def opt_places(tables: SnapshotTables) -> dict[str, str]:
    """Return ``opt_sources``, and ``mailing_lists.opted_in``: who opted out of one list."""
    return opt_sources(tables) | _opt_column(tables, "mailing_lists")


def count_opt_outs(tables: SnapshotTables) -> OptOuts:
    """Count who opted out, and where it is read; raise DataError where a table is broken."""
    contacts = tables.table("contacts")
    states = [UNSUBSCRIBED] if UNSUBSCRIBED in contacts.sources else []
    rows, places, opted_out = contacts.read(states, None), {}, pa.chunked_array([], TEXT)
    if states:
        opted_out = rows.filter(rows.column(UNSUBSCRIBED)).column(ID)
        places[opt_sources(tables)[f"contacts.{UNSUBSCRIBED}"]] = len(opted_out)
    if tables.has("subscriptions"):
        by_scope, of_directory = _opt_outs_by_scope(tables)
        places |= by_scope or {"subscriptions": 0}
        opted_out = pa.chunked_array([*opted_out.chunks, *of_directory.chunks], TEXT)
    is_contact = pc.is_in(rows.column(ID), value_set=pc.unique(opted_out))
    return OptOuts(pc.sum(is_contact).as_py() or 0, places, tables.directory.consent == "none")


def _opt_outs_by_scope(tables: SnapshotTables) -> tuple[dict[str, int], ArrowColumn]:
    """Return how many rows of subscriptions opt out, and the ids that opt out of the directory."""
    rows = tables.table("subscriptions").read(["scope", "opted_in"], None)
    rows = rows.filter(pc.invert(rows.column("opted_in")))
    counts: Any = pc.value_counts(rows.column("scope"))
    scopes = zip(counts.field("values"), counts.field("counts"), strict=True)
    by_scope = {f"subscriptions {scope.as_py()}": number.as_py() for scope, number in scopes}
    of_directory = rows.filter(pc.equal(rows.column("scope"), DIRECTORY_SCOPE))
    return dict(sorted(by_scope.items())), of_directory.column(ID)


def _opt_column(tables: SnapshotTables, name: str) -> dict[str, str]:
    if not tables.has(name):
        return {}
    table = tables.table(name)
    own = table.sources.get(table.opt_state or "")
    return {} if own is None else {f"{name}.{table.opt_state}": f"{name}.{own}"}
