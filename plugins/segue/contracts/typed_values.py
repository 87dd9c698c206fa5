"""Values of JSON that no text is: numbers, booleans, lists of as many parts as there are, and none.

A template gives a text, and an API that wants a number refuses the text "5". So ``{number: TEXT}``
and ``{boolean: TEXT}`` say what a text is to become, and ``{optional: TEXT}`` is a text. Each
leaves out its key, or its place in a list, where the text is empty. ``{each: EXPRESSION, give:
VALUE}`` is a list with a value for each part of another, and ``{object: {…}}`` an object that has
the keys of one of these for its own.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationInfo

from segue.contracts.printing import Kind
from segue.contracts.templates import Template, Text, parts_of, read_loop, read_template
from segue.documents import Definition, Location, ProblemsFound
from segue.errors import ContactFailure

LEFT_OUT: Final = object()  # what becomes of a key whose text is empty
MOST_PARTS = 10_000  # of a list, for one message

_LOOP = ("each", "give")
_WORDS = frozenset({"numbers", "options", "option", "live"})  # near ours, and of their own
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Variables = Mapping[str, Any]
RenderPart = Callable[[Any, Variables, str], Any]  # a value, variables, and where it stands


class TypedValue(Definition):
    """A value that is more than the text of a template."""

    @abstractmethod
    def rendered(self, render_part: RenderPart, variables: Variables, path: str) -> Any:
        """Return it for one contact, or LEFT_OUT; raise ContactFailure with its place."""


class AsNumber(TypedValue):
    """A text that becomes a number."""

    number: Text

    def rendered(self, render_part: RenderPart, variables: Variables, path: str) -> Any:
        """Return the number, or LEFT_OUT where the text is empty."""
        text = render_part(self.number, variables, path).strip()
        if text and not _NUMBER.fullmatch(text):
            raise ContactFailure(f"{path}: the text is not a number")
        return (float(text) if "." in text else int(text)) if text else LEFT_OUT


class AsBoolean(TypedValue):
    """A text that becomes true or false."""

    boolean: Text

    def rendered(self, render_part: RenderPart, variables: Variables, path: str) -> Any:
        """Return the boolean, or LEFT_OUT where the text is empty."""
        text = render_part(self.boolean, variables, path).strip().lower()
        if text and text not in _BOOLEANS:
            raise ContactFailure(f"{path}: the text is not a boolean")
        return _BOOLEANS[text] if text else LEFT_OUT


class OptionalText(TypedValue):
    """A text that is left out where it is empty."""

    optional: Text

    def rendered(self, render_part: RenderPart, variables: Variables, path: str) -> Any:
        """Return the text, or LEFT_OUT where it is empty."""
        return render_part(self.optional, variables, path) or LEFT_OUT


class Each(TypedValue):
    """A list: a value for each part of what an expression gives."""

    each: Template
    give: Any

    def rendered(self, render_part: RenderPart, variables: Variables, path: str) -> Any:
        """Return the list; what is left out of it has no place in it."""
        try:
            name, parts = parts_of(self.each, variables)
        except ContactFailure as error:
            raise ContactFailure(f"{path}.each: {error}") from None
        if len(parts) > MOST_PARTS:
            raise ContactFailure(f"{path}.each: has more than {MOST_PARTS:,} parts")
        values = [
            render_part(self.give, {**variables, name: part}, f"{path}[{index}]")
            for index, part in enumerate(parts)
        ]
        return [value for value in values if value is not LEFT_OUT]


OF_TEXT: Mapping[str, type[TypedValue]] = {
    "number": AsNumber,
    "boolean": AsBoolean,
    "optional": OptionalText,
}
SCHEMAS = [
    {
        "type": "object",
        "properties": {name: {"type": "string"}},
        "required": [name],
        "additionalProperties": False,
    }
    for name in OF_TEXT
]


def read_typed_body(value: object, info: ValidationInfo) -> Any:
    """Read a whole body, which may be an object with such a key alone: it is never one number.

    Its texts are templates. Raises ProblemsFound with every one that is wrong.
    """
    reader = _Reader(info)
    if isinstance(value, Mapping) and value.keys() < OF_TEXT.keys():
        return _unless_problems(reader.object(value, (), ()), reader)
    return _unless_problems(reader.read(value, (), ()), reader)


def read_typed_value(value: object, info: ValidationInfo) -> Any:
    """Read JSON whose texts are templates; raise ProblemsFound with every one that is wrong."""
    reader = _Reader(info)
    return _unless_problems(reader.read(value, (), ()), reader)


def _unless_problems(content: Any, reader: _Reader) -> Any:
    if reader.problems:
        raise ProblemsFound(reader.problems)
    return content


def _slip(part: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an object that was probably to be a typed value; None of others."""
    names = list(part)
    escape = f"an object that has the key is {{object: {{{names[0]}: …}}}}" if names else ""
    if len(names) == 1 and names[0] in OF_TEXT and not isinstance(part[names[0]], Mapping | list):
        found = json.dumps(part[names[0]])
        return f"found {found}; allowed: a text. Write {found} without {names[0]}, and {escape}"
    if len(names) == 1 and isinstance(part[names[0]], str):
        meant = _meant(names[0], OF_TEXT)
        return f"did you mean {meant}? {escape}" if meant else None
    if len(names) == 2 and not {"each", "give"} <= part.keys():
        meant_ones = {name if name in _LOOP else _meant(name, _LOOP) for name in names}
        if meant_ones == set(_LOOP):
            return f"found {' and '.join(names)}; allowed: each and give; {escape}"
    return None


def _meant(name: str, allowed: Collection[str]) -> str | None:
    """Return which of these names another one is but for a slip of the pen, or of letters."""
    if name.lower() in _WORDS:
        return None
    return next(iter(get_close_matches(name.lower(), allowed, 1, cutoff=0.75)), None)


class _Reader:
    """Reads a value of a definition; ``loops`` are those around a part, the outermost first."""

    def __init__(self, info: ValidationInfo) -> None:
        self.problems: list[tuple[Location, str]] = []
        self._info = info

    def read(self, part: object, location: Location, loops: tuple[str, ...]) -> Any:
        if isinstance(part, Mapping):
            return self._read_mapping(part, location, loops)
        if isinstance(part, list | tuple):
            items = enumerate(part)
            return tuple(self.read(item, (*location, index), loops) for index, item in items)
        return self._template(part, location, loops) if isinstance(part, str) else part

    def _read_mapping(
        self, part: Mapping[str, Any], location: Location, loops: tuple[str, ...]
    ) -> Any:
        names = list(part)
        if set(names) == {"each", "give"} and isinstance(part["each"], str):
            return self._each(part, location, loops)
        if names == ["object"] and isinstance(part["object"], Mapping):
            return self.object(part["object"], (*location, "object"), loops)
        if len(names) == 1 and names[0] in OF_TEXT and isinstance(part[names[0]], str):
            template = self._template(part[names[0]], (*location, names[0]), loops)
            return OF_TEXT[names[0]].model_construct(**{names[0]: template})
        problem = _slip(part)
        if problem:
            self.problems.append(((*location, names[0]), problem))
            return None
        return self.object(part, location, loops)

    def object(self, part: Mapping[str, Any], location: Location, loops: tuple[str, ...]) -> Any:
        for key in part:
            if "{{" in key or "{%" in key:
                self.problems.append(((*location, key), "a key cannot be a template"))
        return {key: self.read(item, (*location, key), loops) for key, item in part.items()}

    def _each(self, part: Mapping[str, Any], location: Location, loops: tuple[str, ...]) -> Any:
        try:
            each = read_loop(part["each"], self._info, loops)
        except ValueError as error:
            self.problems.append(((*location, "each"), str(error)))
            return None
        give = self.read(part["give"], (*location, "give"), each.loops)
        return Each.model_construct(each=each, give=give)

    def _template(self, text: str, location: Location, loops: tuple[str, ...]) -> Any:
        try:
            return read_template(Kind.TEXT, text, self._info, loops)
        except ValueError as error:
            self.problems.append((location, str(error)))
            return None
