"""The JSON Schemas of definitions, as a team writes them in YAML.

In YAML the channel's name is a key of the action, so the schema of a workflow has one form of
action per installed channel, with that channel's own fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import GenerateJsonSchema

from segue.contracts.channel import Channel, channel_class, channel_names
from segue.contracts.languages import Languages
from segue.contracts.live_source import source_class, source_names
from segue.directory.definition import DirectoryDefinition
from segue.directory.take_definition import Take
from segue.directory.take_source import take_source_class, take_source_names
from segue.documents import Definition, Items, Name
from segue.durations import Duration
from segue.segments.conditions.schema import WorkflowConditionField
from segue.segments.definition import SegmentDefinition
from segue.workflows.airflow_settings import ActionSettings
from segue.workflows.definition import LOADS, WorkflowDefinition
from segue.workflows.project import INHERITABLE, Profile, ProfileName, ProjectFile, defaults_model
from segue.workflows.reusable import ReusableAction

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"\$\{[a-z]\w*\}"}  # to a variable
_VALUES = ("integer", "number", "boolean")
_NAMES = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}
After = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: value),
    WithJsonSchema(
        {
            "description": "The action, or actions, that must be delivered before this one",
            "anyOf": [_NAMES, {"type": "array", "items": _NAMES}],
        }
    ),
]


def definition_schema(kind: str) -> dict[str, Any]:
    """Return the schema of a kind of definition, or of ``segue.yaml`` (``project``)."""
    makers: dict[str, Callable[[], type[BaseModel]]] = {
        "directory": _directory_model,
        "segment": lambda: SegmentDefinition,
        "action": _reusable_model,
        "workflow": _workflow_model,
        "project": _project_model,
    }
    body = makers[kind]().model_json_schema(by_alias=True, schema_generator=_AsWritten)
    body = _without_titles(body)
    if kind != "project":
        body = _with_references(body)
    if kind == "workflow":
        _let_be_inherited(body)
    return {"$schema": DIALECT, **body, "title": f"Segue {kind}"}


class _AsWritten(GenerateJsonSchema):
    """Shows defaults as YAML has them, and each kind of value once."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Duration):
            return str(dft)
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True)
        return super().encode_default(dft)


class _TakeOfKnownSources(Take):
    model_config = ConfigDict(extra="forbid")


def _directory_model() -> type[BaseModel]:
    sources: dict[str, Any] = {
        name: (take_source_class(name) | None, None) for name in take_source_names()
    }
    take: Any = create_model("Take", __base__=_TakeOfKnownSources, **sources) | None
    return create_model("Directory", __base__=DirectoryDefinition, take=(take, None))


def _project_model() -> type[BaseModel]:
    defaults: Any = (defaults_model() | None, None)
    profile = create_model("Profile", __base__=Profile, defaults=defaults)
    profiles: Any = (dict[ProfileName, profile], Field(default_factory=dict))
    return create_model("Project", __base__=ProjectFile, defaults=defaults, profiles=profiles)


def _reusable_model() -> type[BaseModel]:
    forms = (_action_model(name, channel_class(name), _HEADER) for name in channel_names())
    forms_of_all: Any = reduce(or_, forms)
    base: Any = RootModel[forms_of_all]
    model: type[BaseModel] = create_model("Action", __base__=base)
    return model


def _workflow_model() -> type[BaseModel]:
    items: Any = Items
    channels = (_action_model(name, channel_class(name), _OWN) for name in channel_names())
    forms = reduce(or_, channels, _UsedAction)
    actions: Any = (items[forms], Field(min_length=1))
    loads: Any = reduce(or_, map(_load_model, source_names()), Literal[LOADS])
    return create_model(
        "Workflow", __base__=WorkflowDefinition, actions=actions, load=(loads, "snapshot")
    )


def _load_model(name: str) -> Any:
    text = f"A look-up in the live source {name}."
    fields: dict[str, Any] = {name: (source_class(name), ...)}
    return create_model(f"load_{name}", __base__=Definition, __doc__=text, **fields)


_HEADER: dict[str, Any] = {
    name: (info.annotation, info) for name, info in ReusableAction.model_fields.items()
}
_OWN: dict[str, Any] = {"id": (Name, ...), "after": (After, ())}


class _UsedAction(Definition):
    """An action of ``actions/``, and what the workflow says otherwise."""

    model_config = ConfigDict(extra="allow")

    id: Name
    use: Name
    arguments: Annotated[dict[str, Any], Field(alias="with", default_factory=dict)]
    after: After = ()


def _action_model(name: str, channel: type[Channel], own: Mapping[str, Any]) -> Any:
    fields: dict[str, Any] = {
        **own,
        "condition": (WorkflowConditionField | None, Field(default=None, alias="if")),
        "digest": (bool, False),
        "languages": (Languages | None, None),
        "airflow": (ActionSettings, ActionSettings()),
        name: (channel, ...),
    }
    text = f"An action through the channel {name}."
    return create_model(f"{name}_action", __base__=Definition, __doc__=text, **fields)


def _let_be_inherited(workflow: dict[str, Any]) -> None:
    """Ask for no key that ``segue.yaml`` may give, and take null for "not here"."""
    workflow["required"] = [key for key in workflow["required"] if key not in INHERITABLE]
    for key in INHERITABLE:
        workflow["properties"][key] = _or(workflow["properties"][key], {"type": "null"})


def _with_references(schema: Any) -> Any:
    """Let ``${name}`` stand for each value that is no text of any kind anyway."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _with_references(value) for key, value in schema.items()}
    if isinstance(result.get("properties"), dict):
        properties = result["properties"].items()
        result["properties"] = {key: _or_reference(value) for key, value in properties}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _or_reference(result[key])
    return result


def _or_reference(schema: Any) -> Any:
    is_list = isinstance(schema, dict) and schema.get("type") == "array"
    of_values = is_list and (_is_value(schema["items"]) or schema["items"].get("type") == "string")
    return _or(schema, _REFERENCE) if of_values or _is_value(schema) else schema


def _is_value(schema: Any) -> bool:
    """Tell whether something narrower than text is allowed, and no mapping is meant."""
    forms = schema.get("anyOf", [schema]) if isinstance(schema, dict) else []
    return any(
        {"enum", "const", "pattern"} & form.keys() or form.get("type") in _VALUES for form in forms
    )


def _or(schema: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that allows another form as well; what describes it stays outside."""
    words = ("default", "description", "examples")
    outer: dict[str, Any] = {key: schema[key] for key in words if key in schema}
    if "anyOf" in schema:
        return (
            schema if other in schema["anyOf"] else {**schema, "anyOf": [*schema["anyOf"], other]}
        )
    return {**outer, "anyOf": [{k: v for k, v in schema.items() if k not in outer}, other]}


def _without_titles(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of field names; properties may be called title."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
