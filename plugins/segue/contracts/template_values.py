"""The values that templates reach: fields by name, and what of them is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2.exceptions import UndefinedError

from segue.contracts.truth import FieldText
from segue.errors import ContactFailure


class Fields(Mapping[str, Any]):
    """Values that a template reaches by name; it exposes entries and never methods."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self._name = name
        self._values = {
            key: _field_value(f"{name}.{key}", value)
            for key, value in values.items()
            if not is_missing(value)
        }

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<the fields of {self._name}>"

    def __str__(self) -> str:
        raise ContactFailure(f"the template prints {self._name} as a whole; name one of its fields")


_LINE_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def in_one_line(value: Any) -> Any:
    """Return a value whose texts have blanks for line breaks, those in lists and mappings too.

    In a list of contacts a line break would forge an entry, of a contact who is not there.
    """
    if isinstance(value, str):
        return _LINE_BREAKS.sub(" ", value)
    if isinstance(value, Mapping):
        return {name: in_one_line(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [in_one_line(item) for item in value]
    return value


class NoItems(list[Any]):
    """A field that is an empty list, which is missing where it is printed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class MissingField(UndefinedError):
    """A field that is not there, under a name that stands in the template."""


def _field_value(name: str, value: Any) -> Any:
    """Return a value as templates handle it: whole floats are integers, wherever they are used."""
    if isinstance(value, Fields):
        return value
    if isinstance(value, Mapping):
        return Fields(name, value)
    if isinstance(value, list | tuple):
        if not value:
            return NoItems(name)
        return [_field_value(f"{name}.{index}", item) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return FieldText(value) if isinstance(value, str) else value


def is_missing(value: Any) -> bool:
    """Tell whether a field has no value: None, NaN, NaT or an empty text."""
    if value is None or (isinstance(value, str) and value == ""):
        return True
    try:
        return bool(value != value)  # true of NaN and NaT
    except (TypeError, ArithmeticError):  # pandas' NA, a signalling NaN: neither equal nor unequal
        return True
    except ValueError:  # an array
        return False
