"""The JSON Schemas of definitions, as a team writes them in YAML.

In YAML the channel's name is a key of the action, so the schema of a workflow has one form of
action per installed channel, with that channel's own fields.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model
from pydantic.json_schema import GenerateJsonSchema

from segue.contracts.channel import Channel, channel_class, channel_names
from segue.contracts.live_source import source_class, source_names
from segue.directory.definition import DirectoryDefinition
from segue.documents import Definition, Items, Name
from segue.durations import Duration
from segue.segments.conditions.schema import WorkflowConditionField
from segue.segments.definition import SegmentDefinition
from segue.workflows.airflow_settings import ActionSettings
from segue.workflows.definition import LOADS, WorkflowDefinition

DIALECT = "https://json-schema.org/draft/2020-12/schema"
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
    """Return the schema of ``directory``, ``segment`` or ``workflow`` definitions."""
    fixed: dict[str, type[BaseModel]] = {
        "directory": DirectoryDefinition,
        "segment": SegmentDefinition,
    }
    model = fixed[kind] if kind in fixed else _workflow_model()
    body = model.model_json_schema(by_alias=True, schema_generator=_AsWritten)
    return {"$schema": DIALECT, **_without_titles(body), "title": f"Segue {kind}"}


class _AsWritten(GenerateJsonSchema):
    """Shows defaults as YAML has them, and each kind of value once."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Duration):
            return str(dft)
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True)
        return super().encode_default(dft)


def _workflow_model() -> type[BaseModel]:
    items: Any = Items
    forms = reduce(or_, (_action_model(name, channel_class(name)) for name in channel_names()))
    actions: Any = (items[forms], Field(min_length=1))
    loads: Any = reduce(or_, map(_load_model, source_names()), Literal[LOADS])
    return create_model(
        "Workflow", __base__=WorkflowDefinition, actions=actions, load=(loads, "snapshot")
    )


def _load_model(name: str) -> Any:
    text = f"A look-up in the live source {name}."
    fields: dict[str, Any] = {name: (source_class(name), ...)}
    return create_model(f"load_{name}", __base__=Definition, __doc__=text, **fields)


def _action_model(name: str, channel: type[Channel]) -> Any:
    fields: dict[str, Any] = {
        "id": (Name, ...),
        "after": (After, ()),
        "condition": (WorkflowConditionField | None, Field(default=None, alias="if")),
        "digest": (bool, False),
        "airflow": (ActionSettings, ActionSettings()),
        name: (channel, ...),
    }
    text = f"An action through the channel {name}."
    return create_model(f"{name}_action", __base__=Definition, __doc__=text, **fields)


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
