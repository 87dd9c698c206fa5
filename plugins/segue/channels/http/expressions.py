"""JMESPath: what a definition says about the JSON of an answer.

Followed: https://jmespath.org/specification.html. An expression that is wrong is found when the
definition is read; the library is imported then, not when a channel is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from segue.documents import did_you_mean
from segue.errors import OutcomeUnknown


def _expression(expression: str) -> str:
    """Return a JMESPath expression; raise ValueError that says where it is wrong."""
    from jmespath.exceptions import JMESPathError

    try:
        tree = _compile(expression).parsed
    except JMESPathError as error:
        column = getattr(error, "lex_position", 0) + 1
        raise ValueError(
            f"{expression!r} is not a JMESPath expression, at its character {column}; texts stand "
            "in 'quotes', numbers in `backticks` (https://jmespath.org)"
        ) from None
    functions = _functions()
    for name in _function_names(tree):
        if name not in functions:
            raise ValueError(f"JMESPath has no function {name!r}{did_you_mean(name, functions)}")
    return expression


@lru_cache(maxsize=256)
def _compile(expression: str) -> Any:
    import jmespath

    return jmespath.compile(expression)


def _functions() -> list[str]:
    from jmespath.functions import Functions

    return sorted(Functions.FUNCTION_TABLE)


def _function_names(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the functions in a parsed expression."""
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, Mapping):
            yield from _function_names(child)


Expression = Annotated[
    str, AfterValidator(_expression), WithJsonSchema({"type": "string", "description": "JMESPath"})
]


def search(vendor: str, expression: str, answer: Any) -> Any:
    """Return what an expression finds in an answer; raise OutcomeUnknown where it cannot look."""
    from jmespath.exceptions import JMESPathError

    try:
        return _compile(expression).search(answer)
    except JMESPathError as error:  # its text quotes the answer
        raise OutcomeUnknown(
            f"the answer of {vendor} is not what {expression!r} expects ({type(error).__name__})"
        ) from None


def is_true(value: Any) -> bool:
    """Tell whether JMESPath calls a value true: 0 is, and what is empty is not."""
    return value is not None and value is not False and value not in ("", [], {})
