"""Branches: a run's changes cut into slices, and the run area that holds them.

Up to ``branches.max`` contacts there is one branch each; beyond, slices of many. Airflow's XCom
carries only a reference to a slice; the slice and the contacts' details are files below
SEGUE_STATE, in ``runs/<namespace>/<workflow>/<digest of the run id>/``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from upath import UPath

from segue.delivery.spans import Stretch
from segue.directory.whole_files import whole_file
from segue.errors import DataError
from segue.segments.evaluation import Population
from segue.segments.kinds import RemovalReason
from segue.workflows.definition import Branches

_LONGEST_LABEL = 250  # characters of ``rendered_map_index`` in Airflow's database
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
        _write_text(self.root / "audience", audience)

    def read_audience(self) -> str:
        """Return the digest that ``write_audience`` wrote; DataError when the area is gone."""
        return self._text("audience")

    def write_question(
        self, about: Collection[tuple[str, str]], quarantined: Collection[str] = ()
    ) -> None:
        """Remember whom a person is shown a question about, and which bad snapshots it names.

        See ``read_question`` and ``quarantines_shown``.
        """
        rows = [{"contact_id": contact, "change": change} for contact, change in sorted(about)]
        _write_text(self.root / "shown.json", json.dumps({"quarantined": sorted(quarantined)}))
        _write_text(self._question, json.dumps(rows, ensure_ascii=False))

    def quarantines_shown(self) -> frozenset[str]:
        """Return the keys of quarantined snapshots that the guard's question names."""
        path = self.root / "shown.json"
        text = path.read_text(encoding="utf-8") if path.exists() else '{"quarantined": []}'
        return frozenset(json.loads(text)["quarantined"])

    def read_question(self) -> frozenset[tuple[str, str]] | None:
        """Return (contact_id, change) of all that the guard's question is about; None: never asked.

        Airflow shows a question as it was first asked, whatever a cleared guard asks later.
        """
        if not self._question.exists():
            return None
        rows = json.loads(self._question.read_text(encoding="utf-8"))
        return frozenset((row["contact_id"], row["change"]) for row in rows)

    def forget_question(self) -> None:
        """Forget the question of a run that was deleted in Airflow: it shows nothing any more."""
        self._question.unlink(missing_ok=True)

    @property
    def _question(self) -> UPath:
        return self.root / "question.json"

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

    def write_details(
        self,
        number: int,
        key: str,
        population: Population,
        fields: Collection[str] | None = None,
    ) -> None:
        """Write the details of a slice's contacts as they stood in snapshot ``key``.

        ``fields`` are those of contacts' own that were asked for, None for all.
        """
        folder = self._details(number, key)
        known = {name: getattr(population, name) for name in _FRAMES}
        frames = {name: frame for name, frame in known.items() if frame is not None}
        for name, frame in frames.items():
            path = folder / f"{name}.parquet"
            with whole_file(path.fs, path.path) as file:
                frame.to_parquet(file, index=False)
        moment = {
            "as_of": population.as_of.isoformat(),
            "zone": str(population.zone),
            "this_segment": population.this_segment,
            "frames": list(frames),
            "fields": None if fields is None else sorted(fields),
        }
        _write_text(folder / "moment.json", json.dumps(moment))

    def read_details(self, number: int, key: str) -> Population:
        """Return what ``write_details`` wrote."""
        folder = self._details(number, key)
        moment = self._moment(number, key)
        frames: dict[str, Any] = {}
        for name in moment["frames"]:  # of an earlier try there may be others
            with (folder / f"{name}.parquet").open("rb") as file:
                frames[name] = pd.read_parquet(file, dtype_backend="pyarrow")
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

    def read_fields(self, number: int, key: str) -> list[str] | None:
        """Return the ``fields`` that details were written with."""
        fields: list[str] | None = self._moment(number, key)["fields"]
        return fields

    def _moment(self, number: int, key: str) -> Any:
        folder = self._details(number, key)
        return json.loads(self._text(f"{folder.relative_to(self.root)}/moment.json"))

    def _write(self, kind: str, number: int, changes: Sequence[Change]) -> None:
        text = json.dumps([asdict(change) for change in changes], ensure_ascii=False)
        _write_text(self.root / kind / f"{number:05}.json", text)

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


def _write_text(path: UPath, text: str) -> None:
    with whole_file(path.fs, path.path) as file:
        file.write(text.encode())


def _short(contact_id: str) -> str:
    """Return an id as Airflow can keep it: a long one is cut, and told apart by a digest."""
    if len(contact_id) <= _LONGEST_LABEL:
        return contact_id
    digest = hashlib.sha256(contact_id.encode()).hexdigest()[:16]
    return f"{contact_id[: _LONGEST_LABEL - 17]}…{digest}"


def _label(number: int, changes: Sequence[Change]) -> str:
    contacts = {change.contact_id for change in changes}
    if len(contacts) == 1:
        return _short(changes[0].contact_id)
    return f"slice {number + 1}: {len(contacts)} contacts"
