"""The segments that workflows act on: what is judged together, as all of them will ask for it."""

from __future__ import annotations

from contextlib import suppress

from segue.errors import DefinitionError
from segue.segments.definition import SegmentDefinition
from segue.workflows.catalog import Catalog


def segments_in_use(catalog: Catalog, directory: str) -> list[SegmentDefinition]:
    """Return a directory's segments that workflows act on, each once; what is wrong is left out.

    Each knows what it refers to. Only what is about segments is looked at: channels are not loaded.
    """
    segments: dict[str, SegmentDefinition] = {}
    for name in catalog.names("workflows"):
        with suppress(DefinitionError):  # which the workflow's own DAG shows
            segment = catalog.segment(catalog.workflow(name).segment)
            if segment.directory == directory:
                segments[segment.segment] = segment
    return list(segments.values())
