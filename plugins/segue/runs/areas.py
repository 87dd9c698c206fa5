"""Run areas: the files of one run, and all of them of a namespace.

Airflow's XCom carries only a reference to a slice; the slice and the contacts' details are files
below SEGUE_STATE, in ``runs/<namespace>/<workflow>/<digest of the run id>/``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from upath import UPath

from segue.contacts.change import Change
from segue.directory.whole_files import whole_file
from segue.errors import DataError
from segue.extras import storage_path
from segue.runs.branches import BranchRef, label
from segue.segments.population import Population

_FRAMES = ("contacts", "transactions", "mailing_lists", "subscriptions", "segments", "looked_up")


class RunArea:
    """The files of one run."""

    def __init__(self, root: str) -> None:
        self.root = storage_path(root)

    @classmethod
    def of_run(cls, state: str, namespace: str, workflow: str, run_id: str) -> RunArea:
        """Return the area of a run below the state root."""
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:16]
        return cls(str(storage_path(state) / "runs" / namespace / workflow / digest))

    def write_audience(self, audience: str) -> None:
        """Write the digest of what decides who is acted on."""
        _write_text(self.root / "audience", audience)

    def read_audience(self) -> str:
        """Return the digest that ``write_audience`` wrote; DataError when the area is gone."""
        return self._text("audience")

    def write_question(
        self, about: Collection[tuple[str, str]], quarantined_keys: Collection[str] = ()
    ) -> None:
        """Remember whom a person is shown a question about, and which bad snapshots it names.

        See ``read_question`` and ``quarantines_shown``.
        """
        rows = [{"contact_id": contact, "change": change} for contact, change in sorted(about)]
        _write_text(self.root / "shown.json", json.dumps({"quarantined": sorted(quarantined_keys)}))
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
            refs.append(BranchRef(number, label(number, changes), str(self.root)))
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
        tables = {name: getattr(population, name) for name in _FRAMES}
        frames = {name: frame for name, frame in tables.items() if frame is not None}
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
        is_there = (self._details(number, key) / "moment.json").exists()
        return [self.read_details(number, key)] if is_there else []

    def branches_with_details(self, key: str) -> list[int]:
        """Return the numbers of the slices whose details as of snapshot ``key`` are written."""
        paths = (self.root / "details").glob(f"*/{_file_name(key)}/moment.json")
        return sorted(int(path.parent.parent.name) for path in paths)

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
        return self.root / "details" / f"{number:05}" / _file_name(key)


def _file_name(key: str) -> str:
    return key.replace(":", "")


def _write_text(path: UPath, text: str) -> None:
    with whole_file(path.fs, path.path) as file:
        file.write(text.encode())


# All areas of a namespace


def forget_in_areas(state: str, namespace: str, contact_id: str) -> int:
    """Take a contact out of every run area; returns how many held it.

    The rest of an area stays as it is, so that a run under way goes on with its other contacts.
    """
    return sum(_forget(area, contact_id) for area in _areas(state, namespace))


def remove_areas(state: str, namespace: str, runs: Collection[tuple[str, str]]) -> int:
    """Delete the run areas of all but these ``runs``, (workflow, run id); returns how many."""
    paths = {
        RunArea.of_run(state, namespace, workflow, run_id).root.path for workflow, run_id in runs
    }
    count = 0
    for area in _areas(state, namespace):
        if area.path not in paths:
            area.fs.rm(area.path, recursive=True)
            count += 1
    return count


def _areas(state: str, namespace: str) -> Iterator[UPath]:
    for workflow in _folders(storage_path(state) / "runs" / namespace):
        yield from _folders(workflow)


def _folders(folder: UPath) -> list[UPath]:
    if not folder.exists():
        return []
    return sorted((path for path in folder.iterdir() if path.is_dir()), key=str)


def _forget(area: UPath, contact_id: str) -> bool:
    lists = [_forget_in_list(path, contact_id) for path in area.rglob("*.json")]
    folders = sorted({path.parent for path in area.rglob("contacts.parquet")}, key=str)
    return any([*lists, *(_forget_in_details(folder, contact_id) for folder in folders)])


def _forget_in_list(path: UPath, contact_id: str) -> bool:
    """Take a contact out of a slice's changes; other files are left alone."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        return False
    rest = [row for row in rows if row["contact_id"] != contact_id]
    if len(rest) == len(rows):
        return False
    with whole_file(path.fs, path.path) as file:
        file.write(json.dumps(rest, ensure_ascii=False).encode())
    return True


def _forget_in_details(folder: UPath, contact_id: str) -> bool:
    """Take a contact out of a slice's details: its rows go from every table of the folder.

    contacts.parquet is written last: it says which rows of segments.parquet are the contact's.
    """
    paths = sorted(folder.glob("*.parquet"), key=lambda path: path.name == "contacts.parquet")
    tables = {path: _table(path) for path in paths}
    contacts = tables[paths[-1]]
    others = _is_another(contacts, contact_id)
    is_there = False
    for path, table in tables.items():
        if "contact_id" in table.column_names:
            keep = _is_another(table, contact_id)
        elif table.num_rows == contacts.num_rows:
            keep = others
        else:
            continue  # an earlier, interrupted attempt has done it
        if not all(keep):
            is_there = True
            _write(path, table.filter(keep))
    return is_there


def _is_another(table: Any, contact_id: str) -> list[bool]:
    return [other != contact_id for other in table.column("contact_id").to_pylist()]


def _table(path: UPath) -> Any:
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        return pq.read_table(file)


def _write(path: UPath, table: Any) -> None:
    import pyarrow.parquet as pq

    with whole_file(path.fs, path.path) as file:
        pq.write_table(table, file)
