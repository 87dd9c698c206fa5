"""The catalog: every definition below SEGUE_HOME, found by name and read on demand.

A definition stands in ``directories/``, ``segments/`` or ``workflows/``, in a file named after it,
so that one definition can be loaded without reading the others; a task process needs just one
workflow out of hundreds. ``problems`` reads all of them and reports everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from segue.delivery.channel import Channel, channel_class, channel_names
from segue.delivery.resolved import ResolvedWorkflow
from segue.directory.definition import DirectoryDefinition
from segue.documents import Document, did_you_mean, problems_of, read_document, validate
from segue.errors import DefinitionError, Problem
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import Action, WorkflowDefinition, prerequisites

Model = TypeVar("Model", bound=BaseModel)
Columns = Mapping[str, Collection[str]]  # table: standard column names

FOLDERS: dict[str, type[BaseModel]] = {
    "directories": DirectoryDefinition,
    "segments": SegmentDefinition,
    "workflows": WorkflowDefinition,
}
_NAME_KEY = {"directories": "directory", "segments": "segment", "workflows": "workflow"}


class Catalog:
    """The definitions of one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._document = lru_cache(maxsize=None)(read_document)
        self._load = lru_cache(maxsize=None)(self._load_once)

    def names(self, folder: str) -> list[str]:
        """Return the names of the definitions in ``folder``, sorted."""
        return sorted(self._files[folder])

    def directory(self, name: str) -> DirectoryDefinition:
        """Return a directory; raise DefinitionError when it is missing or wrong."""
        return self._get("directories", DirectoryDefinition, name)

    def segment(self, name: str) -> SegmentDefinition:
        """Return a segment; raise DefinitionError when it is missing or wrong."""
        return self._get("segments", SegmentDefinition, name)

    def workflow(self, name: str) -> WorkflowDefinition:
        """Return a workflow; raise DefinitionError when it is missing or wrong."""
        return self._get("workflows", WorkflowDefinition, name)

    def resolve(self, name: str) -> ResolvedWorkflow:
        """Return a workflow with its segment, directory and channels; raise DefinitionError."""
        workflow = self.workflow(name)
        return self._resolve(workflow, self._document(self._files["workflows"][name]))

    def build(self, data: Mapping[str, Any]) -> ResolvedWorkflow:
        """Return a workflow written in Python, with the keys of a workflow's YAML."""
        document = Document("workflow in Python", dict(data), {})
        return self._resolve(
            validate(WorkflowDefinition, document, templates=self.home / "templates"), document
        )

    def _resolve(self, workflow: WorkflowDefinition, document: Document) -> ResolvedWorkflow:
        segment = self._referred(document, "segments", "segment", workflow.segment)
        assert isinstance(segment, SegmentDefinition)
        channels, problems = self._channels(workflow, document)
        if problems:
            raise DefinitionError(problems)
        return ResolvedWorkflow(workflow, segment, self.directory(segment.directory), channels)

    def problems(self, columns: Mapping[str, Columns] | None = None) -> list[Problem]:
        """Return everything that is wrong in all definitions, by file and line.

        ``columns`` gives, per directory, the columns that fields may name; without it fields
        are not checked.
        """
        found = list(self._folder_problems())
        for folder in FOLDERS:
            for name in self.names(folder):
                found += self._problems_of(folder, name, columns or {})
        return sorted(set(found), key=lambda problem: (problem.file, problem.line, problem.column))

    def location(self, folder: str, name: str) -> Path:
        """Return the file of a definition; raise DefinitionError when there is none."""
        if name not in self._files[folder]:
            raise DefinitionError([self._unknown(folder, name)])
        return self._files[folder][name]

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        return {
            folder: {path.stem: path for path in _definition_files(self.home / folder)}
            for folder in FOLDERS
        }

    def _get(self, folder: str, model: type[Model], name: str) -> Model:
        loaded = self._load(folder, name)
        assert isinstance(loaded, model)
        return loaded

    def _load_once(self, folder: str, name: str) -> BaseModel:
        path = self.location(folder, name)
        document = self._document(path)
        templates = self.home / "templates"
        loaded = validate(FOLDERS[folder], document, templates=templates)
        key = _NAME_KEY[folder]
        if getattr(loaded, key) != name:
            message = (
                f"found {getattr(loaded, key)!r} in a file named {path.name}; a definition "
                f"stands in a file of its name: {getattr(loaded, key)}.yaml"
            )
            raise DefinitionError([document.problem((key,), message)])
        return loaded

    def _unknown(self, folder: str, name: str) -> Problem:
        names = self.names(folder)
        known = ", ".join(names) if names else "none is defined"
        message = f"there is no {_NAME_KEY[folder]} {name!r}; allowed: {known}"
        return Problem(str(self.home / folder), 0, 0, "", message + did_you_mean(name, names))

    def _referred(self, document: Document, folder: str, key: str, name: str) -> BaseModel:
        """Load what ``key`` of ``document`` names; an unknown name is a problem at that key."""
        if name not in self._files[folder]:
            message = self._unknown(folder, name).message
            raise DefinitionError([document.problem((key,), message)])
        return self._load(folder, name)

    def _channels(
        self, workflow: WorkflowDefinition, document: Document
    ) -> tuple[dict[str, Channel], list[Problem]]:
        channels: dict[str, Channel] = {}
        problems: list[Problem] = []
        for index, action in enumerate(workflow.actions):
            try:
                channels[action.id] = self._channel(action, document, index)
            except DefinitionError as error:
                problems += error.problems
        return channels, problems

    def _channel(self, action: Action, document: Document, index: int) -> Channel:
        at = ("actions", index, action.channel)
        names = channel_names()
        if action.channel not in names:
            message = f"unknown channel {action.channel!r}; allowed: {', '.join(names)}"
            hint = did_you_mean(action.channel, names)
            raise DefinitionError([document.problem(at, message + hint)])
        model = channel_class(action.channel)
        context = {"templates": self.home / "templates"}
        try:
            return model.model_validate(action.fields, context=context)
        except ValidationError as error:
            raise DefinitionError(problems_of(error, model, document, at)) from None

    def _folder_problems(self) -> Iterator[Problem]:
        if not self.home.is_dir():
            yield Problem(
                str(self.home),
                0,
                0,
                "",
                "is not a folder; SEGUE_HOME names the folder with directories/, segments/ and "
                "workflows/",
            )
            return
        for folder in FOLDERS:
            seen: dict[str, Path] = {}
            for path in _definition_files(self.home / folder):
                if path.stem in seen:
                    message = f"the name {path.stem!r} is taken by {seen[path.stem]} already"
                    yield Problem(str(path), 0, 0, "", message)
                seen[path.stem] = path

    def _problems_of(self, folder: str, name: str, columns: Mapping[str, Columns]) -> list[Problem]:
        try:
            loaded = self._load(folder, name)
        except DefinitionError as error:
            return list(error.problems)
        document = self._document(self._files[folder][name])
        if isinstance(loaded, SegmentDefinition):
            return list(self._segment_problems(loaded, document, columns))
        if isinstance(loaded, WorkflowDefinition):
            return list(self._workflow_problems(loaded, document, columns))
        return []

    def _segment_problems(
        self, segment: SegmentDefinition, document: Document, columns: Mapping[str, Columns]
    ) -> Iterator[Problem]:
        from segue.segments.conditions import unknown_fields

        if segment.directory not in self._files["directories"]:
            message = self._unknown("directories", segment.directory).message
            yield document.problem(("directory",), message)
        elif segment.directory in columns:
            for location, message in unknown_fields(segment.match, columns[segment.directory]):
                yield document.problem(("match", *location), message)

    def _workflow_problems(
        self, workflow: WorkflowDefinition, document: Document, columns: Mapping[str, Columns]
    ) -> Iterator[Problem]:
        channels, problems = self._channels(workflow, document)
        yield from problems
        yield from _result_problems(workflow, channels, document)
        if workflow.segment not in self._files["segments"]:
            message = self._unknown("segments", workflow.segment).message
            yield document.problem(("segment",), message)
            return
        try:
            directory = self.segment(workflow.segment).directory
        except DefinitionError:
            return  # reported with the segment's own file
        if directory in columns:
            yield from _field_problems(workflow, channels, document, columns[directory])


def _definition_files(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")]
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def _field_problems(
    workflow: WorkflowDefinition,
    channels: Mapping[str, Channel],
    document: Document,
    columns: Columns,
) -> Iterator[Problem]:
    from segue.segments.conditions import unknown_fields

    conditions: list[tuple[tuple[str | int, ...], Any]] = [
        (("conditions",), workflow.conditions),
        *((("actions", i, "if"), action.condition) for i, action in enumerate(workflow.actions)),
    ]
    for at, condition in conditions:
        if condition is not None:
            for location, message in unknown_fields(condition, columns):
                yield document.problem((*at, *location), message)
    known = sorted({*columns["contacts"], *DERIVED_FIELDS})
    for index, action in enumerate(workflow.actions):
        for location, template in channels[action.id].templates() if action.id in channels else ():
            for name in sorted({ref[1] for ref in template.references() if _is_field(ref)}):
                if name not in known:
                    at = ("actions", index, action.channel, *location)
                    message = f"contact has no field {name!r}; allowed: {', '.join(known)}"
                    yield document.problem(at, message + did_you_mean(name, known))


# what a contact has beside the columns of its table (workflows/details.py)
DERIVED_FIELDS = ("contact_id", "mailing_lists", "opted_in")


def _is_field(reference: tuple[str, ...]) -> bool:
    return len(reference) > 1 and reference[0] == "contact"


def _result_problems(
    workflow: WorkflowDefinition, channels: Mapping[str, Channel], document: Document
) -> Iterator[Problem]:
    """Find templates that read the results of an action that need not have run before."""
    for index, action in enumerate(workflow.actions):
        before = prerequisites(workflow, action)
        for location, template in channels[action.id].templates() if action.id in channels else ():
            named = {
                ref[1] for ref in template.references() if len(ref) > 1 and ref[0] == "results"
            }
            for other in sorted(named - before):
                at = ("actions", index, action.channel, *location)
                allowed = ", ".join(sorted(before)) or "none: this action has no `after`"
                message = f"results.{other} is not there yet; allowed: {allowed}"
                yield document.problem(at, message)
