"""The catalog: every definition below SEGUE_HOME, found by name and read on demand.

A definition stands in ``directories/``, ``segments/`` or ``workflows/``, in a file named after it,
so that one definition can be loaded without reading the others; a task process needs just one
workflow out of hundreds. ``segue.workflows.validation`` reads all of them and finds
everything wrong.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from segue.contracts.channel import Channel, channel_class, channel_names
from segue.contracts.live_source import LiveSource, source_class, source_names
from segue.contracts.stray_templates import stray_templates
from segue.directory.definition import DirectoryDefinition
from segue.documents import (
    Document,
    Location,
    did_you_mean,
    full_name,
    problems_of,
    read_document,
    validate,
)
from segue.errors import DefinitionError, Problem
from segue.segments.conditions.inspection import named_segments
from segue.segments.conditions.nodes import Condition
from segue.segments.definition import SegmentDefinition
from segue.settings import Settings
from segue.workflows.definition import ACTION_KEYS, Action, LiveLoad, WorkflowDefinition
from segue.workflows.digests import digest_problems
from segue.workflows.remembered import remembered
from segue.workflows.resolved import ResolvedWorkflow

Model = TypeVar("Model", bound=BaseModel)
Conditions = Sequence[tuple[Location, Condition]]  # and where each stands in its document

FOLDERS: dict[str, type[BaseModel]] = {
    "directories": DirectoryDefinition,
    "segments": SegmentDefinition,
    "workflows": WorkflowDefinition,
}
_SUFFIXES = (".yaml", ".yml")
_COPIES = tuple(f"{suffix}~" for suffix in _SUFFIXES)  # as editors leave them
_NAME_KEY = {"directories": "directory", "segments": "segment", "workflows": "workflow"}

_MARKS = {"workflows": {"workflow", "actions"}, "directories": {"directory", "snapshots"}}
_MARKS["segments"] = {"segment", "directory", "match"}


def catalog_of(settings: Settings, drafts: Sequence[Path] = ()) -> Catalog:
    """Return the definitions that the settings name."""
    return Catalog(settings.home, drafts, settings.project)


class Catalog:
    """The definitions of one home folder.

    ``drafts`` are files anywhere that stand in for, or come on top of, those of the folder;
    ``project`` is the name of the project that these are the definitions of.
    """

    def __init__(self, home: Path, drafts: Sequence[Path] = (), project: str = "") -> None:
        self.home = home
        self.project = project
        self._drafts = drafts
        self._document = remembered(read_document)
        self.load = remembered(self._load_once)
        self._segments: dict[str, SegmentDefinition] = {}  # those that know what they refer to

    def names(self, folder: str) -> list[str]:
        """Return the names of the definitions in ``folder``, sorted."""
        return sorted(self._files[folder])

    def directory(self, name: str) -> DirectoryDefinition:
        """Return a directory that knows its segments; raise DefinitionError.

        It is raised when the directory is missing or wrong.
        """
        definition = self._get("directories", DirectoryDefinition, name)
        return definition.with_segments(_SegmentsOf(self, name), self.project)

    def segment(self, name: str) -> SegmentDefinition:
        """Return a segment that knows what it refers to; raise DefinitionError.

        It is raised when the segment is missing or wrong, or one that it refers to is.
        """
        if name not in self._segments:
            definition = self._get("segments", SegmentDefinition, name)
            if definition.match is not None:
                document = self.document("segments", name)
                conditions = [(("match",), definition.match)]
                references = self._referred_segments(
                    document, conditions, definition.directory, name
                )
                definition = definition.referring_to(references)
            self._segments[name] = definition
        return self._segments[name]

    def workflow(self, name: str) -> WorkflowDefinition:
        """Return a workflow; raise DefinitionError when it is missing or wrong."""
        return self._get("workflows", WorkflowDefinition, name)

    def of(self, workflow: str) -> Catalog:
        """Return the definitions among which a workflow's are: these."""
        return self

    def segment_of(self, workflow: str) -> str:
        """Return the full name of a workflow's segment; raise DefinitionError."""
        return full_name(self.workflow(workflow).segment, self.project)

    def resolve(self, name: str) -> ResolvedWorkflow:
        """Return a workflow with its segment, directory and channels; raise DefinitionError."""
        workflow = self.workflow(name)
        return self._resolve(workflow, self._document(self._files["workflows"][name]))

    def build(self, data: Mapping[str, Any]) -> ResolvedWorkflow:
        """Return a workflow written in Python, with the keys of a workflow's YAML."""
        document = Document("workflow in Python", dict(data), {})
        return self._resolve(self._validated(WorkflowDefinition, document), document)

    def _resolve(self, workflow: WorkflowDefinition, document: Document) -> ResolvedWorkflow:
        if workflow.segment not in self._files["segments"]:
            message = self.unknown("segments", workflow.segment)
            raise DefinitionError([document.problem(("segment",), message)])
        segment = self.segment(workflow.segment)
        conditions = workflow.all_conditions()
        references = self._referred_segments(document, conditions, segment.directory)
        channels, problems = self.channels(dict(enumerate(workflow.actions)), document)
        if problems:
            raise DefinitionError(problems)
        live = self.live_source(workflow.load, document)
        directory = self.directory(segment.directory)
        return ResolvedWorkflow(
            workflow, segment, directory, channels, references, live, self.project
        )

    def location(self, folder: str, name: str) -> Path:
        """Return the file of a definition; raise DefinitionError when there is none."""
        if name not in self._files[folder]:
            raise DefinitionError([self._unknown(folder, name)])
        return self._files[folder][name]

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        files = {
            folder: {path.stem: path for path in definition_files(self.home / folder)}
            for folder in FOLDERS
        }
        for path in self._drafts:
            folder, name = self._place_of(path)
            files[folder][name] = path
        return files

    def _place_of(self, draft: Path) -> tuple[str, str]:
        """Return the folder and the name of what a draft defines, as its own keys say."""
        document = self._document(draft)
        data = document.data if isinstance(document.data, dict) else {}
        for folder, key in reversed(_NAME_KEY.items()):  # workflows name a segment, and so on
            if isinstance(data.get(key), str):
                return folder, data[key]
        message = f"is no definition; expected one of the keys {', '.join(_NAME_KEY.values())}"
        raise DefinitionError([document.problem((), message)])

    def _get(self, folder: str, model: type[Model], name: str) -> Model:
        definition = self.load(folder, name)
        assert isinstance(definition, model)
        return definition

    def _load_once(self, folder: str, name: str) -> BaseModel:
        """Return a definition by folder and name; raise DefinitionError."""
        path = self.location(folder, name)
        document = self._document(path)
        kind = folder_of_kind(document)
        if kind not in (None, folder):
            message = f"is not of this kind; what it defines stands in {kind}/"
            raise DefinitionError([document.problem((), message)])
        definition = self._validated(FOLDERS[folder], document)
        key = _NAME_KEY[folder]
        if getattr(definition, key) != name:
            message = (
                f"found {getattr(definition, key)!r} in a file named {path.name}; a definition "
                f"stands in a file of its name: {getattr(definition, key)}.yaml"
            )
            raise DefinitionError([document.problem((key,), message)])
        return definition

    def _validated(self, model: type[Model], document: Document) -> Model:
        """Return a document as a model; raise DefinitionError with every problem of it."""
        strays = [
            document.problem(location, message)
            for location, message in stray_templates(document.data)
            if not _may_be_a_template(location)
        ]
        try:
            definition = validate(model, document, templates=self.home / "templates")
        except DefinitionError as error:
            raise DefinitionError([*error.problems, *strays]) from None
        if strays:
            raise DefinitionError(strays)
        return definition

    def _unknown(self, folder: str, name: str) -> Problem:
        names = self.names(folder)
        choices = ", ".join(names) if names else "none is defined"
        message = f"there is no {_NAME_KEY[folder]} {name!r}; allowed: {choices}"
        return Problem(str(self.home / folder), 0, 0, "", message + did_you_mean(name, names))

    def _referred_segments(
        self, document: Document, conditions: Conditions, directory: str, start: str | None = None
    ) -> tuple[SegmentDefinition, ...]:
        """Return the segments that conditions refer to, each after those it refers to itself."""
        problems = list(self.reference_problems(document, conditions, directory, start))
        if problems:
            raise DefinitionError(problems)
        segments: dict[str, SegmentDefinition] = {}
        for _, condition in conditions:
            for mention in named_segments(condition):
                other = self.load("segments", mention.name)
                assert isinstance(other, SegmentDefinition)
                if mention.evaluated or other.imported is not None:
                    other = self.segment(mention.name)
                    for each in (*other.refers_to, other):
                        segments.setdefault(each.segment, each)
        return tuple(segments.values())

    def reference_problems(
        self, document: Document, conditions: Conditions, directory: str, start: str | None = None
    ) -> Iterator[Problem]:
        """Yield what is wrong with the segments that conditions name.

        ``conditions`` stand with their places in ``document`` and judge contacts of ``directory``;
        ``start`` is the segment whose own they are.
        """
        for prefix, condition in conditions:
            for mention in named_segments(condition):
                message = self._misfit(mention.name, directory)
                if message is None and mention.evaluated and start is not None:
                    message = self._circle(start, mention.name)
                if message is not None:
                    yield document.problem((*prefix, *mention.location), message)

    def _misfit(self, name: str, directory: str) -> str | None:
        """Return why there is no segment of that name, or none of this directory."""
        if name not in self._files["segments"]:
            return self.unknown("segments", name)
        other = self._find_segment(name)
        if other is None or other.directory == directory:
            return None
        return (
            f"the segment {name!r} is of the directory {other.directory!r}; expected one of "
            f"{directory!r}, because nothing says which contacts of two directories are the same"
        )

    def _circle(self, start: str, name: str) -> str | None:
        """Return the message for a chain of references from ``name`` back to ``start``."""
        chains = [[start, name]]
        visits: set[str] = set()
        while chains:
            chain = chains.pop()
            if chain[-1] == start:
                return (
                    f"segments refer to each other in a circle: {' → '.join(chain)}; who is in "
                    "them could never be decided"
                )
            if chain[-1] not in visits:
                visits.add(chain[-1])
                chains += [[*chain, other] for other in self._mentions(chain[-1])]
        return None

    def _mentions(self, name: str) -> list[str]:
        definition = self._find_segment(name)
        if definition is None or definition.match is None:
            return []
        return [mention.name for mention in named_segments(definition.match) if mention.evaluated]

    def has_segment(self, name: str, directory: str) -> bool:
        """Tell whether a directory has this segment; one that is wrong may be any directory's."""
        if name not in self._files["segments"]:
            return False
        definition = self._find_segment(name)
        return definition is None or definition.directory == directory

    def _find_segment(self, name: str) -> SegmentDefinition | None:
        """Return a segment by itself; None if it is missing or wrong, which others report."""
        try:
            return self._get("segments", SegmentDefinition, name)
        except DefinitionError:
            return None

    def channels(
        self, actions: Mapping[int, Action], document: Document
    ) -> tuple[dict[str, Channel], list[Problem]]:
        """Return the channel of each action by its id, and what is wrong with the others.

        Channels that only ``frequency_cap`` names are looked at, too.
        """
        channels: dict[str, Channel] = {}
        problems = list(_cap_problems(document))
        for index, action in actions.items():
            try:
                channels[action.id] = self._channel(action, document, index)
            except DefinitionError as error:
                problems += error.problems
        return channels, problems

    def document(self, folder: str, name: str) -> Document:
        """Return a definition's YAML; raise DefinitionError when it is missing or no YAML."""
        return self._document(self.location(folder, name))

    def unknown(self, folder: str, name: str) -> str:
        """Return the message for a name that is not defined in ``folder``."""
        return self._unknown(folder, name).message

    def live_source(self, load: str | LiveLoad, document: Document) -> LiveSource | None:
        """Return what ``load`` looks details up in, None for a snapshot; raise DefinitionError."""
        if not isinstance(load, LiveLoad):
            return None
        place, names = ("load", load.source), source_names()
        if load.source not in names:
            hint = did_you_mean(load.source, names)
            message = f"unknown live source {load.source!r}; allowed: {', '.join(names)}{hint}"
            raise DefinitionError([document.problem(place, message)])
        model = source_class(load.source)
        try:
            return model.model_validate(load.fields, context={"templates": self.home / "templates"})
        except ValidationError as error:
            raise DefinitionError(problems_of(error, model, document, place)) from None

    def _channel(self, action: Action, document: Document, index: int) -> Channel:
        place = ("actions", index, action.channel)
        if action.channel not in channel_names():
            raise DefinitionError([document.problem(place, _unknown_channel(action.channel))])
        try:
            model = channel_class(action.channel)
        except (ImportError, AttributeError) as error:
            message = f"the channel {action.channel!r} cannot be loaded: {error}"
            raise DefinitionError([document.problem(place, message)]) from None
        context = {"templates": self.home / "templates"}
        try:
            channel = model.model_validate(action.fields, context=context)
        except ValidationError as error:
            raise DefinitionError(problems_of(error, model, document, place)) from None
        problems = [
            document.problem((*place[:2], *location), message)
            for location, message in digest_problems(action, channel)
        ]
        if problems:
            raise DefinitionError(problems)
        return channel


@dataclass(frozen=True, slots=True)
class _SegmentsOf(Container[str]):
    """The names of a directory's segments: each is looked up when it is asked for."""

    catalog: Catalog
    directory: str

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.catalog.has_segment(name, self.directory)


def _cap_problems(document: Document) -> Iterator[Problem]:
    policies = document.data.get("policies") if isinstance(document.data, dict) else None
    caps = policies.get("frequency_cap") if isinstance(policies, dict) else None
    for name in caps if isinstance(caps, dict) else ():
        if name not in channel_names():
            yield document.problem(("policies", "frequency_cap", name), _unknown_channel(name))


def _unknown_channel(name: str) -> str:
    names = channel_names()
    return f"unknown channel {name!r}; allowed: {', '.join(names)}{did_you_mean(name, names)}"


def _may_be_a_template(location: Location) -> bool:
    """Tell whether what stands here in a definition may be a template, or any text.

    Channels and live sources judge what is theirs; notifiers are Airflow's, and examples are data.
    """
    match location:
        case ("notify" | "tests", *_) | ("load", _, *_):
            return True
        case ("actions", _, key, *_):
            return key not in ACTION_KEYS
    return False


def folder_of_kind(document: Document) -> str | None:
    """Return the folder of the kind that a document surely is; None where it may be any."""
    keys = set(document.data) if isinstance(document.data, dict) else set()
    return next((folder for folder, marks in _MARKS.items() if keys >= marks), None)


def definition_files(folder: Path) -> list[Path]:
    """Return the YAML files below ``folder``, sorted; names with a leading ``.`` or ``_`` rest."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES]
    return sorted(path for path in files if not path.name.startswith((".", "_")))


def unreadable_folders(folder: Path) -> list[Path]:
    """Return ``folder``, or those below it, whose definitions this user cannot see."""
    every = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    return [path for path in every if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]


def misplaced_files(home: Path) -> Iterator[tuple[Path, str]]:
    """Yield what was surely meant to be a definition and is not read, and why.

    Folders and suffixes of almost the right name, and definitions beside the folders.
    """
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        hint = _why_misplaced(path)
        if hint is not None:
            yield path, f"is not read; {hint}"
    for folder in FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            if _is_nearly_yaml(path.suffix.lower()) and path.is_file():
                yield path, f"is not read; allowed: a name in {' or '.join(_SUFFIXES)}"


def _why_misplaced(path: Path) -> str | None:
    """Say where a folder or file of the home should rather be; None where it may be there."""
    if path.is_dir() and path.name not in FOLDERS:
        near = get_close_matches(path.name.casefold(), FOLDERS, n=1, cutoff=0.75)
        return f"did you mean {near[0]}/?" if near else None
    folder = _folder_of(path) if path.suffix.lower() in _SUFFIXES else None
    return None if folder is None else f"definitions of its kind stand in {folder}/"


def set_aside(home: Path) -> Iterator[Path]:
    """Yield files that are no definitions for what comes after ``.yaml``: copies, downloads."""
    for folder in FOLDERS:
        for path in sorted((home / folder).rglob("*")):
            *others, last = [suffix.lower() for suffix in path.suffixes] or [""]
            is_copy = last in _COPIES or (last not in _SUFFIXES and {*others} & {*_SUFFIXES})
            if is_copy and path.is_file():
                yield path


def _is_nearly_yaml(suffix: str) -> bool:
    if suffix in (*_SUFFIXES, *_COPIES):
        return False
    return bool(get_close_matches(suffix, _SUFFIXES, n=1, cutoff=0.75))


def _folder_of(path: Path) -> str | None:
    """Return the folder that a file's keys say it belongs to; None where it defines nothing."""
    try:
        data = read_document(path).data
    except DefinitionError:
        return None
    keys = data if isinstance(data, dict) else {}
    return next((folder for folder, key in reversed(_NAME_KEY.items()) if key in keys), None)
