"""Values of a help desk's own fields: texts from templates, numbers, booleans, lists of texts.

A help desk checks types: a field for numbers refuses the text "5", and a template gives text. So
``{number: TEMPLATE}`` and ``{boolean: TEMPLATE}`` say what the text is to become.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from segue.contracts.printing import Kind
from segue.contracts.templates import Text, read_template
from segue.documents import Definition, Location, ProblemsFound
from segue.errors import ContactFailure

ALLOWED = (
    "a text, a number, true, false, a list of texts, {number: TEXT}, {boolean: TEXT} or "
    "{file: NAME}"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class AsNumber(Definition):
    """A text that becomes a number."""

    number: Text


class AsBoolean(Definition):
    """A text that becomes true or false."""

    boolean: Text


def _read(value: object, info: ValidationInfo) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return _read_list(value, info)
    if isinstance(value, dict) and list(value) in (["number"], ["boolean"]):
        [(name, text)] = value.items()
        template = _read_at((name,), text, info)
        model = AsNumber if name == "number" else AsBoolean
        return model.model_construct(**{name: template})
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
                *(
                    {
                        "type": "object",
                        "properties": {name: {"type": "string"}},
                        "required": [name],
                        "additionalProperties": False,
                    }
                    for name in ("number", "boolean", "file")
                ),
            ],
        }
    ),
]


def field_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return rendered custom fields as the values to send; those that are empty are left out.

    Raises ContactFailure, with the field's name, for a text that is not what it is to become.
    """
    values = {name: _value(name, value) for name, value in fields.items()}
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [item for item in value if item]
    if not isinstance(value, Mapping):
        return value
    [(kind, source)] = value.items()
    text = source.strip()
    try:
        return _READERS[kind](text) if text else None
    except (LookupError, ValueError):
        raise ContactFailure(f"custom_fields.{name}: the text is not a {kind}") from None


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text) if "." in text else int(text)


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


_READERS = {"number": _number, "boolean": _boolean}  # each raises for another text
