"""``segue.yaml``: what all definitions of a project share, and in what its profiles differ.

It stands beside ``directories/``, ``segments/`` and ``workflows/``, and may be left out. Workflows
inherit its ``defaults``; definitions refer to its ``variables``; a profile (dev, staging, prod)
gives variables and defaults other values, and may be bound to one namespace of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from segue.contracts.literal_secrets import is_a_key, looks_secret, names_a_secret
from segue.documents import (
    Definition,
    Document,
    Location,
    Name,
    ProblemsFound,
    did_you_mean,
    problems_of,
    read_document,
    validate,
)
from segue.errors import DefinitionError, Problem
from segue.settings import NAMESPACE
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.files import PROJECT_FILE
from segue.workflows.merging import OfModel, merged
from segue.workflows.references import Scope, names_used, resolved
from segue.workflows.variables import Variable

# what a workflow says itself: what it is, for whom, and what it does
_OF_ONE_WORKFLOW = ("workflow", "segment", "description", "conditions", "actions", "tests")
INHERITABLE = tuple(
    name for name in WorkflowDefinition.model_fields if name not in _OF_ONE_WORKFLOW
)
_REFUSAL = (
    "looks like a secret, and stands in files that everybody reads; Airflow connections are the "
    "place for it: their password, or their extra"
)
_NO_NESTING = "a variable's value refers to no other; write `$${%s}` for the text itself"
ProfileName = Annotated[str, Field(pattern=NAMESPACE)]
Raw = dict[str, Any]  # read where it is used, with what it is put together with


@cache
def defaults_model() -> type[BaseModel]:
    """Return the model of ``defaults``: the keys of a workflow that are inherited."""
    fields: dict[str, Any] = {}
    for name in INHERITABLE:
        info = copy(WorkflowDefinition.model_fields[name])
        info.default = None
        fields[name] = (info.annotation, info)
    return create_model("WorkflowDefaults", __base__=Definition, **fields)


class Profile(Definition):
    """What is different in one environment."""

    description: str | None = None
    namespace: Annotated[str, Field(pattern=NAMESPACE)] | None = None
    variables: Raw = Field(default_factory=dict)
    defaults: Raw = Field(default_factory=dict)


class ProjectFile(Definition):
    """The settings of a project: ``segue.yaml``."""

    description: str | None = None
    variables: dict[Name, Variable] = Field(default_factory=dict)
    defaults: Raw = Field(default_factory=dict)
    profiles: dict[ProfileName, Profile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _profiles_give_what_there_is(self) -> Self:
        problems = [
            (("profiles", profile, "variables", name), message)
            for profile, each in self.profiles.items()
            for name, value in each.variables.items()
            if (message := self._why_not(name, value)) is not None
        ]
        if problems:
            raise ProblemsFound(problems)
        return self

    def _why_not(self, name: str, value: object) -> str | None:
        if name in self.variables:
            return self.variables[name].problem(value)
        choices = f"allowed: {', '.join(self.variables)}" if self.variables else "none is defined"
        return f"there is no variable {name!r}; {choices}{did_you_mean(name, self.variables)}"


@dataclass(frozen=True)
class SharedSettings:
    """What ``segue.yaml`` says under one profile, or none; without the file it says nothing.

    ``problems`` is what is wrong with it. ``profile`` is one that it has.
    """

    document: Document | None = None
    settings: ProjectFile = field(default_factory=ProjectFile)
    profile: str | None = None
    scope: Scope = field(default_factory=Scope)
    defaults: Document = field(default_factory=lambda: Document("", {}, {}))
    problems: tuple[Problem, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every variable has a value."""
        return not self.scope.missing

    def inherited_by(self, workflow: Document) -> Document:
        """Return a workflow's document with the defaults that it does not say otherwise."""
        if self.document is None or not isinstance(workflow.data, dict):
            return workflow
        return merged(workflow, self.defaults, OfModel(WorkflowDefinition, INHERITABLE))

    def unused(self, names: set[str]) -> Iterator[Problem]:
        """Yield a remark on each variable that is not among the names which definitions use."""
        if self.document is None:
            return
        data = self.document.data
        sections = [data.get("defaults"), *(_values(data.get("profiles"), "defaults"))]
        mentions = names.union(*(names_used(each) for each in sections))
        for name in self.settings.variables:
            if name not in mentions:
                yield self.document.problem(("variables", name), "no definition uses the variable")


def read_project(
    home: Path, profile: str | None = None, namespace: str | None = None
) -> SharedSettings:
    """Return what ``segue.yaml`` says under a profile; ``namespace`` is the one in use, if any."""
    path = home / PROJECT_FILE
    if not _is_there(path):
        return SharedSettings(problems=tuple(_unknown_profile(str(path), profile, None)))
    problems: list[Problem] = []
    try:
        document = read_document(path)
        _require_no_secrets(document)
        problems += _nested(document)
        settings = validate(ProjectFile, document)
    except DefinitionError as error:
        together = tuple(dict.fromkeys([*error.problems, *problems]))
        return SharedSettings(scope=Scope(is_unknown=True), problems=together)
    problems += _unknown_profile(str(path), profile, settings)
    own = settings.profiles.get(profile or "")
    is_known = profile is None or own is not None
    scope = _scope(settings, document, profile) if is_known else Scope(is_unknown=True)
    if is_known and namespace is not None:
        problems += _foreign_namespace(document, settings, profile, namespace)
    defaults = _defaults(document, profile if own is not None else None, scope)
    problems += [*defaults.problems, *_defaults_problems(defaults)]
    return SharedSettings(
        document,
        settings,
        profile if own is not None else None,
        scope,
        replace(defaults, data={k: v for k, v in defaults.data.items() if k in INHERITABLE}),
        tuple(problems),
    )


def _unknown_profile(
    file: str, profile: str | None, settings: ProjectFile | None
) -> Iterator[Problem]:
    if profile is None:
        return
    if settings is None:
        message = f"there is no such file, and the profile {profile!r} is set (SEGUE_PROFILE)"
        yield Problem(file, 0, 0, "", message)
    elif profile not in settings.profiles:
        names = list(settings.profiles)
        choices = f"allowed: {', '.join(names)}" if names else "it defines none"
        hint = did_you_mean(profile, names)
        message = f"there is no profile {profile!r} (SEGUE_PROFILE, --profile); {choices}{hint}"
        yield Problem(file, 0, 0, "", message)


def _is_there(path: Path) -> bool:
    """Tell whether there is such a file, or a link: one that leads nowhere is no project without.

    What cannot be looked at is told by whoever reads it.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _foreign_namespace(
    document: Document, settings: ProjectFile, profile: str | None, namespace: str
) -> Iterator[Problem]:
    """Yield why the profile in use, None for none, may not run in a namespace."""
    own = settings.profiles.get(profile or "", Profile()).namespace
    owners = [name for name, each in settings.profiles.items() if each.namespace == namespace]
    if own is None and owners:
        place: Location = ("profiles", owners[0], "namespace")
        in_use = f"the profile {profile!r} is set" if profile else "no profile is set"
        message = (
            f"SEGUE_NAMESPACE is {namespace!r}, which is that of the profile "
            f"{' or '.join(map(repr, owners))}, and {in_use}; expected SEGUE_PROFILE to be that, "
            "in each of Airflow's processes, or another namespace"
        )
        yield document.problem(place, message)
    elif own not in (None, namespace):
        message = (
            f"the profile {profile!r} is of the namespace {own!r}, and SEGUE_NAMESPACE is "
            f"{namespace!r}; expected the same, as what was sent is remembered by namespace"
        )
        yield document.problem(("profiles", str(profile), "namespace"), message)


def _scope(settings: ProjectFile, document: Document, profile: str | None) -> Scope:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    missing: dict[str, str] = {}
    own = settings.profiles.get(profile or "", Profile()).variables
    for name, variable in settings.variables.items():
        if name in own:
            values[name] = own[name]
            sources[name] = _source(document, ("profiles", str(profile), "variables", name))
        elif variable.default is not None:
            values[name] = variable.default
            sources[name] = _source(document, ("variables", name, "default"))
        else:
            missing[name] = _why_missing(settings, name, profile)
    return Scope(values, sources, missing)


def _source(document: Document, place: Location) -> str:
    return f"line {document.problem(place, '').line} of {PROJECT_FILE}"


def _why_missing(settings: ProjectFile, name: str, profile: str | None) -> str:
    if profile is not None:
        return f"it has no default, and the profile {profile!r} gives it none"
    givers = [each for each, content in settings.profiles.items() if name in content.variables]
    others = f"; profiles that give it one: {', '.join(givers)}" if givers else ""
    return f"it has no default, and no profile is set (SEGUE_PROFILE){others}"


def _defaults(document: Document, profile: str | None, scope: Scope) -> Document:
    everybody = document.part(("defaults",))
    if profile is None:
        return resolved(everybody, scope)
    own = document.part(("profiles", profile, "defaults"))
    return resolved(merged(own, everybody, OfModel(WorkflowDefinition, INHERITABLE)), scope)


def _defaults_problems(defaults: Document) -> list[Problem]:
    model = defaults_model()
    try:
        model.model_validate(defaults.data)
    except ValidationError as error:
        return defaults.without_consequences(problems_of(error, model, defaults))
    return []


def _require_no_secrets(document: Document) -> None:
    """Raise DefinitionError for secrets, alone: a message about anything else might show one."""
    secrets = list(_secrets(document))
    if secrets:
        raise DefinitionError(secrets)


def _secrets(document: Document) -> Iterator[Problem]:
    """Yield each variable that is called like a secret, and each text that looks like one."""
    variables = document.part(("variables",)).data
    names = {name for name in variables if names_a_secret((name,))}
    for name in sorted(names):
        if not isinstance(variables[name], dict) or variables[name].get("type") != "boolean":
            yield document.problem(("variables", name), _REFUSAL)
    for place, text in _texts(document.data, ()):
        if names.isdisjoint(place) and (looks_secret(place, text) or is_a_key(text)):
            yield document.problem(place, _REFUSAL)


def _nested(document: Document) -> Iterator[Problem]:
    """Yield each value of a variable that refers to a variable."""
    for place, text in _texts(document.data, ()):
        of_a_variable = place[:1] == ("variables",) or place[2:3] == ("variables",)
        for name in names_used(text) if of_a_variable and place[-1] != "description" else ():
            yield document.problem(place, _NO_NESTING % name)


def _texts(data: Any, place: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(data, str):
        yield place, data
    elif isinstance(data, Mapping):
        for key, item in data.items():
            yield from _texts(item, (*place, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _texts(item, (*place, index))


def _values(mappings: Any, key: str) -> list[Any]:
    each = mappings.values() if isinstance(mappings, dict) else ()
    return [item.get(key) for item in each if isinstance(item, dict)]
