"""A workflow with everything it refers to: what detection, the door and the previews work on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from segue.delivery.channel import Channel
from segue.directory.definition import DirectoryDefinition
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import WorkflowDefinition


@dataclass(frozen=True)
class ResolvedWorkflow:
    """A workflow, its segment and directory, and the channel of each action by action id.

    ``referred`` are the segments that its conditions refer to, each after those it refers to.
    """

    definition: WorkflowDefinition
    segment: SegmentDefinition
    directory: DirectoryDefinition
    channels: Mapping[str, Channel]
    referred: Sequence[SegmentDefinition] = ()

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.definition.workflow

    @property
    def action_ids(self) -> list[str]:
        """The ids of the actions in the order they are written."""
        return [action.id for action in self.definition.actions]

    @property
    def variables(self) -> dict[str, str]:
        """What templates see of the workflow, the same for every contact."""
        return {"workflow": self.name, "segment": self.segment.segment}

    @cached_property
    def fingerprint(self) -> tuple[str, str]:
        """Return (SHA-256, canonical JSON) of all that decides what the workflow does."""
        parts = {
            "workflow": self.definition.model_dump(mode="json", by_alias=True),
            "segment": {
                **self.segment.model_dump(mode="json", by_alias=True),
                "decided_by": self.segment.facts(),
            },
            "referred": [segment.facts() for segment in self.referred],
            "directory": self.directory.model_dump(mode="json", exclude={"snapshots"}),
        }
        body = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest(), body
