"""Conditions as a field of pydantic models, with a JSON Schema that editors can complete from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, PlainSerializer, PlainValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from segue.segments.conditions.aggregates import aggregate_names, find_aggregate
from segue.segments.conditions.inspection import to_data
from segue.segments.conditions.nodes import Condition
from segue.segments.conditions.operands import Share, Span, Text
from segue.segments.conditions.parsing import (
    CHANGE_OPERATORS,
    IGNORE_CASE,
    STATE_LEAVES,
    parse_condition,
    parse_workflow_condition,
)
from segue.segments.conditions.registry import find_operator, operator_names
from segue.segments.kinds import ChangeKind

REFERENCE = "#/$defs/{}"


def condition_schemas() -> dict[str, JsonSchemaValue]:
    """Return the schemas of a segment's conditions, of a workflow's and of ``where``, by name."""
    leaves = [_field_schema()]
    states = [_state_schema(name, leaf.STATES) for name, leaf in STATE_LEAVES.items()]
    segment = [*leaves, *_transactions_schemas(), *states, _sample_schema()]
    return {
        "Condition": _recursive("Condition", segment),
        "WorkflowCondition": _recursive("WorkflowCondition", [*segment, _change_schema()]),
        "TransactionCondition": _recursive("TransactionCondition", leaves),
    }


class _Reference:
    """Puts the recursive schemas among a model's definitions, and refers to one of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        generator = getattr(handler, "generate_json_schema", None)
        if generator is None:  # another version of pydantic: editors get a looser schema
            return {"type": "object"}
        schemas = condition_schemas()
        references = {}
        for name in schemas:
            key, reference = generator.get_cache_defs_ref_schema(f"segue-{name}:0")
            generator.definitions[key] = schemas[name]
            references[name] = reference
        _redirect(schemas, references)
        json_schema: JsonSchemaValue = references[self.name]
        return json_schema


def _redirect(schema: Any, references: dict[str, JsonSchemaValue]) -> None:
    """Point the ``$ref`` of our own names to where the generator put them."""
    if isinstance(schema, list):
        for item in schema:
            _redirect(item, references)
    elif isinstance(schema, dict):
        for name, reference in references.items():
            if schema.get("$ref") == REFERENCE.format(name):
                schema.update(reference)
        for value in schema.values():
            _redirect(value, references)


def _recursive(name: str, leaves: list[JsonSchemaValue]) -> JsonSchemaValue:
    inner = {"$ref": REFERENCE.format(name)}
    several = {"type": "array", "minItems": 1, "items": inner}
    groups = [
        _mapping({"all": several}, ["all"], "Every condition holds"),
        _mapping({"any": several}, ["any"], "At least one condition holds"),
        _mapping({"not": inner}, ["not"], "The condition does not hold"),
    ]
    return {"anyOf": [*groups, *leaves]}


def _operators_schema() -> dict[str, JsonSchemaValue]:
    operators = {n: dict(find_operator(n).operator.takes.schema) for n in operator_names()}
    return {**operators, IGNORE_CASE: {"type": "boolean"}}


def _field_schema() -> JsonSchemaValue:
    name = {"type": "string", "minLength": 1}
    properties = {"field": name, **_operators_schema()}
    return _mapping(properties, ["field"], "A field and what it must satisfy", at_least=2)


def _transactions_schemas() -> list[JsonSchemaValue]:
    where = {"$ref": REFERENCE.format("TransactionCondition")}
    rows = {"type": ["object", "null"], "additionalProperties": False}
    rows["properties"] = {"where": where, "in_past": dict(Span.schema)}
    return [
        _mapping(
            {"transactions": rows, name: _aggregate_schema(name)},
            ["transactions", name],
            f"The {name} of the contact's own transactions",
        )
        for name in aggregate_names()
    ]


def _aggregate_schema(name: str) -> JsonSchemaValue:
    if find_aggregate(name).needs_field:
        return _field_schema()
    return _mapping(_operators_schema(), [], "What the value must satisfy", at_least=1)


def _state_schema(name: str, states: tuple[str, ...]) -> JsonSchemaValue:
    what = name.replace("_", " ")
    properties: dict[str, JsonSchemaValue] = {
        name: {"type": "string", "minLength": 1},
        "is": {"enum": list(states)},
    }
    return _mapping(properties, [name, "is"], f"A {what} and the contact's state in it")


def _sample_schema() -> JsonSchemaValue:
    properties = {"sample": dict(Share.schema), "salt": dict(Text.schema)}
    return _mapping(properties, ["sample", "salt"], "A stable share of all contacts")


def _change_schema() -> JsonSchemaValue:
    kind: JsonSchemaValue = {"enum": [kind.value for kind in ChangeKind]}
    kinds: JsonSchemaValue = {"type": "array", "minItems": 1, "items": kind}
    operators = {name: kinds if name.endswith("_of") else kind for name in CHANGE_OPERATORS}
    inner = _mapping(operators, [], "The kind of change", at_least=1)
    return _mapping({"change": inner}, ["change"], "The kind of change the workflow looks at")


def _mapping(
    properties: dict[str, JsonSchemaValue],
    required_keys: list[str],
    description: str,
    *,
    at_least: int = 0,
) -> JsonSchemaValue:
    schema: JsonSchemaValue = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    if required_keys:
        schema["required"] = required_keys
    if at_least:
        schema["minProperties"] = at_least
    return schema


ConditionField = Annotated[
    Condition,
    PlainValidator(parse_condition),
    PlainSerializer(to_data, return_type=dict[str, Any]),
    _Reference("Condition"),
]
WorkflowConditionField = Annotated[
    Condition,
    PlainValidator(parse_workflow_condition),
    PlainSerializer(to_data, return_type=dict[str, Any]),
    _Reference("WorkflowCondition"),
]
