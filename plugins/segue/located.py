"""Data of a YAML file, or of several put together, whose parts know where they were written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.errors import Problem

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file: plain Python data and where each key or element stands."""

    file: str
    data: Any
    positions: Mapping[Location, tuple[int, int]] = field(repr=False)
    problems: tuple[Problem, ...] = ()  # of the YAML itself, such as duplicate keys
    # what stands in another document, and where there: a default, a part of a reusable action
    origins: Mapping[Location, tuple[Document, Location]] = field(default_factory=dict, repr=False)
    remarks: Mapping[Location, str] = field(default_factory=dict)  # on the values that stand there
    # (file, path) of what is wrong already: what follows from it is not told as well
    unsound: frozenset[tuple[str, str]] = frozenset()

    def problem(self, location: Location, message: str) -> Problem:
        """Return a problem at ``location``, or at the nearest place around it that exists."""
        places = [location[:size] for size in range(len(location), -1, -1)]
        message += "".join(self.remarks[place] for place in places if place in self.remarks)
        exists = (place for place in places if place in self.origins or place in self.positions)
        place = next(exists, ())
        if place in self.origins:
            document, there = self.origins[place]
            return document.problem((*there, *location[len(place) :]), message)
        line, column = self.positions.get(place, (1, 1))
        return Problem(self.file, line, column, format_location(location), message)

    def part(self, location: Location) -> Document:
        """Return the mapping at ``location`` as a document; an empty one where there is none."""
        data = self.data
        for key in location:
            data = data.get(key) if isinstance(data, dict) else None
        own = dict(data) if isinstance(data, dict) else {}
        return Document(self.file, own, {}, origins={(): (self, location)})

    def without_consequences(self, problems: Iterable[Problem]) -> list[Problem]:
        """Leave out what is wrong only because something of the document is not known."""
        return [
            problem
            for problem in problems
            if problem in self.problems
            or not any(
                problem.file == file and re.match(rf"{re.escape(path)}([.\[]|$)", problem.path)
                for file, path in self.unsound
            )
        ]


def format_location(location: Location) -> str:
    """Return ``('match', 'all', 1)`` as ``match.all[1]``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
