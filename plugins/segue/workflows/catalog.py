"""The catalog: every definition below SEGUE_HOME, found by name and read on demand.

A definition stands in ``directories/``, ``segments/``, ``actions/`` or ``workflows/``, in a file
named after it, so that one definition can be loaded without reading the others; a task process
needs just one workflow out of hundreds. ``segue.workflows.validation`` reads all of them and finds
everything wrong. What is read is put together first: what ``${name}`` stands for, the actions that
are used, the defaults of ``segue.yaml``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from segue.workflows.definition import Action, LiveLoad, WorkflowDefinition
from segue.workflows.digests import digest_problems
from segue.workflows.files import NAME_KEY, definition_files, folder_of_kind
from segue.workflows.project import SharedSettings, read_project
from segue.workflows.references import resolved
from segue.workflows.remembered import remembered
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.reusable import (
    ReusableAction,
    by_itself,
    may_be_a_template,
    with_reusable_actions,
)

Model = TypeVar("Model", bound=BaseModel)
Conditions = Sequence[tuple[Location, Condition]]  # and where each stands in its document

FOLDERS: dict[str, type[BaseModel]] = {
    "directories": DirectoryDefinition,
    "segments": SegmentDefinition,
    "actions": ReusableAction,
    "workflows": WorkflowDefinition,
}


def catalog_of(settings: Settings, drafts: Sequence[Path] = ()) -> Catalog:
    """Return the definitions that the settings name."""
    return Catalog(
        settings.home,
        drafts,
        settings.project,
        profile=settings.profile,
        namespace=settings.namespace,
    )


class Catalog:
    """The definitions of one home folder, as a profile of ``segue.yaml`` has them.

    ``drafts`` are files anywhere that stand in for, or come on top of, those of the folder;
    ``project`` is the name of the project that these are the definitions of, ``namespace`` the one
    in use, which the profile may forbid.
    """

    def __init__(
        self,
        home: Path,
        drafts: Sequence[Path] = (),
        project: str = "",
        *,
        profile: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.home = home
        self.project = project
        self._drafts = drafts
        self._profile, self._namespace = profile, namespace
        self._written = remembered(read_document)
        self._document = remembered(self._composed)
        self.load = remembered(self._load_once)
        self._segments: dict[str, SegmentDefinition] = {}  # those that know what they refer to

    @cached_property
    def shared(self) -> SharedSettings:
        """What all definitions share."""
        return read_project(self.home, self._profile, self._namespace)

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
        return self._resolve(workflow, self.document("workflows", name))

    def build(self, data: Mapping[str, Any], *, is_resolved: bool = False) -> ResolvedWorkflow:
        """Return a workflow written in Python, with the keys of a workflow's YAML.

        One that a run recorded ``is_resolved``: nothing in it is a variable or left to defaults.
        """
        document = Document("workflow in Python", dict(data), {})
        document = document if is_resolved else self._put_together(document)
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
        document = self._written(draft)
        data = document.data if isinstance(document.data, dict) else {}
        for folder, key in reversed(NAME_KEY.items()):  # workflows name a segment, and so on
            if isinstance(data.get(key), str):
                return folder, data[key]
        message = f"is no definition; expected one of the keys {', '.join(NAME_KEY.values())}"
        raise DefinitionError([document.problem((), message)])

    def _get(self, folder: str, model: type[Model], name: str) -> Model:
        definition = self.load(folder, name)
        assert isinstance(definition, model)
        return definition

    def _load_once(self, folder: str, name: str) -> BaseModel:
        """Return a definition by folder and name; raise DefinitionError."""
        path = self.location(folder, name)
        document = self.document(folder, name)
        kind = folder_of_kind(document)
        if kind not in (None, folder):
            message = f"is not of this kind; what it defines stands in {kind}/"
            raise DefinitionError([document.problem((), message)])
        definition = self._validated(FOLDERS[folder], document)
        key = NAME_KEY[folder]
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
            if not may_be_a_template(location, model)
        ]
        shared = self.shared.problems
        try:
            definition = validate(model, document, templates=self.home / "templates")
        except DefinitionError as error:
            own = document.without_consequences([*error.problems, *strays])
            raise DefinitionError(dict.fromkeys([*own, *shared])) from None
        problems = [*shared, *strays]
        if problems:
            raise DefinitionError(problems)
        return definition

    def _unknown(self, folder: str, name: str) -> Problem:
        names = self.names(folder)
        choices = ", ".join(names) if names else "none is defined"
        message = f"there is no {NAME_KEY[folder]} {name!r}; allowed: {choices}"
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
        """Return a definition's YAML, with what it inherits and refers to in place.

        Raises DefinitionError when it is missing or no YAML.
        """
        return self._document(folder, self.location(folder, name))

    def written(self, folder: str, name: str) -> Document:
        """Return a definition's YAML as it is written; raises as ``document``."""
        return self._written(self.location(folder, name))

    def _composed(self, folder: str, path: Path) -> Document:
        document, variables = self._written(path), self.shared.scope
        if folder == "actions":
            return by_itself(document, variables)
        if folder == "workflows":
            return self._put_together(document)
        return resolved(document, variables)

    def _put_together(self, workflow: Document) -> Document:
        """Return a workflow's document with variables, the actions that it uses, and defaults."""
        variables = self.shared.scope
        workflow = with_reusable_actions(resolved(workflow, variables), variables, self._reusable)
        return self.shared.inherited_by(workflow)

    def _reusable(self, name: str) -> Document | str:
        """Return an action as it is written, or why there is none; raise DefinitionError."""
        if name not in self._files["actions"]:
            return self.unknown("actions", name)
        self.load("actions", name)
        return self.written("actions", name)

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
        context = {"templates": self.home / "templates", "languages": action.languages}
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
