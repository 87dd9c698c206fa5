"""The catalog: every definition below SEGUE_HOME, found by name and read on demand.

A definition stands in ``directories/``, ``segments/`` or ``workflows/``, in a file named after it,
so that one definition can be loaded without reading the others; a task process needs just one
workflow out of hundreds. ``segue.validation`` reads all of them and finds everything wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from segue.workflows.definition import Action, WorkflowDefinition

Model = TypeVar("Model", bound=BaseModel)

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
        self.load = lru_cache(maxsize=None)(self._load_once)

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
        channels, problems = self.channels(dict(enumerate(workflow.actions)), document)
        if problems:
            raise DefinitionError(problems)
        return ResolvedWorkflow(workflow, segment, self.directory(segment.directory), channels)

    def location(self, folder: str, name: str) -> Path:
        """Return the file of a definition; raise DefinitionError when there is none."""
        if name not in self._files[folder]:
            raise DefinitionError([self._unknown(folder, name)])
        return self._files[folder][name]

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        return {
            folder: {path.stem: path for path in definition_files(self.home / folder)}
            for folder in FOLDERS
        }

    def _get(self, folder: str, model: type[Model], name: str) -> Model:
        loaded = self.load(folder, name)
        assert isinstance(loaded, model)
        return loaded

    def _load_once(self, folder: str, name: str) -> BaseModel:
        """Return a definition by folder and name; raise DefinitionError."""
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
            raise DefinitionError([document.problem((key,), self.unknown(folder, name))])
        return self.load(folder, name)

    def channels(
        self, actions: Mapping[int, Action], document: Document
    ) -> tuple[dict[str, Channel], list[Problem]]:
        """Return the channel of each action by its id, and what is wrong with the others."""
        channels: dict[str, Channel] = {}
        problems: list[Problem] = []
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

    def _channel(self, action: Action, document: Document, index: int) -> Channel:
        at = ("actions", index, action.channel)
        names = channel_names()
        if action.channel not in names:
            message = f"unknown channel {action.channel!r}; allowed: {', '.join(names)}"
            hint = did_you_mean(action.channel, names)
            raise DefinitionError([document.problem(at, message + hint)])
        try:
            model = channel_class(action.channel)
        except (ImportError, AttributeError) as error:
            message = f"the channel {action.channel!r} cannot be loaded: {error}"
            raise DefinitionError([document.problem(at, message)]) from None
        context = {"templates": self.home / "templates"}
        try:
            return model.model_validate(action.fields, context=context)
        except ValidationError as error:
            raise DefinitionError(problems_of(error, model, document, at)) from None


def definition_files(folder: Path) -> list[Path]:
    """Return the YAML files below ``folder``, sorted; names with a leading ``.`` or ``_`` rest."""
    found = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")]
    return sorted(path for path in found if not path.name.startswith((".", "_")))
