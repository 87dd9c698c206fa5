"""The four changes between two memberships, with reasons."""

from __future__ import annotations

import pandas as pd

from segue.segments.membership.changes import enrolments
from tests.unit.segments.home import membership_changes


def members(**states):
    return pd.DataFrame(
        {"contact_id": pd.Series(list(states), dtype="str"), "opted_in": list(states.values())}
    ).astype({"opted_in": bool})


def rows(frame):
    assert list(frame.columns) == ["contact_id", "change", "reason"]
    return list(frame.itertuples(index=False, name=None))


def test_each_kind_of_change():
    previous = members(a=True, b=True, c=True, d=False, e=True)
    current = members(b=True, c=False, d=True, f=False)
    changes = membership_changes(previous, current, current_contact_ids=["b", "c", "d", "e", "f"])
    assert rows(changes) == [
        ("a", "removed", "deleted"),
        ("c", "opted_out", ""),
        ("d", "opted_in", ""),
        ("e", "removed", "no_longer_matches"),
        ("f", "added", ""),
    ]


def test_ids_are_sorted_by_bytes_and_compared_as_they_are():
    current = members(**{"Z": True, "a": True, "007": True, "7": True, "é": True, "😀": True})
    changes = membership_changes(members(), current, current_contact_ids=[])
    assert changes["contact_id"].tolist() == ["007", "7", "Z", "a", "é", "😀"]


def test_order_and_text_type_of_the_sides_do_not_matter():
    previous, current = members(a=True, b=True), members(c=True, b=False)
    expected = rows(membership_changes(previous, current, current_contact_ids=["a"]))
    arrow = previous[::-1].reset_index(drop=True).astype({"contact_id": "string[pyarrow]"})
    assert (
        rows(membership_changes(arrow, current, current_contact_ids=pd.Series(["a"]))) == expected
    )
    objects = previous.astype({"contact_id": object})
    assert rows(membership_changes(objects, current, current_contact_ids={"a"})) == expected


def test_nobody_on_either_side():
    assert rows(membership_changes(members(), members(), current_contact_ids=[])) == []


def test_every_member_can_be_enrolled():
    assert rows(enrolments(members(b=False, a=True))) == [
        ("a", "enrolled", ""),
        ("b", "enrolled", ""),
    ]
