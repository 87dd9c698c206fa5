"""What is wrong in a workflow's file, beside what its own model tells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from segue.contracts.channel import Channel
from segue.contracts.live_source import LiveSource
from segue.documents import Document, Location, ProblemsFound, did_you_mean
from segue.errors import DefinitionError, Problem
from segue.segments.conditions.nodes import Condition
from segue.segments.conditions.parsing import parse_workflow_condition
from segue.workflows.airflow_settings import TaskSettings, WorkflowSettings, setting_problems
from segue.workflows.catalog import Catalog
from segue.workflows.data_problems import (
    ONLY_IDS,
    DirectoryData,
    data_problems,
    describe_hidden,
    example_problems,
)
from segue.workflows.definition import (
    Action,
    Load,
    Notify,
    Policies,
    action_problems,
    conditions_of,
    reachable,
    zone_fields,
)
from segue.workflows.notices import notice_problem

_LOAD: TypeAdapter[Any] = TypeAdapter(Load)
_DIGEST_FIELDS = ("change", "snapshot", "results")  # of each contact in a digest


@dataclass(frozen=True, slots=True)
class _Parts:
    """What could be read of a workflow; actions by their place in the list."""

    segment: str | None
    conditions: Condition | None
    leave_when: Condition | None
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
            _condition(data.get("leave_when")),
            {index: action for index, item in items.items() if (action := _action(item))},
            [str(item["id"]) for item in items.values() if isinstance(item, dict) and "id" in item],
        )

    def all_conditions(self) -> list[tuple[Location, Condition]]:
        """Return the conditions, ``leave_when`` and every action's ``if``, with their places."""
        return conditions_of(self.conditions, self.leave_when, self.actions)

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


def workflow_problems(
    catalog: Catalog, document: Document, data_of: Callable[[str], DirectoryData]
) -> Iterator[Problem]:
    """Yield what is wrong with a workflow's parts together, or with its directory's data."""
    parts = _Parts.of(document)
    for location, message in action_problems(parts.actions, parts.action_ids):
        yield document.problem(location, message)
    channels, problems = catalog.channels(parts.actions, document)
    yield from problems
    yield from _result_problems(parts, channels, document)
    yield from _notice_problems(document)
    yield from _airflow_problems(parts, document)
    source, source_problems = _live_source(catalog, document)
    yield from source_problems
    loads_nothing = document.data.get("load") == "none"
    if loads_nothing:
        yield from _field_problems(parts, channels, document, ONLY_IDS)
    directory = _directory_of(catalog, parts.segment)
    if directory is None:
        yield from _segment_problems(catalog, document, parts.segment)
        return
    yield from catalog.reference_problems(document, parts.all_conditions(), directory)
    data = data_of(directory)
    if source is not None:
        yield from _source_field_problems(source, document, data)
        data = data.with_fields(source.provides)
    yield from example_problems(document, data.columns, catalog.names("segments"))
    if not source_problems and not loads_nothing:
        yield from _field_problems(parts, channels, document, data)


def _directory_of(catalog: Catalog, segment: str | None) -> str | None:
    """Return the directory of a segment; None where the segment is wrong or not there."""
    try:
        return None if segment is None else catalog.segment(segment).directory
    except DefinitionError:
        return None


def _segment_problems(
    catalog: Catalog, document: Document, segment: str | None
) -> Iterator[Problem]:
    """Find a segment that is not there; what is wrong in it is told with its own file."""
    if segment is not None and segment not in catalog.names("segments"):
        yield document.problem(("segment",), catalog.unknown("segments", segment))


def _field_problems(
    parts: _Parts, channels: Mapping[str, Channel], document: Document, data: DirectoryData
) -> Iterator[Problem]:
    """Find what conditions, templates and addresses ask of contacts and these do not have."""
    for prefix, condition in parts.all_conditions():
        for location, message in data_problems(condition, data):
            yield document.problem((*prefix, *location), message)
    if data.columns is not None:
        yield from _template_field_problems(parts, channels, document, data)
        yield from _own_field_problems(parts, channels, document, data.own_fields)


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
    source: LiveSource, document: Document, data: DirectoryData
) -> Iterator[Problem]:
    """Find fields that a look-up is made with and that the snapshot does not have."""
    if data.columns is None:
        return
    field_names = data.fields
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


def _airflow_problems(parts: _Parts, document: Document) -> Iterator[Problem]:
    """Find callbacks that are not there, and what a pod does not have."""
    places: dict[Location, TaskSettings] = {
        ("actions", index): action.airflow for index, action in parts.actions.items()
    }
    with suppress(ValidationError):  # reported by the workflow's own model
        places[()] = WorkflowSettings.model_validate(document.data.get("airflow", {}))
    for place, settings in places.items():
        for location, message in setting_problems(settings):
            yield document.problem((*place, "airflow", *location), message)


def _template_field_problems(
    parts: _Parts, channels: Mapping[str, Channel], document: Document, data: DirectoryData
) -> Iterator[Problem]:
    fields, hidden_names = data.fields, data.hidden
    for place, names in _references(parts, channels, "contact"):
        of_digest = _DIGEST_FIELDS if parts.actions[int(place[1])].digest else ()
        for name in sorted(names & {*hidden_names, *set(of_digest).intersection(fields)}):
            yield document.problem(place, describe_hidden(name))
        choices = sorted({*fields, *of_digest})
        for name in sorted(names - set(choices)):
            message = f"contact has no field {name!r}; allowed: {', '.join(choices)}"
            yield document.problem(place, message + did_you_mean(name, choices))


def _own_field_problems(
    parts: _Parts, channels: Mapping[str, Channel], document: Document, fields: Sequence[str]
) -> Iterator[Problem]:
    """Find fields that no template names and that contacts do not have.

    Without its address nobody would get a message; without their zone, all at the hours of one.
    """
    for place, name in (*_address_fields(channels, document), *_zone_fields(parts, document)):
        if name not in fields:
            message = (
                f"contacts have no field {name!r}; allowed: {', '.join(fields)}; where it has "
                "another name, the directory's `columns` says so"
            )
            yield document.problem(place, message + did_you_mean(name, fields))


def _address_fields(
    channels: Mapping[str, Channel], document: Document
) -> Iterator[tuple[Location, str]]:
    actions = document.data.get("actions")
    for index, item in enumerate(actions if isinstance(actions, list) else ()):
        channel = channels.get(str(item.get("id"))) if isinstance(item, dict) else None
        if channel is not None and channel.address_field is not None:
            yield ("actions", index, channel.name), channel.address_field
        if channel is not None and channel.language_field is not None:
            yield ("actions", index, "languages", "field"), channel.language_field


def _zone_fields(parts: _Parts, document: Document) -> Iterator[tuple[Location, str]]:
    policies = Policies()
    with suppress(ValidationError):  # reported by the workflow's own model
        policies = Policies.model_validate(document.data.get("policies", {}))
    yield from zone_fields(policies, parts.actions)


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
