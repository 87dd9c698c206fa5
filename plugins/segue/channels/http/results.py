"""What later templates see of an answer: texts, numbers and booleans of its JSON, or headers.

What cannot be had is left out, with a warning: the call was accepted, and no result undoes that.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from segue.channels.http.expressions import Expression, search
from segue.channels.http.fields import header_problem
from segue.contracts.channel import Receipt
from segue.errors import OutcomeUnknown

LONGEST_RESULT = 1_000  # characters; the ledger keeps results

log = logging.getLogger(__name__)

_EXPRESSION: TypeAdapter[str] = TypeAdapter(Expression)
_SECRET_HEADERS = re.compile(r"set-cookie2?|(proxy-)?authorization", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FromHeader:
    """A result that is a header of the answer: ``{header: Location}``."""

    header: str


def _read_result(value: object) -> str | FromHeader:
    if isinstance(value, FromHeader):
        return value
    if isinstance(value, dict) and list(value) == ["header"] and isinstance(value["header"], str):
        return FromHeader(_header_name(value["header"]))
    if not isinstance(value, str):
        message = f"found {value!r}; allowed: JMESPath, or {{header: NAME}}"
        raise ValueError(message)  # noqa: TRY004 - what pydantic understands
    try:
        return _EXPRESSION.validate_python(value)
    except ValidationError as error:
        raise error.errors()[0]["ctx"]["error"] from None


def _header_name(name: str) -> str:
    problem = header_problem(name) if not _SECRET_HEADERS.fullmatch(name) else "is a secret"
    if problem:
        raise ValueError(f"the header {name!r}: {problem}")
    return name


Result = Annotated[
    Any,  # an expression, or FromHeader
    PlainValidator(_read_result),
    PlainSerializer(lambda each: {"header": each.header} if isinstance(each, FromHeader) else each),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "description": "JMESPath, in the answer's JSON"},
                {
                    "type": "object",
                    "description": "a header of the answer",
                    "properties": {"header": {"type": "string"}},
                    "required": ["header"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def receipt_of(
    vendor: str,
    results: Mapping[str, str | FromHeader],
    answer: Any,
    headers: Mapping[str, str] | None = None,
) -> Receipt:
    """Return the receipt of an answer: what ``results`` find in its JSON and in its headers."""

    def value_of(result: str | FromHeader) -> Any:
        if isinstance(result, FromHeader):
            return (headers or {}).get(result.header)
        return search(vendor, result, answer)

    values = {name: _short_text(name, value_of, result) for name, result in results.items()}
    texts = {name: text for name, text in values.items() if text}
    return Receipt(texts.get("id"), texts.get("url"), texts)


def _short_text(
    name: str, value_of: Callable[[str | FromHeader], Any], result: str | FromHeader
) -> str | None:
    """Return a result as text; None where it is not one that the ledger can keep."""
    try:
        value = value_of(result)
    except OutcomeUnknown:  # it expects another shape
        value = None
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    if isinstance(value, str | int | float) and len(text) <= LONGEST_RESULT:
        return text
    log.warning("the result %r is not a short text or a number in the answer; left out", name)
    return None
