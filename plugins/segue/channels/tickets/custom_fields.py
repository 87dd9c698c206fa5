"""Values of a help desk's own fields: texts from templates, numbers, booleans, lists of texts.

A help desk checks types: a field for numbers refuses the text "5". What says that a text is to
become one is that of all JSON (``segue.contracts.typed_values``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from segue.contracts.printing import Kind
from segue.contracts.templates import read_template
from segue.contracts.typed_values import OF_TEXT, SCHEMAS
from segue.documents import Location, ProblemsFound

ALLOWED = (
    "a text, a number, true, false, a list of texts, {number: TEXT}, {boolean: TEXT}, "
    "{optional: TEXT} or {file: NAME}"
)


def _read(value: object, info: ValidationInfo) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return _read_list(value, info)
    if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))) in OF_TEXT:
        template = _read_at((name,), value[name], info)
        return OF_TEXT[name].model_construct(**{name: template})
    if isinstance(value, str) or (isinstance(value, dict) and list(value) == ["file"]):
        return read_template(Kind.TEXT, value, info)
    raise ValueError(f"found {value!r}; allowed: {ALLOWED}")


def _read_list(values: list[object] | tuple[object, ...], info: ValidationInfo) -> tuple[Any, ...]:
    problems: list[tuple[Location, str]] = []
    items = []
    for index, value in enumerate(values):
        try:
            items.append(_read_at((index,), value, info))
        except ProblemsFound as error:
            problems += error.problems
    if problems:
        raise ProblemsFound(problems)
    return tuple(items)


def _read_at(location: Location, value: object, info: ValidationInfo) -> Any:
    try:
        return read_template(Kind.TEXT, value, info)
    except ValueError as error:
        raise ProblemsFound([(location, str(error))]) from None


FieldValue = Annotated[
    Any,
    PlainValidator(_read),
    WithJsonSchema(
        {
            "description": "texts are Jinja templates (text)",
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": "string"}},
                *SCHEMAS,
                {
                    "type": "object",
                    "properties": {"file": {"type": "string"}},
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]


def field_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return rendered custom fields as the values to send; those that are empty are left out."""
    values = {
        name: [item for item in value if item] if isinstance(value, list) else value
        for name, value in fields.items()
    }
    return {name: value for name, value in values.items() if value not in (None, "", [])}
