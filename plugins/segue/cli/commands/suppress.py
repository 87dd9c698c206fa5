"""``segue suppress``: the list of contacts who are never written to."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing
from segue.errors import SettingsError

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace

_COLUMNS = ("contact_id", "kind", "added_at", "added_by", "reason")
_SHOWN = 10  # ids that a remark lists


def suppress(
    contacts: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids of contacts.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="A CSV file with the column contact_id."),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; shown in the list.")
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Print the list.")] = False,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Never write to these contacts, whatever their opt state; forget erases them as well."""
    from segue.cli.workspace import person, this_second, writing_ledger
    from segue.upkeep import interventions as asking

    if listing:
        _print_list(output)
        return
    ids = [*(contacts or []), *(_ids_in(file) if file is not None else [])]
    if not ids:
        raise SettingsError("expected one of: ids of contacts, --file, --list")
    with writing_ledger() as ledger:
        if remove:
            number = asking.allow(ledger, ids, person(), this_second())
            print(f"{count(number, 'contact')} taken off the list")
        else:
            number = asking.suppress(ledger, ids, person(), reason, this_second())
            print(f"{count(number, 'contact')} put on the list")
    if number != len(set(ids)):
        state = "not on it, or forgotten for good" if remove else "on it already, or forgotten"
        note(f"{count(len(set(ids)) - number, 'contact')} {state}")
    if not remove:
        _note_unknown(list(dict.fromkeys(ids)), home)


def _note_unknown(ids: list[str], home: Path | None) -> None:
    """Say which ids are nobody's: a list of addresses, or `102` for `0102`, stops no message."""
    from segue.cli.workspace import Workspace
    from segue.errors import SegueError

    unknown, directories = set(ids), []
    try:
        workspace = Workspace.open(home)
        for name in workspace.catalog.names("directories"):
            snapshot, there = _contacts_among(workspace, name, ids)
            directories.append(f"{name} ({snapshot})")
            unknown -= there
    except SegueError as error:
        note(f"whether these are ids of contacts is not known: {error}")
        return
    strangers = [contact for contact in ids if contact in unknown]
    if strangers and directories:
        names = ", ".join(map(repr, strangers[:_SHOWN]))
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        note(
            f"{count(len(strangers), 'id')} of nobody: {names}{more}; no contact of "
            f"{', '.join(directories)} has it. An id is the contact_id as the snapshot has it, "
            "never an address"
        )


def _contacts_among(workspace: Workspace, name: str, ids: list[str]) -> tuple[str, set[str]]:
    """Return the key of a directory's newest complete snapshot, and which of ``ids`` it has."""
    from segue.directory.tables import SnapshotTables
    from segue.errors import SnapshotMissing

    directory = workspace.catalog.directory(name)
    complete = workspace.complete_snapshots(directory)
    if not complete:
        raise SnapshotMissing(f"directory {name} has no complete snapshot")
    tables = SnapshotTables(directory, complete[-1])
    return complete[-1].key, set(tables.contacts((), only=ids)["contact_id"])


def _print_list(output: Format) -> None:
    from segue.cli.workspace import reading_ledger

    with reading_ledger() as ledger:
        entries = [] if ledger is None else ledger.people.list_suppressions()
    rows = (
        [item.contact_id, item.kind, item.added_at, item.added_by, item.reason] for item in entries
    )
    print_listing(_COLUMNS, rows, output)
    note(count(len(entries), "contact"))


def _ids_in(file: Path) -> list[str]:
    """Return the contact ids of a CSV file as they stand there; raise SettingsError."""
    reader = csv.DictReader(io.StringIO(_text(file), newline=""))
    try:
        if "contact_id" not in (reader.fieldnames or ()):
            columns = ", ".join(reader.fieldnames or ()) or "nothing"
            raise SettingsError(f"{file} has no column contact_id; its first line has: {columns}")
        ids = [(reader.line_num, row["contact_id"]) for row in reader]
    except csv.Error as error:
        raise SettingsError(
            f"{file}:{reader.reader.line_num}: cannot be read as CSV: {error}"
        ) from None
    for line, contact in ids:
        if not contact:
            raise SettingsError(f"{file}:{line}: the contact_id is empty")
    return [contact for _, contact in ids]


def _text(file: Path) -> str:
    """Return a file's text without a byte order mark; SettingsError where it is not UTF-8."""
    data = file.read_bytes()
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{file}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8"
        ) from None
