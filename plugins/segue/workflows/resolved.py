"""A workflow with everything it refers to: what detection, the door and the previews work on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from segue.contracts.channel import Channel
from segue.contracts.live_source import LiveSource
from segue.directory.definition import DirectoryDefinition
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import Action, WorkflowDefinition, prerequisites


@dataclass(frozen=True)
class ResolvedWorkflow:
    """A workflow, its segment and directory, and the channel of each action by action id.

    ``referred`` are the segments that its conditions refer to, each after those it refers to;
    ``live`` is what contacts' details are looked up in, where the workflow says so.
    """

    definition: WorkflowDefinition
    segment: SegmentDefinition
    directory: DirectoryDefinition
    channels: Mapping[str, Channel]
    referred: Sequence[SegmentDefinition] = ()
    live: LiveSource | None = None
    project: str = ""  # "" where one Airflow has one project

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.definition.workflow

    @property
    def snapshot_cron(self) -> str | None:
        """By when snapshots are due: the schedule's times, or else those of the directory's take.

        None where nobody can tell.
        """
        if not self.definition.follows_snapshots:
            return self.definition.cron
        return self.directory.take.schedule if self.directory.take else None

    @property
    def action_ids(self) -> list[str]:
        """The ids of the actions in the order they are written."""
        return [action.id for action in self.definition.actions]

    def before(self, action: Action) -> list[str]:
        """Return the ids of all actions that come before one, as written."""
        ids = prerequisites(self.definition, action)
        return [other for other in self.action_ids if other in ids]

    def waits(self, action: Action) -> bool:
        """Tell whether an action waits, or one that comes before it: segue_release sends it."""
        chain = [action, *map(self.definition.action, self.before(action))]
        return any(each.wait is not None for each in chain)

    @property
    def variables(self) -> dict[str, str]:
        """What templates see of the workflow, the same for every contact."""
        return {"workflow": self.name, "segment": self.segment.segment}

    @cached_property
    def audience(self) -> str:
        """What decides who is acted on, messages left out: see ``acts_on_the_same``.

        A line with the SHA-256 of what holds for all actions, and a line with that of each action's
        ``if`` after the action's id.
        """
        definition = self.definition.model_dump(mode="json", by_alias=True)
        who = {key: definition[key] for key in ("segment", "changes", "load", "conditions")}
        if definition["leave_when"] is not None:  # what was written without it stays as it is
            who["leave_when"] = definition["leave_when"]
        segments = {"match": self._segment_data, "referred": self._referred_data}
        ifs = [f"{action['id']} {_digest(action['if'])}" for action in definition["actions"]]
        return "\n".join([_digest({**who, **segments, "directory": self._directory_data}), *ifs])

    def acts_on_the_same(self, audience: str, action: str | None = None) -> bool:
        """Tell whether the contacts are still decided as when ``audience`` was written.

        With an ``action``, whether its own ``if`` is the same as well. What was added since has
        nothing to send there, and stops nobody, as what was removed does not.
        """
        everybody, ifs = _parts(audience)
        now, own = _parts(self.audience)
        if action is None or action not in ifs:
            return everybody == now
        return everybody == now and ifs[action] == own[action]

    @property
    def _segment_data(self) -> Any:
        data = self.segment.model_dump(mode="json", by_alias=True)
        return {**data, "decided_by": self.segment.facts()}

    @property
    def _referred_data(self) -> Any:
        return [segment.facts() for segment in self.referred]

    @property
    def _directory_data(self) -> Any:
        beside = {"snapshots", "take", "lake", "expect"}  # of these no membership follows
        return self.directory.model_dump(mode="json", exclude=beside)

    @cached_property
    def fingerprint(self) -> tuple[str, str]:
        """Return (SHA-256, canonical JSON) of all that decides what the workflow does."""
        parts = {
            "workflow": self.definition.model_dump(mode="json", by_alias=True),
            "segment": self._segment_data,
            "referred": self._referred_data,
            "directory": self._directory_data,
        }
        return _digest(parts), _canonical(parts)


def _parts(audience: str) -> tuple[str, Mapping[str, str]]:
    """Return the digest of what holds for all actions, and those of their ``if`` by id."""
    first, _, rest = audience.partition("\n")
    return first, dict(line.split(" ", maxsplit=1) for line in rest.splitlines())


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _digest(data: Any) -> str:
    return hashlib.sha256(_canonical(data).encode()).hexdigest()
