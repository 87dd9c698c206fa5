"""What the ledger is told and what it tells: plain facts, without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from zoneinfo import ZoneInfo

from segue.durations import Duration
from segue.ledger.states import State
from segue.ledger.stretches import Stretch

NOT_HELD: Mapping[str, None] = {"held_until": None, "held_since": None}  # columns; it waits anew
IN_NOBODYS_HANDS: Mapping[str, None] = {
    "owner": None,
    "lease_until": None,
    "untold": None,
    **NOT_HELD,
}


class SpanKind(StrEnum):
    """What a recorded span is."""

    CHANGES = "changes"
    BASELINE = "baseline"  # nothing to compare with: nobody is acted on
    ENROLMENT = "enrolment"  # of present members, because a person asked: takes no time
    WITHDRAWN = "withdrawn"  # a snapshot of it was quarantined: takes no time any more


COVERING_KINDS = (SpanKind.CHANGES, SpanKind.BASELINE)  # a run has taken their time


class _WithReason:
    """What the lines of a span's reason are."""

    __slots__ = ()
    LEFT_OUT: ClassVar[str] = "left out: "  # begins a line that is no finding
    kind: SpanKind
    reason: str

    @property
    def findings(self) -> list[str]:
        """What is odd about the current snapshot, for the guard to ask about."""
        lines = self.reason.splitlines() if self.kind == SpanKind.CHANGES else []
        return [line for line in lines if not line.startswith(self.LEFT_OUT)]

    @property
    def left_out(self) -> list[str]:
        """Whose changes could not be recorded, in words: they are lost, and fail the run."""
        return [line for line in self.reason.splitlines() if line.startswith(self.LEFT_OUT)]


class SpanTaken(Exception):
    """Another run, or a quarantine, took from the span meanwhile; detect again with the rest."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow, as the ledger knows it. ``interval`` is (start, end], or None."""

    workflow: str
    run_id: str
    interval: tuple[datetime, datetime] | None = None
    is_backfill: bool = False
    clear_number: int = 0
    until: datetime | None = None  # snapshots after it are none of the run's
    landed: tuple[str, ...] = ()  # keys of the snapshots whose landing started the run

    @property
    def what_it_needs(self) -> str:
        """The snapshot that the run is about, in words."""
        if self.landed:
            return f"complete snapshot {' or '.join(self.landed)}"
        if self.interval is None:
            return "complete snapshot"
        start, end = self.interval
        return (
            f"complete snapshot with an as-of in ({start:%Y-%m-%dT%H:%MZ}, {end:%Y-%m-%dT%H:%MZ}]"
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked of a run through its parameters."""

    previous: str | None = None
    current: str | None = None
    deliver: bool = False
    accept_rewritten: bool = False
    enroll_current_members: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the ledger holds of a run: its outcome and why."""

    id: int
    workflow: str
    run_id: str
    outcome: str
    reason: str
    recorded_only: bool
    interval: tuple[datetime, datetime] | None
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of the guard's question: ``approved``, ``rejected`` or ``timed_out``."""

    word: str
    by: str  # who answered; empty where nobody did
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordedSpan(_WithReason):
    """One span as recorded."""

    id: int
    workflow: str
    run_id: str
    kind: SpanKind
    reason: str
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int

    @property
    def is_withdrawn(self) -> bool:
        """True where a snapshot of the span was quarantined: nothing of it is ever released."""
        return self.kind == SpanKind.WITHDRAWN


@dataclass(frozen=True, slots=True)
class DetectedSpan(_WithReason):
    """A span with its changes, ready to be recorded.

    ``changes`` holds (contact_id, change, reason), sorted; ``suppressed`` is the policy reason
    that keeps all of its deliveries from being released, or None.
    """

    kind: SpanKind
    reason: str  # why it is a baseline; else a line for each thing that looks odd, or is left out
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int
    changes: Sequence[tuple[str, str, str]]
    suppressed: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What a quarantine did to recorded spans that begin or end at the snapshot.

    ``withdrawn`` count as never covered; of those that are ``kept`` something was sent.
    """

    withdrawn: Sequence[RecordedSpan]
    kept: Sequence[RecordedSpan]
    rejected: int  # deliveries that were not sent, and are not going to be


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What later steps need of one delivery.

    ``event_at`` is the as-of of the snapshot that shows the change, ``called_at`` when the last
    call began, ``trace`` where its message can be looked for; ``resent`` says that it was called
    once more in doubt. ``message_key`` is that of the digest that the last call sent, if any.
    ``barred``: it is not called again, because its snapshot was quarantined, or its contact was
    added after the enrolment. ``refused_at`` is when it was refused last, while whose fault that
    was is open.
    """

    key: str
    action: str
    contact_id: str
    change: str
    span: int
    state: State
    reason: str
    results: Mapping[str, str]
    planned_at: datetime | None = None
    event_at: datetime | None = None
    called_at: datetime | None = None
    held_since: datetime | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    resent: bool = False
    message_key: str | None = None
    held_until: datetime | None = None
    barred: bool = False
    refused_at: datetime | None = None
    delivered_at: datetime | None = None

    @property
    def called_as(self) -> str:
        """The key that the vendor knows the last call by."""
        return self.message_key or self.key


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """A delivery as lists have it. The first twelve fields are the command line's columns."""

    workflow: str
    action: str
    contact_id: str
    change: str
    snapshot: str
    outcome: str  # a State
    reason: str
    external_id: str | None
    url: str | None
    attempts: int
    updated_at: datetime
    key: str
    channel: str
    event_at: datetime | None
    planned_at: datetime
    called_at: datetime | None
    delivered_at: datetime | None
    held_until: datetime | None
    digest: str | None
    message_key: str | None
    request: int | None  # the request, not carried out yet, that means it


@dataclass(frozen=True, slots=True)
class DeliveryOfRun(ListedDelivery):
    """A delivery as lists have it, with its run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class DeliveryInFull(ListedDelivery):
    """All that is known of one delivery, its run and its span included.

    ``definition`` is the hash of the workflow's; ``change_reason`` None where the change is none
    any more.
    """

    results: Mapping[str, str]
    definition: str
    run_id: str
    span_kind: str
    previous_key: str | None
    previous_as_of: datetime
    current_key: str
    current_as_of: datetime
    change_reason: str | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery to take up again; ``previous`` and ``current`` are its span's snapshot keys."""

    contact_id: str
    change: str
    reason: str  # of the change
    previous: str | None
    current: str


@dataclass(frozen=True, slots=True)
class LateOutcome:
    """How many of a run's deliveries came to ``failed``, ``uncertain`` or ``expired`` after it."""

    run: int
    run_id: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class Untold:
    """What is to be told of an action: ``outcomes``, one per run and outcome, in order of the runs.

    ``seen`` has all that is marked to be told, with the time of its last change; of some of it
    there is nothing to tell any more.
    """

    outcomes: Sequence[LateOutcome]
    seen: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of one delivery, to be written.

    ``CLAIMED`` keeps it for another try, and ``SENDING`` says that the
    answer was lost and the channel is to be asked once the call is surely over. ``held_until`` is
    when segue_release takes it up, of an ``UNCERTAIN`` one to send it once more. ``earlier`` is the
    delivery as it stood before a further call that was in vain: its call in doubt is the last one.
    ``refused``: whose fault that was is open.
    """

    key: str
    state: State
    reason: str = ""
    external_id: str | None = None
    url: str | None = None
    results: Mapping[str, str] | None = None
    digest: str | None = None
    held_until: datetime | None = None
    earlier: DeliveryRow | None = None
    waits_for: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class OncePerContact:
    """An action reaches a contact once ever, or once ``within`` a duration of event time."""

    within: Duration | None
    zone: ZoneInfo

    def forbids(self, one: datetime, other: datetime) -> bool:
        """Tell whether two events are too close for both to be acted on."""
        first, second = sorted((one, other))
        return self.within is None or self.within.before(second, self.zone) < first


@dataclass(frozen=True, slots=True)
class StartRules:
    """What a call must satisfy in the very transaction that lets it begin.

    ``once`` looks at the same action's deliveries to the contact for other changes. ``cap`` is
    (how many, within which time) of messages to the contact through this channel, whatever the
    workflow.
    """

    channel: str
    addressed_to: str
    once: OncePerContact | None = None
    cap: tuple[int, timedelta] | None = None

    @property
    def look_at_contacts(self) -> bool:
        """True where other deliveries to the same contact matter."""
        return self.once is not None or self.cap is not None


@dataclass(frozen=True, slots=True)
class Started:
    """Which calls may begin now.

    ``refused`` holds the reason for those that a rule forbids, by key. What is in neither was
    lost to another owner, or waits for the outcome of another delivery to the same contact. Of a
    digest either all are in ``mine``, or those that another digest could begin with: then none of
    them was marked.
    """

    mine: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
