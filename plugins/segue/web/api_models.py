"""What the JSON API answers, and what it is asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from segue.directory.checks import LONGEST_ID
from segue.ledger.people.release_requests import Settlement
from segue.ledger.states import State
from segue.segments.kinds import ChangeKind
from segue.web.parameters import KEY, require_text

MOST = 500  # items of one answer, or keys of one wish
Key = Annotated[str, StringConstraints(pattern=KEY)]


class Answer(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(from_attributes=True)


class WorkflowAnswer(Answer):
    """One workflow; ``paused`` is null where Airflow does not know its DAG."""

    workflow: str
    paused: bool | None
    stopped: bool
    last_run: str | None
    last_run_state: str | None
    next_run: datetime | None
    waiting_approvals: int
    failed: int
    uncertain: int
    held: int
    waiting: int
    outcomes: dict[str, int] = Field(
        description="Of the changes of the past 30 days of the directory's zone, by state"
    )


class WorkflowsAnswer(Answer):
    """A page of workflows, by name."""

    items: list[WorkflowAnswer]
    total_entries: int


class RunAnswer(Answer):
    """One run; ``previous`` and ``current`` are the snapshots that it compared last."""

    run_id: str
    outcome: str
    reason: str
    recorded_at: datetime
    decision: str | None
    decided_by: str | None
    previous: str | None
    current: str | None


class RunsAnswer(Answer):
    """A page of runs, the newest first; ``next`` is the ``before`` of the next page."""

    items: list[RunAnswer]
    next: str | None


class DeliveryAnswer(Answer):
    """One delivery as the ledger has it."""

    key: str
    workflow: str
    action: str
    contact_id: str
    change: str
    snapshot: str
    outcome: State
    reason: str
    external_id: str | None
    url: str | None = Field(description="At the vendor; null without the right to contacts")
    attempts: int
    channel: str
    planned_at: datetime | None
    called_at: datetime | None
    delivered_at: datetime | None
    held_until: datetime | None
    updated_at: datetime
    digest: str | None = Field(description="SHA-256 of the rendered message; null as url is")
    request: int | None = Field(description="The open request that means it")


class DeliveriesAnswer(Answer):
    """A page of deliveries, the last moved first; ``next`` is the ``before`` of the next page."""

    items: list[DeliveryAnswer]
    next: str | None


class ChangeAnswer(Answer):
    """One contact of a run, with what became of each action."""

    contact_id: str
    change: ChangeKind
    reason: str
    conditions: str
    deliveries: list[DeliveryAnswer]


class ChangesAnswer(Answer):
    """A page of a run's contacts, by contact id."""

    items: list[ChangeAnswer]
    total_entries: int


class RequestAnswer(Answer):
    """What somebody asked for, or did."""

    id: int
    kind: str
    workflow: str | None
    action: str | None
    contact: str | None
    settlement: str | None
    reason: str = Field(description="What the person wrote who stopped or suppressed")
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    outcome: str


class RequestsAnswer(Answer):
    """A page of requests, the newest first; ``next`` is the ``before`` of the next page."""

    items: list[RequestAnswer]
    next: int | None


class FiledAnswer(Answer):
    """A request that segue_release carries out within five minutes."""

    request: int


class DoneAnswer(Answer):
    """What was done at once; false where it was so already."""

    done: bool


class Wish(BaseModel):
    """The base of what is asked for."""

    model_config = ConfigDict(extra="forbid")

    _texts = field_validator("*")(require_text)


def _keys() -> Any:
    """Keys of deliveries, if any are named: an empty list is a program's slip, and not all."""
    return Field(default_factory=list, min_length=1, max_length=MOST)


class RetryWish(Wish):
    """Failed deliveries of the workflow that all given parts hold for; with none, all of them."""

    action: str | None = Field(None, min_length=1, max_length=64)
    contact: str | None = Field(None, min_length=1, max_length=LONGEST_ID)
    error: str | None = Field(
        None,
        pattern=r"\S",
        max_length=200,
        description="Contained in the reason, whatever its case",
    )
    keys: list[Key] = _keys()


class SettleWish(Wish):
    """What became of uncertain deliveries of the workflow: of these keys, of an action, or all."""

    settlement: Settlement
    action: str | None = Field(None, min_length=1, max_length=64)
    keys: list[Key] = _keys()


class StopWish(Wish):
    """Why a workflow is stopped."""

    reason: str = Field("", max_length=500)


class SuppressWish(Wish):
    """A contact of the workflow who is never to be written to again, and why."""

    contact: str = Field(min_length=1, max_length=LONGEST_ID)
    reason: str = Field("", max_length=500)
