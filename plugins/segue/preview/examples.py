"""Hold definitions against their examples (``tests:``), with the engine that runs use.

An example is written as a snapshot of one contact, into a folder that the caller gives and throws
away, and then read, judged and rendered as any other snapshot is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upath import UPath

from segue.contacts.change import Change
from segue.contacts.fields import details_needed
from segue.contacts.recheck import consent_at
from segue.directory.column_kinds import ColumnKind
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.documents import Location, format_location
from segue.errors import DataError
from segue.preview.rehearsal import PlannedAction, rehearse
from segue.segments.columns.arrow import array_of
from segue.segments.conditions.fit import Kinds, misfits
from segue.segments.conditions.inspection import Needs, named_segments
from segue.segments.conditions.nodes import Condition
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.examples import Example, SegmentExample
from segue.segments.explanation import Explanation, explain_segment
from segue.segments.fitness import segment_misfits
from segue.segments.loading import judge, load_population
from segue.workflows.examples import Expectation, WorkflowExample
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from segue.directory.definition import DirectoryDefinition


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as an example expects it."""

    location: Location  # below the example
    expected: Any
    found: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a definition does what one of its examples expects."""

    example: Example
    differences: Sequence[Difference] = ()
    error: str | None = None  # why it could not be judged
    explanation: Explanation | None = None  # of a segment's membership that is not as expected

    @property
    def passed(self) -> bool:
        """True where everything is as expected."""
        return not self.differences and self.error is None


@dataclass(frozen=True, slots=True)
class Held:
    """What the columns of a directory's newest snapshot hold; nothing where there is none."""

    key: str = ""
    kinds: Kinds = dataclasses.field(default_factory=dict)


def judge_segment_example(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    example: SegmentExample,
    folder: Path,
    held: Held = Held(),
) -> Verdict:
    """Return whether a segment decides as an example expects; ``folder`` is new and empty.

    An example whose values, or a segment whose conditions, do not go with the columns that are
    ``held`` by the newest snapshot would be no example of it, and fails.
    """
    try:
        _refuse_unlike(example, held, segment_misfits(segment, held.kinds))
        return _judged_segment(segment, directory, example, folder)
    except DataError as error:
        return Verdict(example, error=str(error))


def judge_workflow_example(
    resolved: ResolvedWorkflow, example: WorkflowExample, folder: Path, held: Held = Held()
) -> Verdict:
    """Return whether a workflow acts as an example expects; ``folder`` is new and empty.

    As for a segment's example, it fails where it is unlike what is ``held``.
    """
    try:
        snapshots = _without_live(resolved, held)
        _refuse_unlike(example, snapshots, _workflow_misfits(resolved, snapshots.kinds))
        plan_of_actions = _planned(resolved, example, folder)
    except DataError as error:
        return Verdict(example, error=str(error))
    differences = [
        difference
        for name, expected in example.expect.items()
        for difference in _differences(("expect", name), expected, plan_of_actions[name])
    ]
    return Verdict(example, differences)


def _without_live(resolved: ResolvedWorkflow, held: Held) -> Held:
    """Return what is held but the fields that are looked up live, whatever the snapshot has."""
    live = () if resolved.live is None else resolved.live.provides
    contacts = held.kinds.get("contacts", {})
    own = {name: kind for name, kind in contacts.items() if name not in live}
    return dataclasses.replace(held, kinds={**held.kinds, "contacts": own})


def _workflow_misfits(resolved: ResolvedWorkflow, kinds: Kinds) -> Iterator[str]:
    for prefix, condition in resolved.definition.all_conditions():
        for location, message in misfits(condition, kinds):
            yield f"{format_location((*prefix, *location))}: {message}"


def _refuse_unlike(example: Example, held: Held, asked: Iterable[str]) -> None:
    """Raise DataError for values, and conditions, that do not go with the columns held."""
    rows = [("contacts", "contact", example.contact)]
    for index, row in enumerate(example.transactions):
        rows.append(("transactions", f"transactions[{index}]", row))
    misfits = [
        f"{at}.{name}: found {value!r}, where snapshot {held.key} has {kind}"
        for table, at, row in rows
        for name, value in row.items()
        if (kind := _unlike(value, held.kinds.get(table, {}).get(name)))
    ]
    misfits += [f"snapshot {held.key} cannot answer {message}" for message in asked]
    if misfits:
        raise DataError("; ".join(misfits))


def _unlike(value: Any, kind: ColumnKind | None) -> str | None:
    """Return what a column of ``kind`` holds instead of ``value``; None where it may hold it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_text = isinstance(value, str)
    match kind:
        case _ if value is None:
            return None
        case ColumnKind.BOOLEAN if not isinstance(value, bool):
            return "booleans: true or false"
        case ColumnKind.NUMBER if not is_number:
            return "numbers: 5 or 1.5, without quotes"
        case ColumnKind.DATE | ColumnKind.INSTANT if not (is_text and _is_instant(value)):
            return "dates: 2026-11-22 or 2026-11-22T06:00:00Z"
        case _:
            return None


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


# Segments


def _judged_segment(
    segment: SegmentDefinition, directory: DirectoryDefinition, example: SegmentExample, path: Path
) -> Verdict:
    conditions = [] if segment.match is None else [segment.match]
    segments = _known_segments(conditions, segment.refers_to, example.segments)
    segment = segment.referring_to(segments)
    tables = _tables(example, directory, segment.needs, path)
    population = load_population(segment, tables)
    facts = {
        "member": bool(judge(segment, population)[0]),
        "opted_in": bool(opt_states(population, segment.segment)[0]),
    }
    statements = {"member": example.member, "opted_in": example.opted_in}
    differences = [
        Difference((key,), statements[key], value)
        for key, value in facts.items()
        if statements[key] not in (None, value)
    ]
    if facts["member"] == example.member:
        return Verdict(example, differences)
    tree = explain_segment(segment, population, example.contact_id)
    return Verdict(example, differences, explanation=tree)


def _known_segments(
    conditions: Iterable[Condition],
    segments: Sequence[SegmentDefinition],
    stated: Mapping[str, bool],
) -> tuple[SegmentDefinition, ...]:
    """Return, of ``segments``, those that conditions need; of some the example states the answer.

    Raises DataError for an imported one whose answer is not stated.
    """
    referrals = {
        segment.segment: [] if segment.segment in stated else _referrals(segment)
        for segment in segments
    }
    names: set[str] = set()
    todo = [name for condition in conditions for name in _names_in(condition)]
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo += referrals.get(name, [])
    return tuple(_as_stated(segment, stated) for segment in segments if segment.segment in names)


def _names_in(condition: Condition) -> list[str]:
    return [mention.name for mention in named_segments(condition)]


def _referrals(segment: SegmentDefinition) -> list[str]:
    return [] if segment.match is None else _names_in(segment.match)


def _as_stated(segment: SegmentDefinition, stated: Mapping[str, bool]) -> SegmentDefinition:
    """Return a segment that answers as the example says, where it does."""
    name = segment.segment
    if name in stated:
        return _stand_in(segment, stated[name])
    if segment.imported is None:
        return segment
    raise DataError(
        f"the segment {name!r} is imported; say whether the contact is in it: "
        f"segments: {{{name}: true}}"
    )


def _stand_in(segment: SegmentDefinition, member: bool) -> SegmentDefinition:
    """Return a segment of the same name that holds everybody, or nobody."""
    operator = "is_set" if member else "is_empty"
    match = {"field": "contact_id", operator: True}
    data = {"segment": segment.segment, "directory": segment.directory, "match": match}
    return SegmentDefinition.model_validate(data)


# Workflows


def _planned(
    resolved: ResolvedWorkflow, example: WorkflowExample, folder: Path
) -> dict[str, PlannedAction]:
    """Return what each action would do for the change of an example."""
    definition = resolved.definition
    conditions = [condition for _, condition in definition.all_conditions()]
    references = _known_segments(conditions, resolved.referred, example.segments)
    needs = details_needed(definition)
    for segment in references:
        needs |= segment.needs
    tables = _tables(example, resolved.directory, needs, folder)
    own = resolved.segment
    everybody = definition.policies.model_copy(update={"holdout": None})  # whoever is the example
    alone = dataclasses.replace(
        resolved,
        definition=definition.model_copy(update={"policies": everybody, "split": None}),
        directory=tables.directory,
        segment=_stand_in(own, True) if own.imported else own,
        referred=references,
    )
    change = _change(resolved, example, tables.snapshot.key)
    consent = {} if example.deleted else consent_at(alone, [change], tables.snapshot)
    (change_plan,) = rehearse(
        alone,
        [change],
        {tables.snapshot.key: tables.snapshot},
        namespace="test",
        consent=consent,
        results={
            action: None if isinstance(found, str) else found
            for action, found in example.results.items()
        },
    )
    return {action.action: action for action in change_plan.actions}


def _change(resolved: ResolvedWorkflow, example: WorkflowExample, key: str) -> Change:
    kind = example.change or resolved.definition.changes[0]
    return Change.supposed(example.contact_id, kind, key, deleted=example.deleted)


def _differences(
    location: Location, expected: Expectation, found: PlannedAction
) -> Iterable[Difference]:
    if not _is_outcome(expected, found):
        expectation = (
            f"{expected.outcome}: {expected.reason}" if expected.reason else expected.outcome
        )
        was = f"{found.outcome}: {found.reason}" if found.reason else found.outcome
        yield Difference(location, expectation, was)
        return
    message = found.message or {}
    for field, value in (expected.send or {}).items():
        if _comparable(message.get(field)) != _comparable(value):
            yield Difference((*location, "send", field), value, message.get(field))


def _is_outcome(expected: Expectation, found: PlannedAction) -> bool:
    if found.outcome != expected.outcome:
        return False
    if expected.outcome == "skipped" and expected.reason:
        return expected.reason in (found.reason, found.reason.split(":")[0])
    return expected.reason in found.reason


def _comparable(value: Any) -> Any:
    """Return a rendered or expected value; how many line breaks end a text does not matter."""
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    return value.rstrip("\n") if isinstance(value, str) else value


# The example as a snapshot


def _tables(
    example: Example, directory: DirectoryDefinition, needs: Needs, folder: Path
) -> SnapshotTables:
    """Write an example below ``folder``; what it does not say, of what is read, is missing."""
    own = {"contact_id": example.contact_id}
    plain = _plain(example, directory, folder)
    state = plain.opt_state.column
    columns = {*needs.contacts, *(() if state is None else (state,))}
    _write(folder, "contacts", [{**own, **example.contact}], columns)
    if example.transactions or needs.transactions is not None:
        columns = {"date", *(needs.transactions or ())}
        rows = [{**own, **row} for row in example.transactions]
        _write(folder, "transactions", rows, columns)
    lists = example.mailing_lists.items()
    rows = [{**own, "mailing_list": name, "opted_in": opted_in} for name, opted_in in lists]
    _write(folder, "mailing_lists", rows, ("mailing_list", "opted_in"))
    scopes = example.subscriptions.items()
    rows = [{**own, "scope": scope, "opted_in": opted_in} for scope, opted_in in scopes]
    if rows or directory.consent != "none":
        _write(folder, "subscriptions", rows, ("scope", "opted_in"))
    as_of = example.instant(directory.zone)
    snapshot = Snapshot(_key(as_of, directory), as_of, UPath(str(folder)), complete=True)
    return SnapshotTables(plain, snapshot, label="the example")


def _plain(example: Example, directory: DirectoryDefinition, folder: Path) -> DirectoryDefinition:
    """Return the directory as examples are written: under its standard names for columns.

    Who opted out is said by the column that ``consent`` names, or by Segue's own name for it.
    """
    update: dict[str, Any] = {"snapshots": str(folder), "columns": {}}
    consent = directory.opt_state
    if consent.column is not None:
        names = {theirs: name for name, theirs in directory.columns.get("contacts", {}).items()}
        column = names.get(consent.column, consent.column)
        key = "opted_out" if consent.opted_in is None else "opted_in"
        rules: dict[str, Any] = {key: column}
        if UNSUBSCRIBED in example.contact:
            rules = {key: None, "not_opt_states": (*consent.not_opt_states, column)}
        update["consent"] = consent.model_copy(update=rules)
    return directory.model_copy(update=update)


def _key(as_of: datetime, directory: DirectoryDefinition) -> str:
    """Return the key that a snapshot with this as-of has: a date where it is a midnight."""
    wall = as_of.astimezone(directory.zone)
    if (wall.hour, wall.minute, wall.second, wall.microsecond) != (0, 0, 0, 0):
        return as_of.isoformat().replace("+00:00", "Z")
    shift = timedelta(days=1 if directory.date_keys == "end_of_day" else 0)
    return (wall.date() - shift).isoformat()


def _write(
    folder: Path, table: str, rows: Sequence[Mapping[str, Any]], columns: Collection[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = dict.fromkeys(["contact_id", *sorted(columns), *(name for row in rows for name in row)])
    arrays = {name: array_of([row.get(name) for row in rows]) for name in names}
    pq.write_table(pa.table(arrays), folder / f"{table}.parquet")
