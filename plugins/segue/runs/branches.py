"""Branches: a run's changes cut into slices.

Up to ``branches.max`` contacts there is one branch each; beyond, slices of many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from segue.contacts.change import Change
from segue.workflows.definition import Branches

_LONGEST_LABEL = 250  # characters of ``rendered_map_index`` in Airflow's database


@dataclass(frozen=True, slots=True)
class BranchRef:
    """What XCom carries of a branch: its number, its label, and the run area it is in."""

    number: int
    label: str
    area: str

    def as_xcom(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_xcom(cls, data: Mapping[str, Any]) -> BranchRef:
        """Read what ``as_xcom`` returned."""
        return cls(int(data["number"]), str(data["label"]), str(data["area"]))


def cut(changes: Sequence[Change], branches: Branches) -> list[list[Change]]:
    """Cut changes into branches, in order of contact id; a contact is never in two."""
    by_contact: dict[str, list[Change]] = {}
    for change in sorted(changes):
        by_contact.setdefault(change.contact_id, []).append(change)
    contacts = list(by_contact.values())
    if len(contacts) <= branches.max:
        return contacts
    size = max(branches.slice_size, -(-len(contacts) // branches.max))
    starts = range(0, len(contacts), size)
    return [list(chain.from_iterable(contacts[start : start + size])) for start in starts]


def _short(contact_id: str) -> str:
    """Return an id as Airflow can keep it: a long one is cut, and told apart by a digest."""
    if len(contact_id) <= _LONGEST_LABEL:
        return contact_id
    digest = hashlib.sha256(contact_id.encode()).hexdigest()[:16]
    return f"{contact_id[: _LONGEST_LABEL - 17]}…{digest}"


def label(number: int, changes: Sequence[Change]) -> str:
    """Return what Airflow shows of a branch: its contact, or which slice it is."""
    contacts = {change.contact_id for change in changes}
    if len(contacts) == 1:
        return _short(changes[0].contact_id)
    return f"slice {number + 1}: {len(contacts)} contacts"
