"""Validation: everything that is wrong in all definitions, at once.

A file that is wrong in one place is checked on with whatever of it can be read, so that one run
of ``segue validate`` is enough.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from segue.contracts.channel import Channel
from segue.contracts.live_source import LiveSource
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.look_alikes import opt_state_columns
from segue.documents import Document, Location, ProblemsFound, did_you_mean
from segue.errors import DefinitionError, Problem
from segue.hints import probably_meant
from segue.segments.conditions import (
    Condition,
    MailingListLeaf,
    parse_condition,
    parse_workflow_condition,
    unknown_fields,
)
from segue.segments.conditions.contradictions import contradictions
from segue.segments.conditions.fit import Kinds, misfits
from segue.segments.conditions.inspection import leaves
from segue.segments.conditions.nodes import FieldLeaf
from segue.segments.conditions.windows import windows
from segue.segments.examples import unknown_names
from segue.workflows.catalog import (
    FOLDERS,
    Catalog,
    definition_files,
    folder_of_kind,
    misplaced_files,
    set_aside,
    unreadable_folders,
)
from segue.workflows.definition import Action, Load, Notify, Policies, action_problems, reachable
from segue.workflows.notices import notice_problem
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.schedule import longest_step

Columns = Mapping[str, Collection[str]]  # table: standard column names

# what a contact has beside the columns of its table (contacts/fields.py)
DERIVED_FIELDS = ("contact_id", "mailing_lists", "opted_in")
_LOAD: TypeAdapter[Any] = TypeAdapter(Load)
_UNITS = (("day", 24 * 60), ("hour", 60), ("minute", 1))  # and minutes in each
_DIGITS = re.compile(r"\d+")
_HIDING = {  # what templates see by a name that a column of contacts may have, too
    "mailing_lists": "the names of the lists that the contact is opted into",
    "opted_in": "its effective opt state",
    "change": "the kind of change",
    "snapshot": "the key of the current snapshot",
    "results": "the results of earlier actions",
}
_SHOWN = 20  # names that a message lists
_DIGEST_FIELDS = ("change", "snapshot", "results")  # of each contact in a digest
_ONLY_IDS: Columns = {"contacts": ("contact_id",)}  # what ``load: none`` leaves


@dataclass(frozen=True, slots=True)
class Newest:
    """What the newest snapshot of a directory holds, as far as conditions depend on it."""

    key: str
    kinds: Kinds
    mailing_lists: Collection[str] | None  # the names of those that have a contact; None: no table

    def without(self, fields: Collection[str]) -> Newest:
        """Return the same without what is known of some fields of contacts."""
        contacts = self.kinds.get("contacts", {})
        others = {name: kind for name, kind in contacts.items() if name not in fields}
        return replace(self, kinds={**self.kinds, "contacts": others})


def find_problems(
    catalog: Catalog,
    columns: Mapping[str, Columns] | None = None,
    newest: Mapping[str, Newest] | None = None,
) -> list[Problem]:
    """Return everything that is wrong in all definitions, by file and line.

    ``columns`` gives, per directory, the columns that fields may name, and ``newest`` what its
    newest snapshot holds; directories that are not in them are not checked against them.
    """
    newest = newest or {}
    problems = list(_folder_problems(catalog))
    for folder in FOLDERS:
        for name in catalog.names(folder):
            problems += _definition_problems(catalog, folder, name, columns or {}, newest)
    return in_order(problems)


def find_remarks(catalog: Catalog, newest: Mapping[str, Newest] | None = None) -> list[Problem]:
    """Return what definitions may say and probably do not mean, by file and line."""
    remarks = [
        Problem(str(path), 0, 0, "", f"is not read, because its name ends in {path.suffix}")
        for path in set_aside(catalog.home)
    ]
    for folder in ("segments", "workflows"):
        for name in catalog.names(folder):
            remarks += _remarks(catalog, folder, name, newest or {})
    return in_order(remarks)


def _remarks(
    catalog: Catalog, folder: str, name: str, newest: Mapping[str, Newest]
) -> Iterator[Problem]:
    try:
        document = catalog.document(folder, name)
        if folder == "segments":
            segment = catalog.segment(name)
            match: Location = ("match",)
            conditions = [] if segment.match is None else [(match, segment.match)]
        else:
            resolved = catalog.resolve(name)
            segment, conditions = resolved.segment, resolved.definition.all_conditions()
            yield from _short_windows(resolved, document)
    except DefinitionError:
        return  # among the problems
    data = newest.get(segment.directory)
    for prefix, condition in conditions:
        for location, message, is_slip in _unknown_lists(condition, data):
            if not is_slip:
                yield document.problem((*prefix, *location), message)


def _short_windows(resolved: ResolvedWorkflow, document: Document) -> Iterator[Problem]:
    """Yield the windows of a workflow's segment that can pass between two of its runs."""
    cron = resolved.definition.schedule
    segments = (resolved.segment, *resolved.segment.refers_to)
    matches = [(each.segment, each.match) for each in segments if each.match is not None]
    every = [(name, window) for name, match in matches for window in windows(match)]
    if cron is None or not every:
        return
    step, runs = longest_step(cron), "two runs are up to"
    if resolved.definition.policies.missing_snapshot == "skip":
        step, runs = 2 * step, "two runs, where a missing snapshot is skipped, are up to"
    for name, window in dict.fromkeys(every):
        if window.length < step:
            message = (
                f"{runs} {_in_words(step)} apart, and {window.written} of the segment {name} is "
                "shorter: it can hold in between, unseen"
            )
            yield document.problem(("schedule",), message)


def _in_words(step: timedelta) -> str:
    """Return ``7 days``, ``36 hours`` or ``45 minutes``, whichever is whole."""
    minutes = int(step.total_seconds()) // 60
    unit, size = next(each for each in _UNITS if minutes % each[1] == 0)
    number = minutes // size
    return f"{number} {unit}{'' if number == 1 else 's'}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by file, line and column, each once."""
    return sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.column))


def _folder_problems(catalog: Catalog) -> Iterator[Problem]:
    if not catalog.home.is_dir():
        message = (
            "is not a folder; SEGUE_HOME names the folder with directories/, segments/ and "
            "workflows/"
        )
        yield Problem(str(catalog.home), 0, 0, "", message)
    for folder in FOLDERS:
        for path in unreadable_folders(catalog.home / folder):
            yield Problem(str(path), 0, 0, "", "cannot be read: Permission denied")
        for path in definition_files(catalog.home / folder):
            owner = catalog.location(folder, path.stem)
            if owner != path:
                message = f"the name {path.stem!r} is taken by {owner} already"
                yield Problem(str(path), 0, 0, "", message)
    for path, message in misplaced_files(catalog.home):
        yield Problem(str(path), 0, 0, "", message)


def _definition_problems(
    catalog: Catalog,
    folder: str,
    name: str,
    columns: Mapping[str, Columns],
    newest: Mapping[str, Newest],
) -> Iterator[Problem]:
    try:
        document = catalog.document(folder, name)
    except DefinitionError as error:
        yield from error.problems
        return
    try:
        catalog.load(folder, name)
    except DefinitionError as error:
        yield from error.problems
    if isinstance(document.data, dict) and folder_of_kind(document) in (None, folder):
        if folder == "directories":
            yield from _mapping_problems(document, columns.get(name, {}))
            yield from _declared_opt_states(document)
        if folder == "segments":
            yield from _segment_problems(catalog, document, columns, newest)
        if folder == "workflows":
            yield from _workflow_problems(catalog, document, columns, newest)


def _mapping_problems(document: Document, columns: Columns) -> Iterator[Problem]:
    """Find columns that the directory maps and its newest snapshot does not have."""
    if document.data.get("fields") or not isinstance(document.data.get("columns"), dict):
        return
    for table, mapping in document.data["columns"].items():
        for standard, theirs in mapping.items() if isinstance(mapping, dict) else ():
            if table in columns and standard not in columns[table]:
                message = f"the newest snapshot's {table} have no column {theirs!r}"
                yield document.problem(
                    ("columns", table, standard),
                    message + did_you_mean(str(theirs), columns[table]),
                )


def _declared_opt_states(document: Document) -> Iterator[Problem]:
    """Find declared fields that look like an opt state and are none by `consent`."""
    fields_by_table, consent = document.data.get("fields"), document.data.get("consent")
    names = fields_by_table.get("contacts") if isinstance(fields_by_table, dict) else None
    rules = consent if isinstance(consent, dict) else {}
    read = [UNSUBSCRIBED, rules.get("opted_in"), rules.get("opted_out")]
    fields = rules.get("not_opt_states")
    if isinstance(names, list):
        others = [name for name in names if isinstance(name, str) and name not in read]
        for name in opt_state_columns(others, others_read=len(others) < len(names)):
            if not isinstance(fields, list) or name not in fields:
                message = f"{name!r} looks like an opt state; say what it is in `consent`"
                yield document.problem(("fields", "contacts"), message)


def _segment_problems(
    catalog: Catalog,
    document: Document,
    columns: Mapping[str, Columns],
    newest: Mapping[str, Newest],
) -> Iterator[Problem]:
    directory = document.data.get("directory")
    if not isinstance(directory, str):
        return
    if directory not in catalog.names("directories"):
        yield document.problem(("directory",), catalog.unknown("directories", directory))
    yield from _example_problems(catalog, document, columns.get(directory))
    try:
        condition = parse_condition(document.data.get("match"))
    except ProblemsFound:
        return  # reported by the segment's own model, if it has a match
    conditions = [(("match",), condition)]
    yield from catalog.reference_problems(
        document, conditions, directory, document.data.get("segment")
    )
    own, mapping = columns.get(directory), _mapping(catalog, directory)
    hidden_names, data = _hidden(catalog, directory, own), newest.get(directory)
    for location, message in _data_problems(condition, own, data, mapping, hidden_names):
        yield document.problem(("match", *location), message)


def _mapping(catalog: Catalog, directory: str) -> Mapping[str, Mapping[str, str]]:
    """Return what a directory calls the columns of each table; nothing where it is wrong."""
    try:
        return dict(catalog.directory(directory).columns.items())
    except DefinitionError:
        return {}


def _hidden(catalog: Catalog, directory: str, columns: Columns | None) -> set[str]:
    """Return the columns of contacts that templates cannot see: a fact of Segue's has the name.

    Not the one that says who opted in: of that the fact is made.
    """
    try:
        consent = catalog.directory(directory).opt_state.column
    except DefinitionError:
        return set()
    own = set((columns or {}).get("contacts", ())) - {consent}
    return own & set(DERIVED_FIELDS) - {"contact_id"}


def _describe_hidden(name: str) -> str:
    return (
        f"the directory has a column {name!r} of contacts, and `contact.{name}` of a template is "
        f"{_HIDING[name]}; give the column another name in the directory's `columns`, such as "
        f"{{contacts: {{own_{name}: {name}}}}}"
    )


def _hidden_fields(condition: Condition, hidden: Collection[str]) -> Iterator[tuple[Location, str]]:
    """Yield fields that conditions would read as another thing than messages do."""
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf) and leaf.field in hidden:
            yield (*leaf.location, "field"), _describe_hidden(leaf.field)


def _data_problems(
    condition: Condition,
    columns: Columns | None,
    newest: Newest | None,
    mapping: Mapping[str, Mapping[str, str]],
    hidden: Collection[str] = (),
) -> Iterator[tuple[Location, str]]:
    """Yield what a condition asks that no data, or not this directory's, can answer.

    Nor unmistakably.
    """
    yield from _hidden_fields(condition, hidden)
    yield from contradictions(condition)
    if columns is not None:
        yield from unknown_fields(condition, columns, mapping)
    if newest is not None:
        for location, message in misfits(condition, newest.kinds):
            yield location, f"{message} (snapshot {newest.key})"
    for location, message, is_slip in _unknown_lists(condition, newest):
        if is_slip:
            yield location, message


def _unknown_lists(
    condition: Condition, newest: Newest | None
) -> Iterator[tuple[Location, str, bool]]:
    """Yield the mailing lists that nobody is on, and whether another's name was probably meant.

    Everybody would be no member of them; but a new list has nobody on it at first.
    """
    if newest is None or newest.mailing_lists is None:
        return
    names = newest.mailing_lists
    for leaf in leaves(condition):
        if isinstance(leaf, MailingListLeaf) and leaf.name not in names:
            present = ", ".join(map(repr, sorted(names)[:_SHOWN])) or "none"
            message = f"nobody is on a mailing list {leaf.name!r} in snapshot {newest.key}"
            suggestion = probably_meant(leaf.name, _of_other_words(leaf.name, names))
            hint = "" if suggestion is None else f"; did you mean {suggestion!r}?"
            place = (*leaf.location, "mailing_list")
            yield place, f"{message}; there are: {present}{hint}", suggestion is not None


def _of_other_words(name: str, names: Collection[str]) -> list[str]:
    """Return the names that differ in more than digits: next year's list is no slip of the pen."""
    return [other for other in names if _DIGITS.sub("", other) != _DIGITS.sub("", name)]


def _example_problems(
    catalog: Catalog, document: Document, columns: Columns | None
) -> Iterator[Problem]:
    """Find fields and segments of examples that are not there."""
    segment_names = catalog.names("segments")
    for location, message in unknown_names(document.data.get("tests"), columns, segment_names):
        yield document.problem(("tests", *location), message)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What could be read of a workflow; actions by their place in the list."""

    segment: str | None
    conditions: Condition | None
    actions: Mapping[int, Action]
    action_ids: Collection[str]  # of all that were written

    @classmethod
    def of(cls, document: Document) -> _Parts:
        data = document.data
        raw_actions = data.get("actions")
        items = dict(enumerate(raw_actions)) if isinstance(raw_actions, list) else {}
        segment = data.get("segment")
        return cls(
            segment if isinstance(segment, str) else None,
            _condition(data.get("conditions")),
            {index: action for index, item in items.items() if (action := _action(item))},
            [str(item["id"]) for item in items.values() if isinstance(item, dict) and "id" in item],
        )

    def all_conditions(self) -> list[tuple[Location, Condition]]:
        """Return the conditions and every action's ``if``, with their places."""
        conditions: list[tuple[Location, Condition | None]] = [(("conditions",), self.conditions)]
        conditions += [(("actions", i, "if"), item.condition) for i, item in self.actions.items()]
        return [(at, condition) for at, condition in conditions if condition is not None]

    def before(self, action: Action) -> set[str]:
        """The ids of all actions that come before this one."""
        return reachable(action.id, {item.id: item.after for item in self.actions.values()})


def _action(data: Any) -> Action | None:
    try:
        return Action.model_validate(data)
    except ValidationError:
        return None  # reported by the workflow's own model


def _condition(data: Any) -> Condition | None:
    try:
        return None if data is None else parse_workflow_condition(data)
    except ProblemsFound:
        return None  # reported by the workflow's own model


def _workflow_problems(
    catalog: Catalog,
    document: Document,
    columns: Mapping[str, Columns],
    newest: Mapping[str, Newest],
) -> Iterator[Problem]:
    parts = _Parts.of(document)
    for location, message in action_problems(parts.actions, parts.action_ids):
        yield document.problem(location, message)
    channels, problems = catalog.channels(parts.actions, document)
    yield from problems
    yield from _result_problems(parts, channels, document)
    yield from _notice_problems(document)
    source, wrong = _live_source(catalog, document)
    yield from wrong
    if document.data.get("load") == "none":
        yield from _template_field_problems(parts, channels, document, ("contact_id",))
        yield from _own_field_problems(channels, document, ("contact_id",))
        yield from _condition_problems(parts, document, _ONLY_IDS, None, {})
    if parts.segment is None:
        return
    if parts.segment not in catalog.names("segments"):
        yield document.problem(("segment",), catalog.unknown("segments", parts.segment))
        return
    try:
        directory = catalog.segment(parts.segment).directory
    except DefinitionError:
        return  # reported with the segment's own file
    yield from catalog.reference_problems(document, parts.all_conditions(), directory)
    own, data = columns.get(directory), newest.get(directory)
    if source is not None and data is not None:
        data = data.without(source.provides)
    if source is not None and own is not None:
        yield from _source_field_problems(source, document, own)
        own = {**own, "contacts": sorted({*own.get("contacts", ()), *source.provides})}
    yield from _example_problems(catalog, document, own)
    if wrong or document.data.get("load") == "none":
        return
    hidden_names, mapping = _hidden(catalog, directory, own), _mapping(catalog, directory)
    yield from _condition_problems(parts, document, own, data, mapping, hidden_names)
    if own is not None:
        field_names = sorted({*own.get("contacts", ()), *DERIVED_FIELDS})
        yield from _template_field_problems(parts, channels, document, field_names, hidden_names)
        yield from _own_field_problems(channels, document, sorted(own.get("contacts", ())))


def _live_source(
    catalog: Catalog, document: Document
) -> tuple[LiveSource | None, Sequence[Problem]]:
    """Return what ``load`` looks details up in, and what is wrong with it."""
    try:
        load = _LOAD.validate_python(document.data.get("load", "snapshot"))
        return catalog.live_source(load, document), ()
    except DefinitionError as error:
        return None, error.problems
    except (ValidationError, ProblemsFound):
        return None, ()  # reported by the workflow's own model


def _source_field_problems(
    source: LiveSource, document: Document, columns: Columns
) -> Iterator[Problem]:
    """Find fields that a look-up is made with and that the snapshot does not have."""
    field_names = sorted({*columns.get("contacts", ()), *DERIVED_FIELDS})
    for location, template in source.templates():
        references = {ref[1] for ref in template.references() if ref[0] == "contact" and ref[1:]}
        for name in sorted(references - set(field_names)):
            message = (
                f"the snapshot's contacts have no field {name!r}; allowed: {', '.join(field_names)}"
            )
            place = ("load", source.name, *location)
            yield document.problem(place, message + did_you_mean(name, field_names))


def _notice_problems(document: Document) -> Iterator[Problem]:
    """Find notifiers that are not there, or not made of these arguments."""
    try:
        notify = Notify.model_validate(document.data.get("notify", {}))
    except ValidationError:
        return  # reported by the workflow's own model
    for key in Notify.model_fields:
        for index, notice in enumerate(getattr(notify, key)):
            message = notice_problem(notice)
            if message is not None:
                yield document.problem(("notify", key, index, "notifier"), message)


def _condition_problems(
    parts: _Parts,
    document: Document,
    columns: Columns | None,
    newest: Newest | None,
    mapping: Mapping[str, Mapping[str, str]],
    hidden: Collection[str] = (),
) -> Iterator[Problem]:
    for prefix, condition in parts.all_conditions():
        for location, message in _data_problems(condition, columns, newest, mapping, hidden):
            yield document.problem((*prefix, *location), message)


def _template_field_problems(
    parts: _Parts,
    channels: Mapping[str, Channel],
    document: Document,
    known: Sequence[str],
    hidden: Collection[str] = (),
) -> Iterator[Problem]:
    for place, names in _references(parts, channels, "contact"):
        of_digest = _DIGEST_FIELDS if parts.actions[int(place[1])].digest else ()
        for name in sorted(names & {*hidden, *set(of_digest).intersection(known)}):
            yield document.problem(place, _describe_hidden(name))
        there = sorted({*known, *of_digest})
        for name in sorted(names - set(there)):
            message = f"contact has no field {name!r}; allowed: {', '.join(there)}"
            yield document.problem(place, message + did_you_mean(name, there))


def _own_field_problems(
    channels: Mapping[str, Channel], document: Document, known: Sequence[str]
) -> Iterator[Problem]:
    """Find fields that no template names and that contacts do not have.

    Without its address nobody would get a message; without their zone, all at the hours of one.
    """
    for place, name in (*_address_fields(channels, document), *_zone_field(document)):
        if name not in known:
            message = (
                f"contacts have no field {name!r}; allowed: {', '.join(known)}; where it has "
                "another name, the directory's `columns` says so"
            )
            yield document.problem(place, message + did_you_mean(name, known))


def _address_fields(
    channels: Mapping[str, Channel], document: Document
) -> Iterator[tuple[Location, str]]:
    actions = document.data.get("actions")
    for index, item in enumerate(actions if isinstance(actions, list) else ()):
        channel = channels.get(str(item.get("id"))) if isinstance(item, dict) else None
        if channel is not None and channel.address_field is not None:
            yield ("actions", index, channel.name), channel.address_field


def _zone_field(document: Document) -> Iterator[tuple[Location, str]]:
    try:
        hours = Policies.model_validate(document.data.get("policies", {})).quiet_hours
    except ValidationError:
        return  # reported by the workflow's own model
    if hours is not None and hours.timezone_field is not None:
        yield ("policies", "quiet_hours", "timezone_field"), hours.timezone_field


def _result_problems(
    parts: _Parts, channels: Mapping[str, Channel], document: Document
) -> Iterator[Problem]:
    """Find templates that read the results of an action that need not have run before."""
    for place, names in _references(parts, channels, "results"):
        prerequisites = parts.before(parts.actions[int(place[1])])
        for other in sorted(names - prerequisites):
            choices = ", ".join(sorted(prerequisites)) or "none: this action has no `after`"
            message = f"results.{other} is not there yet; allowed: {choices}"
            yield document.problem(place, message)


def _references(
    parts: _Parts, channels: Mapping[str, Channel], variable: str
) -> Iterator[tuple[Location, set[str]]]:
    """Yield, per template, its place and the names that it reads of ``variable``.

    In a digest's template they are those of each contact in a loop.
    """
    for index, action in parts.actions.items():
        if action.id in channels:
            for location, template in channels[action.id].templates():
                read = template.references_to(variable, digest=action.digest)
                names = {reference[0] for reference in read}
                yield ("actions", index, action.channel, *location), names
