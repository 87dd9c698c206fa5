"""What an API's own statuses mean, where a definition says so.

Only refusals can be given another meaning: after a 5xx nobody knows what was done; 401, 402 and 407
are of the connection, whatever they are about; and 408, 425 and 429 ask to come again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from segue.channels.http.expressions import KeyExpression
from segue.documents import Items, Location, ProblemsFound

_FIXED = frozenset({401, 402, 407, 408, 425, 429})
REFUSALS = frozenset(range(400, 500)) - _FIXED
_ALLOWED = f"a status from 400 to 499, but for {', '.join(map(str, sorted(_FIXED)))}"

_EXPRESSION: TypeAdapter[str] = TypeAdapter(KeyExpression)


def _refusal(status: int) -> int:
    if status not in REFUSALS:
        raise ValueError(f"found {status}; allowed: {_ALLOWED}")
    return status


def _read_delivered_on(value: object) -> dict[int, str | None]:
    """Read statuses, or statuses with the JMESPath that has to be true of the answer."""
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = [(status, None) for status in value]
    else:
        raise ValueError(  # noqa: TRY004 - what pydantic understands
            f"found {value!r}; allowed: [409], or a mapping of statuses to JMESPath"
        )
    conditions: dict[int, str | None] = {}
    problems: list[tuple[Location, str]] = []
    for index, (status, condition) in enumerate(items):
        try:
            conditions[_status_of(status)] = _condition_of(condition)
        except ValueError as error:
            place = str(status) if isinstance(value, Mapping) else index
            problems.append(((place,), str(error)))
    if problems:
        raise ProblemsFound(problems)
    return conditions


def _status_of(status: object) -> int:
    """Read a status; as a key of YAML it is a text."""
    is_number = isinstance(status, int) or (isinstance(status, str) and status.isdecimal())
    if not is_number or isinstance(status, bool):
        raise ValueError(f"found {status!r}; allowed: {_ALLOWED}")
    return _refusal(int(str(status)))


def _condition_of(condition: object) -> str | None:
    if condition is None:
        return None
    try:
        return _EXPRESSION.validate_python(condition, strict=True)
    except ValidationError as error:
        details = error.errors()[0]
        raise ValueError(str(details.get("ctx", {}).get("error") or details["msg"])) from None


_SCHEMA: dict[str, Any] = {"type": "integer", "minimum": min(REFUSALS), "maximum": max(REFUSALS)}
Refusals = Items[Annotated[int, AfterValidator(_refusal), WithJsonSchema(_SCHEMA)]]
DeliveredOn = Annotated[
    dict[int, str | None],
    PlainValidator(_read_delivered_on),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": _SCHEMA},
                {
                    "type": "object",
                    "description": "statuses, and the JMESPath that is true of such an answer",
                    "propertyNames": {"pattern": "^4[0-9][0-9]$"},
                    "additionalProperties": {"type": ["string", "null"]},
                },
            ]
        }
    ),
]
