"""Why contacts were removed: found while contacts are judged, or by looking for them again."""

from __future__ import annotations

import numpy as np
import pytest

from segue.directory.id_hashes import id_keys
from segue.directory.tables import SnapshotTables
from segue.preview.plan import Uncached
from segue.segments.columns.id_keys import KeySet
from segue.segments.membership import changes as module
from segue.segments.membership import slices as sliced_membership
from segue.segments.membership.changes import segment_changes
from segue.segments.membership.store import MembershipStore
from segue.segments.turnover import turnover
from tests.unit.segments.home import Home

BEFORE, NOW = "2026-11-22", "2026-11-23"
REASONS = [
    ["came", "added", ""],
    ["gone", "removed", "deleted"],
    ["left", "removed", "no_longer_matches"],
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two snapshots, and ``home.looked``: the contacts that were looked for again."""
    found = Home(tmp_path)
    found.segment("gold", "match: {field: tier, equals: gold}")
    found.snapshot(BEFORE, contacts="contact_id,tier gone,gold left,gold stay,gold never,x")
    found.snapshot(NOW, contacts="contact_id,tier came,gold left,x stay,gold never,x new,x")
    found.looked = []
    contacts = SnapshotTables.contacts

    def looking(tables, columns=None, *, only=None):
        found.looked += [] if only is None else only
        return contacts(tables, columns, only=only)

    monkeypatch.setattr(SnapshotTables, "contacts", looking)
    return found


def found_by(home, store):
    tables = [home.tables(key) for key in (BEFORE, NOW)]
    snapshots = [each.snapshot for each in tables]
    segment = home.catalog.segment("gold")
    found = segment_changes(segment, tables[0].directory, *snapshots, store)
    assert (found.previous_size, found.current_size) == (3, 2)
    return found.changes.to_numpy().tolist()


@pytest.fixture
def store(tmp_path):
    return MembershipStore(str(tmp_path / "state"))


@pytest.mark.parametrize("kept", [True, False])
def test_contacts_are_read_once_where_the_current_membership_is_computed(home, store, kept):
    assert found_by(home, store if kept else Uncached()) == REASONS
    assert home.looked == []


def test_contacts_are_looked_for_again_where_the_current_membership_was_stored(home, store):
    found_by(home, store)
    assert found_by(home, store) == REASONS
    assert home.looked == ["gone", "left"]


def test_the_sample_of_ids_is_that_of_all_contacts_where_these_are_judged(home, store):
    """It is the same as one that is read; where nobody was judged there is none."""
    tables = [home.tables(key) for key in (BEFORE, NOW)]
    asked = home.catalog.segment("gold"), tables[0].directory, *(each.snapshot for each in tables)
    sample = segment_changes(*asked, store).sample
    everybody = tables[1].slices("contacts")[0].read(["contact_id"]).column(0)
    assert sample.tolist() == sorted(id_keys(everybody).tolist())
    assert turnover(*tables, sample) == turnover(*tables) == (0.25, 0.4)
    assert segment_changes(*asked, store).sample is None


def test_many_former_members_are_looked_for_again(home, store, monkeypatch):
    monkeypatch.setattr(module, "_FEW", 2)
    assert found_by(home, store) == REASONS
    assert home.looked == ["gone", "left"]


def test_contacts_that_are_judged_in_the_plain_way_are_looked_for_again(home, monkeypatch):
    same = lambda ids: np.zeros(len(ids), dtype=np.uint64)  # noqa: E731
    monkeypatch.setattr(sliced_membership, "id_keys", same)
    monkeypatch.setattr(module, "id_keys", same)
    assert found_by(home, Uncached()) == REASONS
    assert home.looked == ["gone", "left"]


def test_a_contact_with_the_key_of_a_deleted_one_is_not_taken_for_it(home, monkeypatch):
    everybody = home.tables(NOW).slices("contacts")[0].read(["contact_id"]).column(0)
    keys = KeySet(np.sort(id_keys(everybody)))
    monkeypatch.setattr(module, "_keys_of", lambda _: keys)
    assert found_by(home, Uncached()) == REASONS
    assert home.looked == []


def test_memberships_that_are_not_sorted_are_compared_with_the_same_reasons(home):
    class Unsorted(Uncached):
        def pieces(self, *asked):
            (members,) = super().pieces(*asked)
            yield members.sort_by([("contact_id", "descending")])

    assert found_by(home, Unsorted()) == REASONS
    assert home.looked == []
