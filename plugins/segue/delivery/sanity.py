"""Whether a snapshot looks like a sound successor of the one before it.

What is found is a reason to ask a person before anything is sent, never a failure: an export may
have ended half-way, and a directory may really have shrunk. Nothing here reads a contact's data:
counts and types are those that the files note.
"""

from __future__ import annotations

from collections.abc import Iterator

from segue.directory.checks import list_names
from segue.directory.snapshots import same_content
from segue.directory.tables import SnapshotTables
from segue.workflows.definition import GuardLimits

_TABLES = ("contacts", "transactions")  # whose columns segments and messages are made of
_SHOWN = 10  # changed types in one finding


def odd_about(limits: GuardLimits, previous: SnapshotTables, current: SnapshotTables) -> list[str]:
    """Return, in words, what is odd about ``current`` as the successor of ``previous``.

    One line each; numbers and names of columns only.
    """
    return [*_lost_contacts(limits, previous, current), *_unchanged(previous, current)] + [
        line for table in _TABLES for line in _drift(table, previous, current)
    ]


def _lost_contacts(
    limits: GuardLimits, previous: SnapshotTables, current: SnapshotTables
) -> Iterator[str]:
    """A day whose contacts are missing makes two odd days: they come back on the next."""
    before, now = previous.count("contacts"), current.count("contacts")
    key, earlier = current.snapshot.key, previous.snapshot.key
    limit = 0.0 if limits.shrunk_to is None else limits.shrunk_to
    if before and now == 0:
        yield f"snapshot {key} has no contacts; {earlier} had {before}"
    elif before and now <= limit * before:
        yield (
            f"snapshot {key} has {now} contacts, {now / before:.0%} of the {before} of {earlier}; "
            f"guard.shrunk_to is {limit * 100:g}%"
        )
    elif now and before <= limit * now:
        yield (
            f"snapshot {key} has {now} contacts, and {earlier} had {before or 'none'}: whoever was "
            f"missing there counts as new. If it was incomplete, quarantine {earlier}, not {key}"
        )


def _unchanged(previous: SnapshotTables, current: SnapshotTables) -> Iterator[str]:
    """Files that are those of the day before say nothing new: only the clock made the changes."""
    if same_content(previous.snapshot, current.snapshot):
        yield (
            f"snapshot {current.snapshot.key} is stale: its files are those of "
            f"{previous.snapshot.key}, byte for byte"
        )


def _drift(table: str, previous: SnapshotTables, current: SnapshotTables) -> Iterator[str]:
    before, now = previous.kinds(table), current.kinds(table)
    key, earlier = current.snapshot.key, previous.snapshot.key
    if before and not now:
        yield f"snapshot {key} has no table {table}; {earlier} has one"
        return
    gone = [name for name in before if name not in now]
    if gone:
        yield f"{table} of {key} lacks {list_names(gone)}, which {earlier} has"
    turned = [
        f"{list_names([name])} from {kind} to {now[name]}"
        for name, kind in before.items()
        if now.get(name, kind) != kind
    ]
    if turned:
        yield f"{table} of {key}: a column's type changed since {earlier}: " + "; ".join(
            turned[:_SHOWN]
        )
