"""Whose days a chart has: those of the directory, which also dates its snapshots by them."""

from __future__ import annotations

from datetime import UTC, tzinfo

from segue.errors import DefinitionError
from segue.workflows.catalog import Catalog


def zone_of_segment(name: str | None, catalog: Catalog) -> tzinfo:
    """Return the zone of a segment's directory; UTC where it is not known."""
    if name is None:
        return UTC
    try:
        return catalog.directory(catalog.segment(name).directory).zone
    except DefinitionError:
        return UTC
