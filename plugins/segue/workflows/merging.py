"""Definitions put together of two documents, before either is read as a whole.

What a document says itself goes before what it inherits, key by key of its mappings. ``null`` says
"not here": the key is left out, unless null is a value that means something there. Each part knows
where it was written, so that a message names that place.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Protocol

from pydantic import BaseModel

from segue.documents import Document, Location


class Rules(Protocol):
    """What is merged, and where null is a value; places are relative to what is merged."""

    def is_deep(self, place: Location) -> bool:
        """Tell whether the mapping at a place is merged key by key, and not taken whole."""

    def keeps_null(self, place: Location) -> bool:
        """Tell whether null at a place is a value like any other."""


def merged(own: Document, inherited: Document, rules: Rules, at: Location = ()) -> Document:
    """Return ``own``, with what its mapping at ``at`` inherits: the other document's data."""
    data, origins = own.data, dict(own.origins)
    mapping = _value_at(data, at)
    result = _merged(mapping, inherited.data, rules, ())
    for place in _inherited(mapping, inherited.data, result, ()):
        origins[(*at, *place)] = (inherited, place)
    unsound = own.unsound | inherited.unsound
    return replace(own, data=_with_value_at(data, at, result), origins=origins, unsound=unsound)


def _merged(own: Mapping[str, Any], others: Any, rules: Rules, place: Location) -> dict[str, Any]:
    others = others if isinstance(others, Mapping) else {}
    result: dict[str, Any] = {}
    for key, value in own.items():
        here = (*place, key)
        if isinstance(value, Mapping) and rules.is_deep(here):
            result[key] = _merged(value, others.get(key), rules, here)
        elif value is not None or rules.keeps_null(here):
            result[key] = value
    return {**result, **{key: value for key, value in others.items() if key not in own}}


def _inherited(own: Any, others: Any, result: Any, place: Location) -> list[Location]:
    """Return the places of a result that come from the other document."""
    if not isinstance(own, Mapping) or not isinstance(others, Mapping):
        return []
    places = [(*place, key) for key in others if key not in own]
    for key in own.keys() & others.keys():
        if result.get(key) is not own[key] and isinstance(result.get(key), Mapping):
            places += _inherited(own[key], others[key], result[key], (*place, key))
    return places


def _value_at(data: Any, at: Location) -> Any:
    for key in at:
        data = data[key]
    return data


def _with_value_at(data: Any, at: Location, value: Any) -> Any:
    """Return a copy of data with another value at a place."""
    if not at:
        return value
    copy: Any = list(data) if isinstance(data, list) else dict(data)
    copy[at[0]] = _with_value_at(data[at[0]], at[1:], value)
    return copy


class OfModel:
    """The rules of a definition's own model, for those of its keys that are ``inheritable``."""

    def __init__(self, model: type[BaseModel], inheritable: typing.Collection[str]) -> None:
        self._model, self._inheritable = model, inheritable

    def is_deep(self, place: Location) -> bool:
        """Tell whether a mapping stands there by the model, and not one of several forms."""
        if place[0] not in self._inheritable:
            return False
        return any(map(_is_mapping, _alternatives(self._annotation(place))))

    def keeps_null(self, place: Location) -> bool:
        """Tell whether the model takes null there; of free keys it is no value."""
        if place[0] not in self._inheritable:
            return True
        annotation = self._annotation(place)
        return annotation is not Any and type(None) in _alternatives(annotation)

    def _annotation(self, place: Location) -> Any:
        """Return the type at a place; Any below mappings of free keys."""
        annotation: Any = self._model
        for key in place:
            types_there = (_below(each, key) for each in _alternatives(annotation))
            annotation = next(filter(None, types_there), Any)
        return annotation


def _below(annotation: Any, key: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return next((info.annotation for name, info in fields if key in (name, info.alias)), None)
    return None


def _is_mapping(annotation: Any) -> bool:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return is_model or annotation is Any or typing.get_origin(annotation) in (dict, Mapping)


def _alternatives(annotation: Any) -> list[Any]:
    """Return the members of a union, without what Annotated says of them."""
    if typing.get_origin(annotation) is Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [one for each in typing.get_args(annotation) for one in _alternatives(each)]
    return [annotation]
