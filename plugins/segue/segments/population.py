"""The contacts that conditions are judged for, and what is known about them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from segue.directory.definition import UNSUBSCRIBED, DirectoryDefinition
from segue.directory.tables import SnapshotTables
from segue.directory.unread import refuse_unread, subscriptions_in_force
from segue.segments.columns.ordered import Mask
from segue.segments.conditions.inspection import Needs
from segue.segments.kinds import ChangeKind


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The contacts that conditions are judged for, one row each, and what is known about them.

    ``changes`` holds the kind of change per row of ``contacts``, for workflow conditions, and
    ``segments`` has a boolean column per segment that conditions refer to, of the same rows.
    ``looked_up`` has a row per contact that a live source was asked for: contact_id, ``problem``
    (why its details could not be looked up) and ``opted_out`` (the source says that it wants no
    messages). Frames are not changed. Ids of contacts are unique and not missing.
    """

    contacts: pd.DataFrame
    as_of: datetime  # aware; the first instant that the data does not know
    zone: ZoneInfo
    transactions: pd.DataFrame | None = None
    mailing_lists: pd.DataFrame | None = None
    subscriptions: pd.DataFrame | None = None
    changes: pd.Series[Any] | None = None
    segments: pd.DataFrame | None = None
    looked_up: pd.DataFrame | None = None
    this_segment: str | None = None  # the one that `subscription: this_segment` means

    @classmethod
    def load(
        cls,
        directory: DirectoryDefinition,
        tables: SnapshotTables,
        needs: Needs,
        *,
        as_of: datetime,
        only: Collection[str] | None = None,
        contacts: pd.DataFrame | None = None,
    ) -> Population:
        """Read what ``needs`` names, of all contacts or of ``only`` some.

        ``contacts`` takes the place of the snapshot's own.
        """
        transactions = None
        if needs.transactions is not None:
            transactions = tables.rows("transactions", sorted(needs.transactions), only=only)
        if needs.subscriptions:
            needs |= opt_state_needs(tables)
        if contacts is None:
            contacts = tables.contacts(sorted(needs.contacts), only=only)
        return cls(
            contacts,
            as_of,
            directory.zone,
            transactions,
            _mailing_lists(tables, only) if needs.mailing_lists else None,
            subscriptions_in_force(tables, only) if needs.subscriptions else None,
        )

    def with_change(self, kind: ChangeKind | str) -> Population:
        """Return the same contacts, each seen making this kind of change."""
        return replace(self, changes=pd.Series([str(kind)] * len(self.contacts), dtype="str"))

    def with_segment(self, name: str, members: Mask) -> Population:
        """Return the same contacts, with who of them is in a segment."""
        columns = {} if self.segments is None else dict(self.segments.items())
        return replace(self, segments=pd.DataFrame({**columns, name: members}))

    def only(self, *contact_ids: str) -> Population:
        """Return the population of some contacts; without those that are not there."""
        mask = self.contacts["contact_id"].isin(contact_ids)
        return replace(
            self,
            contacts=self.contacts[mask].reset_index(drop=True),
            transactions=_of_contacts(self.transactions, contact_ids),
            mailing_lists=_of_contacts(self.mailing_lists, contact_ids),
            subscriptions=_of_contacts(self.subscriptions, contact_ids),
            changes=None if self.changes is None else self.changes[mask.to_numpy()],
            segments=None if self.segments is None else self.segments[mask.to_numpy()],
            looked_up=_of_contacts(self.looked_up, contact_ids),
        )


def opt_state_needs(tables: SnapshotTables) -> Needs:
    """Return what a population must hold for ``opt_states`` to answer; every record is optional.

    Raises DataError where something looks like an opt state and is not read, or where the
    directory names one that the snapshot lacks: without it everybody would count as opted in.
    """
    refuse_unread(tables, rows=False)
    names = {UNSUBSCRIBED} & set(tables.columns("contacts"))
    return Needs(contacts=frozenset(names), subscriptions=True)


def _mailing_lists(tables: SnapshotTables, only: Collection[str] | None) -> pd.DataFrame:
    columns = dict.fromkeys(["mailing_list", *tables.columns("mailing_lists")])
    return tables.rows("mailing_lists", columns, only=only)


def _of_contacts(frame: pd.DataFrame | None, contact_ids: Collection[str]) -> pd.DataFrame | None:
    return None if frame is None else frame[frame["contact_id"].isin(contact_ids)]
