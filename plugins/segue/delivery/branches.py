"""Branches: a run's changes cut into slices, and the run area that holds them.

Up to ``branches.max`` contacts there is one branch each; beyond, slices of many. Airflow's XCom
carries only a reference to a slice; the slice and the contacts' details are files below
SEGUE_STATE, in ``runs/<namespace>/<workflow>/<digest of the run id>/``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from upath import UPath

from segue.delivery.spans import Stretch
from segue.errors import DataError
from segue.segments.evaluation import Population
from segue.segments.kinds import RemovalReason
from segue.workflows.definition import Branches

_FRAMES = ("contacts", "transactions", "mailing_lists", "subscriptions", "segments", "looked_up")


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change to handle: a contact, what happened, between which snapshots."""

    contact_id: str
    change: str
    reason: str
    snapshot: str  # key of the current snapshot, which is part of the delivery's key
    details_at: str  # key of the snapshot that the contact's details come from


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


def changes_of_span(stretch: Stretch, rows: Iterable[tuple[str, str, str]]) -> list[Change]:
    """Return the changes of a span; ``rows`` are (contact_id, change, reason)."""
    current, previous = stretch.current.key, stretch.previous.key
    return [
        Change(
            contact_id,
            change,
            reason,
            current,
            previous if reason == RemovalReason.DELETED else current,
        )
        for contact_id, change, reason in rows
    ]


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


class RunArea:
    """The files of one run."""

    def __init__(self, root: str) -> None:
        self.root = UPath(root)

    @classmethod
    def of_run(cls, state: str, namespace: str, workflow: str, run_id: str) -> RunArea:
        """Return the area of a run below the state root."""
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:16]
        return cls(str(UPath(state) / "runs" / namespace / workflow / digest))

    def write_audience(self, audience: str) -> None:
        """Write the digest of what decides who is acted on."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "audience").write_text(audience, encoding="utf-8")

    def read_audience(self) -> str:
        """Return the digest that ``write_audience`` wrote; DataError when the area is gone."""
        return self._text("audience")

    def write_question(self, digest: str) -> None:
        """Remember what a person is shown: see ``read_question``."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "question").write_text(digest, encoding="utf-8")

    def read_question(self) -> str | None:
        """Return the digest of what the guard's question shows, or None if it was never asked.

        Airflow shows a question as it was first asked, whatever a cleared guard asks later.
        """
        path = self.root / "question"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def forget_question(self) -> None:
        """Forget the question of a run that was deleted in Airflow: it shows nothing any more."""
        (self.root / "question").unlink(missing_ok=True)

    def write_slices(self, slices: Sequence[Sequence[Change]]) -> list[BranchRef]:
        """Write the slices and return the references that the fan-out maps over."""
        refs = []
        for number, changes in enumerate(slices):
            self._write("slices", number, changes)
            refs.append(BranchRef(number, _label(number, changes), str(self.root)))
        return refs

    def read_slice(self, number: int) -> list[Change]:
        """Return the changes of a slice, sorted by contact id."""
        return self._read("slices", number)

    def write_passed(self, number: int, contacts: Sequence[Change]) -> None:
        """Write the changes of a slice that the workflow's conditions hold for."""
        self._write("passed", number, contacts)

    def read_passed(self, number: int) -> list[Change]:
        """Return what ``write_passed`` wrote."""
        return self._read("passed", number)

    def write_details(self, number: int, key: str, population: Population) -> None:
        """Write the details of a slice's contacts as they stood in snapshot ``key``."""
        folder = self._details(number, key)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FRAMES:
            frame = getattr(population, name)
            if frame is not None:
                with (folder / f"{name}.parquet").open("wb") as file:
                    frame.to_parquet(file, index=False)
        moment = {
            "as_of": population.as_of.isoformat(),
            "zone": str(population.zone),
            "this_segment": population.this_segment,
        }
        (folder / "moment.json").write_text(json.dumps(moment), encoding="utf-8")

    def read_details(self, number: int, key: str) -> Population:
        """Return what ``write_details`` wrote."""
        folder = self._details(number, key)
        frames: dict[str, Any] = {}
        for name in _FRAMES:
            path = folder / f"{name}.parquet"
            if path.exists():
                with path.open("rb") as file:
                    frames[name] = pd.read_parquet(file, dtype_backend="pyarrow")
        moment = json.loads(self._text(f"{folder.relative_to(self.root)}/moment.json"))
        as_of, zone = datetime.fromisoformat(moment["as_of"]), ZoneInfo(moment["zone"])
        return Population(**frames, as_of=as_of, zone=zone, this_segment=moment["this_segment"])

    def found_details(self, number: int, key: str) -> list[Population]:
        """Return the same where it was written, else nothing."""
        written = (self._details(number, key) / "moment.json").exists()
        return [self.read_details(number, key)] if written else []

    def remove_details(self, number: int, key: str) -> None:
        """Remove what ``write_details`` wrote, if it did."""
        folder = self._details(number, key)
        if folder.exists():
            folder.fs.rm(folder.path, recursive=True)

    def _write(self, kind: str, number: int, changes: Sequence[Change]) -> None:
        folder = self.root / kind
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(change) for change in changes], ensure_ascii=False)
        (folder / f"{number:05}.json").write_text(text, encoding="utf-8")

    def _read(self, kind: str, number: int) -> list[Change]:
        return [Change(**row) for row in json.loads(self._text(f"{kind}/{number:05}.json"))]

    def _text(self, name: str) -> str:
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DataError(
                f"the run's files are gone from {self.root}; clear the run from detect_changes"
            ) from None

    def _details(self, number: int, key: str) -> UPath:
        return self.root / "details" / f"{number:05}" / key.replace(":", "")


def _label(number: int, changes: Sequence[Change]) -> str:
    contacts = {change.contact_id for change in changes}
    if len(contacts) == 1:
        return changes[0].contact_id
    return f"slice {number + 1}: {len(contacts)} contacts"
