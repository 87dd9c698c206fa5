"""Validation: everything that is wrong in all definitions, at once.

A file that is wrong in one place is checked on with whatever of it can be read, so that one run
of ``segue validate`` is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

from pydantic import ValidationError

from segue.cron import longest_step
from segue.directory.asset import asset_name
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.look_alikes import opt_state_columns
from segue.documents import Document, Location, ProblemsFound, did_you_mean, problems_of
from segue.errors import DefinitionError, Problem
from segue.segments.conditions.parsing import parse_condition
from segue.segments.conditions.window_lengths import windows
from segue.workflows.catalog import FOLDERS, Catalog
from segue.workflows.data_problems import (
    Columns,
    DirectoryData,
    Newest,
    data_problems,
    example_problems,
    unknown_lists,
)
from segue.workflows.definition import Action
from segue.workflows.files import (
    definition_files,
    folder_of_kind,
    misplaced_files,
    set_aside,
    unreadable_folders,
)
from segue.workflows.profiles import unused
from segue.workflows.references import REMARK
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.reusable import ReusableAction
from segue.workflows.workflow_problems import workflow_problems

_UNITS = (("day", 24 * 60), ("hour", 60), ("minute", 1))  # and minutes in each
_DataOf = Callable[[str], DirectoryData]  # by a directory's name


def find_problems(
    catalog: Catalog,
    columns: Mapping[str, Columns] | None = None,
    newest: Mapping[str, Newest] | None = None,
) -> list[Problem]:
    """Return everything that is wrong in all definitions, by file and line.

    ``columns`` gives, per directory, the columns that fields may name, and ``newest`` what its
    newest snapshot holds; directories that are not in them are not checked against them.
    """

    def data_of(directory: str) -> DirectoryData:
        try:
            definition = catalog.directory(directory)
        except DefinitionError:
            definition = None  # reported with its own file
        own, data = (columns or {}).get(directory), (newest or {}).get(directory)
        return DirectoryData(definition, own, data)

    problems = [*_folder_problems(catalog), *catalog.shared.problems]
    for folder in FOLDERS:
        for name in catalog.names(folder):
            problems += _definition_problems(catalog, folder, name, data_of)
    return in_order(problems)


def find_remarks(catalog: Catalog, newest: Mapping[str, Newest] | None = None) -> list[Problem]:
    """Return what definitions may say and probably do not mean, by file and line."""
    remarks = [
        Problem(str(path), 0, 0, "", f"is not read, because its name ends in {path.suffix}")
        for path in set_aside(catalog.home)
    ]
    remarks += unused(catalog)
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
            yield from _no_announcer(resolved, document)
            yield from _remarks_of_its_own(resolved, document)
    except DefinitionError:
        return  # among the problems
    data = newest.get(segment.directory)
    for prefix, condition in conditions:
        for location, message, is_slip in unknown_lists(condition, data):
            if not is_slip:
                yield document.problem((*prefix, *location), message)


def _short_windows(resolved: ResolvedWorkflow, document: Document) -> Iterator[Problem]:
    """Yield the windows of a workflow's segment that can pass between two of its runs."""
    cron = resolved.snapshot_cron
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


def _no_announcer(resolved: ResolvedWorkflow, document: Document) -> Iterator[Problem]:
    """Say who is expected to tell of snapshots, where the directory does not take them itself."""
    directory = resolved.directory
    if resolved.definition.follows_snapshots and directory.take is None:
        message = (
            f"runs start with events of the asset {asset_name(directory.full_name)}; the "
            f"directory {directory.directory} has no `take:`, so a DAG of yours with this outlet, "
            "or Airflow's API, is to tell of each snapshot (docs/snapshots.md)"
        )
        yield document.problem(("schedule",), message)


def _remarks_of_its_own(resolved: ResolvedWorkflow, document: Document) -> Iterator[Problem]:
    """Yield what its live source and its channels remark on."""
    for index, action in enumerate(resolved.definition.actions):
        for location, message in resolved.channels[action.id].remarks():
            yield document.problem(("actions", index, action.channel, *location), message)
    if resolved.live is not None:
        for location, message in resolved.live.remarks():
            yield document.problem(("load", resolved.live.name, *location), message)


def _in_words(step: timedelta) -> str:
    """Return ``7 days``, ``36 hours`` or ``45 minutes``, whichever is whole."""
    minutes = int(step.total_seconds()) // 60
    unit, size = next(each for each in _UNITS if minutes % each[1] == 0)
    number = minutes // size
    return f"{number} {unit}{'' if number == 1 else 's'}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by file, line and column, each once, whatever a parameter's value is."""
    inorder = sorted(set(problems), key=lambda each: (each.file, each.line, each.column, str(each)))
    once: dict[tuple[str, int, int, str], Problem] = {}
    for each in inorder:
        words = each.message.partition(REMARK)[0]
        once.setdefault((each.file, each.line, each.column, words), each)
    return list(once.values())


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
    catalog: Catalog, folder: str, name: str, data_of: _DataOf
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
    yield from document.without_consequences(_further(catalog, folder, name, data_of))


def _further(catalog: Catalog, folder: str, name: str, data_of: _DataOf) -> Iterator[Problem]:
    """Yield what is wrong with a definition beside what its own model tells."""
    document = catalog.document(folder, name)
    if isinstance(document.data, dict) and folder_of_kind(document) in (None, folder):
        if folder == "directories":
            yield from _mapping_problems(document, data_of(name).columns or {})
            yield from _expected_columns(document, data_of(name).columns or {})
            yield from _declared_opt_states(document)
        if folder == "segments":
            yield from _segment_problems(catalog, document, data_of)
        if folder == "actions":
            yield from _action_problems(catalog, document)
        if folder == "workflows":
            yield from workflow_problems(catalog, document, data_of)


def _action_problems(catalog: Catalog, document: Document) -> Iterator[Problem]:
    """Find what is wrong with an action that no workflow need use."""
    header = ReusableAction.model_fields
    body = {key: value for key, value in document.data.items() if key not in header}
    action = {"id": "used", **body}
    origins: dict[Location, tuple[Document, Location]] = {("actions", 0): (document, ())}
    workflow = Document(document.file, {"actions": [action]}, {}, origins=origins)
    try:
        actions = {0: Action.model_validate(action)}
    except ValidationError as error:
        yield from problems_of(error, Action, workflow, ("actions", 0))
    else:
        yield from catalog.channels(actions, workflow)[1]


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


def _expected_columns(document: Document, columns: Columns) -> Iterator[Problem]:
    """Find columns that something is expected of and the directory does not have."""
    expectations = document.data.get("expect")
    for table, expected in expectations.items() if isinstance(expectations, dict) else ():
        for key in ("columns", "freshness"):
            of_columns = expected.get(key) if isinstance(expected, dict) else None
            for name in of_columns if isinstance(of_columns, dict) else ():
                if table in columns and name not in columns[table]:
                    message = f"there is no column {name!r} of {table}"
                    hint = did_you_mean(name, columns[table])
                    yield document.problem(("expect", table, key, name), message + hint)


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


def _segment_problems(catalog: Catalog, document: Document, data_of: _DataOf) -> Iterator[Problem]:
    directory = document.data.get("directory")
    if not isinstance(directory, str):
        return
    if directory not in catalog.names("directories"):
        yield document.problem(("directory",), catalog.unknown("directories", directory))
    data = data_of(directory)
    yield from example_problems(document, data.columns, catalog.names("segments"))
    try:
        condition = parse_condition(document.data.get("match"))
    except ProblemsFound:
        return  # reported by the segment's own model, if it has a match
    conditions = [(("match",), condition)]
    yield from catalog.reference_problems(
        document, conditions, directory, document.data.get("segment")
    )
    for location, message in data_problems(condition, data):
        yield document.problem(("match", *location), message)
