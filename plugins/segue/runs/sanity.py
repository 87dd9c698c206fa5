"""Whether a snapshot looks like a sound successor of the one before it.

What is found is a reason to ask a person before anything is sent, never a failure: an export may
have ended half-way, and a directory may really have shrunk. Counts and types are those that the
files note; of contacts' data only the opt states are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from segue.directory.checks import list_names
from segue.directory.column_kinds import are_alike
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.id_hashes import Keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import pc
from segue.directory.snapshot_content import same_content
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.segments.strangers import count_reached, new_strangers
from segue.segments.turnover import turnover
from segue.segments.unreadable import Unreadable, news_of
from segue.workflows.definition import GuardLimits

_TABLES = ("contacts", "transactions")  # whose columns segments and messages are made of
_COUNTED = ("contacts", "transactions", "subscriptions")
_MANY_OTHERS, _MOST_OTHERS = 0.2, 0.5  # the share of other ids that is odd; where they are few
_SHOWN = 10  # changed types in one finding


def odd_about(
    limits: GuardLimits,
    previous: SnapshotTables,
    current: SnapshotTables,
    unreadable: tuple[Collection[Unreadable], Collection[Unreadable]] = ((), ()),
    tables_read: Collection[str] = ("subscriptions",),
    sample: Keys | None = None,
) -> list[str]:
    """Return, in words, what is odd about ``current`` as the successor of ``previous``.

    ``unreadable`` is what of each the workflow cannot read, and ``tables_read`` are those by whose
    contact ids it judges; ``sample`` is as for ``turnover``. One line each: numbers, names of
    columns, shapes of values and contact ids only.
    """
    return [
        *news_of(*unreadable, previous.snapshot.key, current.snapshot.key),
        *_lost_rows(limits, previous, current),
        *_returned_contacts(limits, previous, current),
        *_other_ids(limits, previous, current, sample),
        *new_strangers(previous, current, tables_read),
        *(_stale_files(previous, current) if limits.stale else ()),
        *(line for table in _TABLES for line in _drift(table, previous, current)),
    ]


def _lost_rows(
    limits: GuardLimits, previous: SnapshotTables, current: SnapshotTables
) -> Iterator[str]:
    """Without their opt-outs people get what they said no to: these count like a table's rows."""
    key, earlier = current.snapshot.key, previous.snapshot.key
    for what, old_count, new_count in _counts(previous, current):
        if old_count and new_count == 0:
            yield f"snapshot {key} has no {what}; {earlier} had {old_count}"
        elif _is_shrunken(limits, old_count, new_count):
            yield (
                f"snapshot {key} has {new_count} {what}, {new_count / old_count:.0%} of the "
                f"{old_count} of {earlier}; guard.shrunk_to is {(limits.shrunk_to or 0) * 100:g}%"
            )


def _returned_contacts(
    limits: GuardLimits, previous: SnapshotTables, current: SnapshotTables
) -> Iterator[str]:
    """A day whose contacts are missing makes two odd days: they come back on the next."""
    old_count, new_count = previous.count("contacts"), current.count("contacts")
    key, earlier = current.snapshot.key, previous.snapshot.key
    if new_count and (old_count == 0 or _is_shrunken(limits, new_count, old_count)):
        yield (
            f"snapshot {key} has {new_count} contacts, and {earlier} had {old_count or 'none'}: "
            f"whoever was missing there counts as new. If it was incomplete, quarantine {earlier}, "
            f"not {key}"
        )


def _other_ids(
    limits: GuardLimits, previous: SnapshotTables, current: SnapshotTables, sample: Keys | None
) -> Iterator[str]:
    """Ids in another spelling are other people: all leave, all enter, no opt-out holds any more.

    What is gone and what is new must both be much, so that growing and shrinking are not this.
    """
    share_gone, new = turnover(previous, current, sample)
    smaller = min(share_gone * previous.count("contacts"), new * current.count("contacts"))
    if min(share_gone, new) > (_MANY_OTHERS if smaller > limits.floor else _MOST_OTHERS):
        key, earlier = current.snapshot.key, previous.snapshot.key
        yield (
            f"{share_gone:.0%} of the contact ids of {earlier} are gone, and {new:.0%} of those of "
            f"{key} are new: if the ids are only spelt otherwise, everybody is somebody else"
        )


def _counts(previous: SnapshotTables, current: SnapshotTables) -> Iterator[tuple[str, int, int]]:
    """Yield what is counted, and how many there were and are."""
    for table in _COUNTED:
        if current.has(table):  # one that is gone is told of elsewhere
            yield table, previous.count(table), current.count(table)
    yield "opt-outs", _opt_outs(previous), _opt_outs(current)


def _opt_outs(tables: SnapshotTables) -> int:
    """Count the contacts that are unsubscribed, and those whom subscriptions opt out.

    A row that finds no contact keeps nobody from a message.
    """
    if UNSUBSCRIBED not in tables.columns("contacts"):
        return count_reached(tables)

    def count_unsubscribed(piece: TableSlice) -> int:
        return pc.sum(piece.read([UNSUBSCRIBED]).column(UNSUBSCRIBED)).as_py() or 0

    return sum(in_parallel(count_unsubscribed, tables.slices("contacts"))) + count_reached(tables)


def _is_shrunken(limits: GuardLimits, old_count: int, new_count: int) -> bool:
    """Small numbers come and go: up to ``floor`` rows make no difference."""
    limit = limits.shrunk_to
    return (
        limit is not None
        and new_count <= limit * old_count
        and old_count - new_count > limits.floor
    )


def _stale_files(previous: SnapshotTables, current: SnapshotTables) -> Iterator[str]:
    """Files that are those of the day before say nothing new: only the clock made the changes."""
    if same_content(previous.snapshot, current.snapshot):
        what = "its files are those of {}, byte for byte"
        if current.snapshot.location is None:
            what = "its tables are those of {}: nothing was written to them since"
        yield f"snapshot {current.snapshot.key} is stale: {what.format(previous.snapshot.key)}"


def _drift(table: str, previous: SnapshotTables, current: SnapshotTables) -> Iterator[str]:
    old_kinds, now = previous.kinds(table), current.kinds(table)
    key, earlier = current.snapshot.key, previous.snapshot.key
    if old_kinds and not now:
        yield f"snapshot {key} has no table {table}; {earlier} has one"
        return
    losses = [name for name in old_kinds if name not in now]
    if losses:
        yield f"{table} of {key} lacks {list_names(losses)}, which {earlier} has"
    new_types = [
        f"{list_names([name])} from {kind} to {now[name]}"
        for name, kind in old_kinds.items()
        if not are_alike(now.get(name, kind), kind)
    ]
    if new_types:
        yield f"{table} of {key}: a column's type changed since {earlier}: " + "; ".join(
            new_types[:_SHOWN]
        )
