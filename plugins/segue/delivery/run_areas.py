"""All run areas of a namespace: who is in them, and which of them nobody needs any more.

What an area holds is written by ``segue.delivery.branches``; here it is only taken out again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from upath import UPath

from segue.delivery.branches import RunArea
from segue.directory.whole_files import whole_file


def forget_in_areas(state: str, namespace: str, contact_id: str) -> int:
    """Take a contact out of every run area; returns how many held it.

    The rest of an area stays as it is, so that a run under way goes on with its other contacts.
    """
    return sum(_forget(area, contact_id) for area in _areas(state, namespace))


def remove_areas(state: str, namespace: str, kept: Collection[tuple[str, str]]) -> int:
    """Delete the run areas of all runs but ``kept``, (workflow, run id); returns how many."""
    paths = {
        RunArea.of_run(state, namespace, workflow, run_id).root.path for workflow, run_id in kept
    }
    count = 0
    for area in _areas(state, namespace):
        if area.path not in paths:
            area.fs.rm(area.path, recursive=True)
            count += 1
    return count


def _areas(state: str, namespace: str) -> Iterator[UPath]:
    for workflow in _folders(UPath(state) / "runs" / namespace):
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
