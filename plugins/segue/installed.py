"""What other packages bring: classes of channels and sources, by the names of entry points."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Any


def class_at(place: str) -> Any:
    """Return the class at ``module:Class``, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def installed(group: str) -> dict[str, str]:
    """Return what other packages offer under a group of entry points: ``module:Class`` by name."""
    return {entry.name: entry.value for entry in entry_points(group=group)}
