"""Typed variables of a project, and parameters of a reusable action: names for values in YAML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from segue.documents import Definition, ProblemsFound

VariableType = Literal["text", "number", "integer", "boolean", "list"]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, str | int | float) for x in value)


_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "text": (lambda value: isinstance(value, str), "text, in quotes where it looks like a number"),
    "number": (_is_number, "a number"),
    "integer": (_is_integer, "a whole number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "list": (_is_list, "a list of texts, numbers or booleans"),
}


class Variable(Definition):
    """A name for a value that definitions refer to as ``${name}``."""

    type: VariableType
    default: Annotated[Any, Field(description="what it is where nobody says otherwise")] = None
    description: str | None = None

    @model_validator(mode="after")
    def _default_is_of_its_type(self) -> Self:
        message = None if self.default is None else self.problem(self.default)
        if message is not None:
            raise ProblemsFound([(("default",), message)])
        return self

    def problem(self, value: object) -> str | None:
        """Return why this cannot be its value; None where it can."""
        fits, expectation = _KINDS[self.type]
        if fits(value):
            return None
        if isinstance(value, dict | list):
            value = "a mapping" if isinstance(value, dict) else "a list"
        else:
            value = repr(value)
        return f"found {value}; expected {expectation} (type: {self.type})"
