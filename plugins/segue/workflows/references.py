"""``${name}`` in a definition: what stands for it, put in before the definition is read.

A value that is exactly ``${name}`` becomes the value, whatever its type; within a text it is put in
as text. ``$${name}`` stays ``${name}``. What is no plain name between the braces is left alone:
``${{ contact.balance }}`` is a dollar sign and a template, ``${l://SurveyURL}`` is Qualtrics' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from segue.documents import Document, Location, did_you_mean
from segue.errors import Problem

_REFERENCE = re.compile(r"(\$?)\$\{([\w-]+)\}")
_ESCAPE = "; `$${%s}` is the text itself"
REMARK = "; `${"  # how what a message adds about a value begins
_NONE = "segue.yaml, beside the folders of definitions, defines none"
_LONGEST_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Scope:
    """What names stand for.

    ``sources`` says where a value was written, ``missing`` why a name has none; of those that are
    ``open`` only the use of an action tells. Where ``segue.yaml`` cannot be read, any name may be
    one of its variables (``is_unknown``).
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    open: frozenset[str] = frozenset()
    is_unknown: bool = False

    def inside(self, inner: Scope) -> Scope:
        """Return the scope of what stands inside: its own names hide others."""
        own = {*inner.values, *inner.missing, *inner.open}
        others = {name: value for name, value in self.values.items() if name not in own}
        reasons = {name: reason for name, reason in self.missing.items() if name not in own}
        return Scope(
            {**others, **inner.values},
            {**self.sources, **inner.sources},
            {**reasons, **inner.missing},
            inner.open,
            self.is_unknown,
        )

    def is_open(self, name: str) -> bool:
        """Tell whether a name may have a value that is not known here."""
        return name in self.open or (self.is_unknown and name not in self.values)

    def problem(self, name: str) -> str | None:
        """Return why nothing stands for a name; None where something does, or will."""
        if name in self.values or self.is_open(name):
            return None
        if name in self.missing:
            return f"`${{{name}}}` has no value: {self.missing[name]}"
        names = sorted({*self.values, *self.missing, *self.open})
        choices = f"allowed: {', '.join(names)}" if names else _NONE
        hint = did_you_mean(name, names)
        return f"there is no variable {name!r}; {choices}{hint}{_ESCAPE % name}"

    def remark(self, name: str) -> str:
        """Return what a message about the value of a name adds."""
        words = repr(self.values[name])
        words = words if len(words) <= _LONGEST_SHOWN else f"{words[:_LONGEST_SHOWN]}…"
        source = f", by {self.sources[name]}" if name in self.sources else ""
        return f"{REMARK}{name}}}` is {words}{source}"


def resolved(document: Document, scope: Scope) -> Document:
    """Return a document with a value for each reference; what has none is among its problems."""
    resolver = _Resolver(document, scope)
    data = resolver.value(document.data, ())
    if not resolver.is_needed:
        return document
    return replace(
        document,
        data=data,
        problems=(*document.problems, *resolver.problems),
        remarks={**document.remarks, **resolver.remarks},
        unsound=document.unsound | resolver.unsound,
    )


def names_used(data: Any) -> Iterator[str]:
    """Yield each name that a text below ``data`` refers to."""
    if isinstance(data, str):
        yield from (name for escape, name in _REFERENCE.findall(data) if not escape)
    elif isinstance(data, Mapping):
        for item in data.values():
            yield from names_used(item)
    elif isinstance(data, list | tuple):
        for item in data:
            yield from names_used(item)


class _Resolver:
    def __init__(self, document: Document, scope: Scope) -> None:
        self.is_needed = False
        self.problems: list[Problem] = []
        self.remarks: dict[Location, str] = {}
        self.unsound: set[tuple[str, str]] = set()
        self._document, self._scope = document, scope

    def value(self, data: Any, location: Location) -> Any:
        if isinstance(data, str):
            return self._text(data, location) if "${" in data else data
        if isinstance(data, Mapping):
            return {key: self.value(item, (*location, key)) for key, item in data.items()}
        if isinstance(data, list | tuple):
            return [self.value(item, (*location, index)) for index, item in enumerate(data)]
        return data

    def _text(self, text: str, location: Location) -> Any:
        references = list(_REFERENCE.finditer(text))
        if not references:
            return text
        self.is_needed = True
        names = list(dict.fromkeys(match[2] for match in references if not match[1]))
        whole = _REFERENCE.fullmatch(text)
        messages = [self._why_not(name, is_part=whole is None) for name in names]
        is_open = any(map(self._scope.is_open, names))
        if any(messages) or (is_open and (whole is not None or self._scope.is_unknown)):
            self._complain(location, [message for message in messages if message])
            return text
        if names and not is_open:
            self.remarks[location] = "".join(map(self._scope.remark, names))
        if whole is not None and not whole[1]:
            return self._scope.values[whole[2]]
        return _REFERENCE.sub(self._written, text)

    def _why_not(self, name: str, *, is_part: bool) -> str | None:
        message = self._scope.problem(name)
        if message is None and is_part and isinstance(self._scope.values.get(name), list):
            return f"`${{{name}}}` is a list, and cannot be a part of a text"
        return message

    def _complain(self, location: Location, messages: list[str]) -> None:
        self.problems += [self._document.problem(location, message) for message in messages]
        place = self._document.problem(location, "")
        self.unsound.add((place.file, place.path))

    def _written(self, match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        value = self._scope.values.get(match[2], match[2])  # what is open: its name stands in
        return str(value).lower() if isinstance(value, bool) else str(value)
