"""Which columns the segments and workflows of a directory read, and what a snapshot has lost of it.

Who publishes a snapshot asks this of all of them, before any of them runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from segue.contacts.fields import details_needed, uses_of_workflow
from segue.contacts.loading import fields_read
from segue.directory.column_kinds import ColumnKind
from segue.directory.tables import SnapshotTables
from segue.errors import DefinitionError
from segue.segments.conditions.fit import misfits
from segue.segments.conditions.inspection import Needs
from segue.segments.conditions.nodes import Condition
from segue.segments.consent import lost_opt_outs
from segue.segments.definition import SegmentDefinition
from segue.segments.fitness import kinds_of
from segue.segments.unreadable import DATES, Use, find_unreadable, is_too_much, uses_of
from segue.workflows.catalog import Catalog
from segue.workflows.data_problems import DERIVED_FIELDS
from segue.workflows.resolved import ResolvedWorkflow

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
_TEXT = (ColumnKind.TEXT, ColumnKind.BYTES)
_OF_A_DIGEST = ("change", "snapshot", "results")  # what its templates see of a contact besides


@dataclass(frozen=True, slots=True)
class Reader:
    """A segment or a workflow, and what it reads of a snapshot."""

    name: str  # segment at_risk
    needs: Needs  # of its conditions
    fields: Collection[str]  # of contacts, in messages and look-ups
    conditions: Collection[Condition]
    uses: Collection[Use]
    besides: Collection[str]  # fields of contacts that are looked up elsewhere

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the tables and columns that it reads; a table as a whole has no column."""
        yield from (("contacts", name) for name in {*self.needs.contacts, *self.fields})
        if self.needs.transactions is not None:
            yield from (("transactions", name) for name in ("", *self.needs.transactions))
        if self.needs.mailing_lists:
            yield from (("mailing_lists", name) for name in ("", "mailing_list"))


@dataclass(frozen=True, slots=True)
class Losses:
    """What a snapshot lacks of what is read, in words that name who reads it."""

    since_before: list[str]  # the snapshot before has it
    all_along: list[str]  # it has not, or there is none: of segments alone, whose runs fail


def find_losses(catalog: Catalog, tables: SnapshotTables, earlier: SnapshotTables | None) -> Losses:
    """Return the tables and columns that sound definitions read and a snapshot does not have.

    And, since the snapshot before, those whose kind has changed so that a condition cannot read
    them, and where it said who opted out. Values are read of columns of text alone that were typed
    before, and of dates. Raises DataError where a table cannot be read.
    """
    segments = list(_segments(catalog, tables.directory.directory))
    readers = [*segments, *_workflows(catalog, tables.directory.directory)]
    absent = _by_reader((each.name, _absent(each, tables)) for each in readers)
    gone = {
        item: names
        for item, names in absent.items()
        if earlier is not None and _has(earlier, *item)
    }
    others = ((each.name, set(_absent(each, tables)) - gone.keys()) for each in segments)
    all_along = _in_words(_by_reader(others), "is not there")
    if earlier is None:
        return Losses([], all_along)
    loss = lost_opt_outs(earlier, tables)
    since_before = [
        *([] if loss is None else [loss]),
        *_in_words(gone, f"is gone, which {earlier.snapshot.key} has"),
        *_changed_kinds(readers, tables, earlier),
    ]
    return Losses(since_before, all_along)


def _segments(catalog: Catalog, directory: str) -> Iterator[Reader]:
    """Yield the segments of a directory; definitions that are wrong are told of elsewhere."""
    for name, segment in _sound(catalog.names("segments"), catalog.segment):
        if segment.directory == directory:
            yield _of_segment(name, segment)


def _workflows(catalog: Catalog, directory: str) -> Iterator[Reader]:
    for name, resolved in _sound(catalog.names("workflows"), catalog.resolve):
        if resolved.directory.directory == directory:
            yield _of_workflow(name, resolved)


def _of_segment(name: str, segment: SegmentDefinition) -> Reader:
    conditions = [] if segment.match is None else [segment.match]
    return Reader(f"segment {name}", segment.needs, (), conditions, uses_of(segment), ())


def _of_workflow(name: str, resolved: ResolvedWorkflow) -> Reader:
    """What its segment reads is the segment's."""
    live = frozenset(resolved.live.provides if resolved.live else ())
    workflow = resolved.definition
    needs, own = details_needed(workflow), fields_read(resolved) or frozenset()
    addresses = {channel.address_field for channel in resolved.channels.values()} - {None}
    fields = {*own, *map(str, addresses)} - {*DERIVED_FIELDS, *_OF_A_DIGEST, *live}
    return Reader(
        name=f"workflow {name}",
        needs=Needs(needs.contacts - live, needs.transactions, needs.mailing_lists),
        fields=() if workflow.load == "none" else fields,
        conditions=[condition for _, condition in workflow.all_conditions()],
        uses=uses_of_workflow(workflow, resolved.segment, live) - uses_of(resolved.segment),
        besides=live,
    )


def _absent(reader: Reader, tables: SnapshotTables) -> Iterator[tuple[str, str]]:
    for table, column in reader.columns():
        is_of_table = not column or tables.has(table)  # of a table that is gone nothing more
        if is_of_table and not _has(tables, table, column):
            yield table, column


def _has(tables: SnapshotTables, table: str, column: str) -> bool:
    return tables.has(table) and (not column or column in tables.columns(table))


def _by_reader(items: Iterable[tuple[str, Iterable[Item]]]) -> dict[Item, list[str]]:
    names: dict[Item, list[str]] = {}
    for name, theirs in items:
        for item in theirs:
            names.setdefault(item, []).append(name)
    return names


def _in_words(absent: Mapping[tuple[str, str], Collection[str]], what: str) -> list[str]:
    return [
        f"{'.'.join(filter(None, item))} {what}; read by {', '.join(names)}"
        for item, names in sorted(absent.items())
    ]


def _changed_kinds(
    readers: Collection[Reader], tables: SnapshotTables, earlier: SnapshotTables
) -> list[str]:
    """Return what cannot be read any more of the columns that there are."""
    old_misfits = _by_reader((each.name, _misfits(each, earlier)) for each in readers)
    now = _by_reader((each.name, _misfits(each, tables)) for each in readers)
    lines = {text: names for text, names in now.items() if text not in old_misfits}
    users = _by_reader((each.name, each.uses) for each in readers)
    suspects = {use for use in users if _may_be_unreadable(use, tables, earlier)}
    unreadable = [each for each in find_unreadable(tables, suspects) if is_too_much(each)]
    uses_now = {each.use for each in unreadable}
    lost_before = {each.use for each in find_unreadable(earlier, uses_now) if is_too_much(each)}
    lines |= {str(each): users[each.use] for each in unreadable if each.use not in lost_before}
    return [f"{text}; read by {', '.join(names)}" for text, names in lines.items()]


def _misfits(reader: Reader, tables: SnapshotTables) -> list[str]:
    kinds = kinds_of(tables, reader.besides)
    texts = (text for condition in reader.conditions for _, text in misfits(condition, kinds))
    return list(dict.fromkeys(texts))


def _may_be_unreadable(use: Use, tables: SnapshotTables, earlier: SnapshotTables) -> bool:
    """Tell whether a column has become text, or is the dates by which windows are judged."""
    kind, old_kind = (each.kinds(use.table).get(use.column) for each in (tables, earlier))
    return kind in _TEXT and (use == DATES[-1] or old_kind not in (None, kind))


def _sound(names: Iterable[str], load: Callable[[str], Loaded]) -> Iterator[tuple[str, Loaded]]:
    for name in names:
        try:
            yield name, load(name)
        except DefinitionError:
            continue
