"""Candidates: what one action may send now, each judged and rendered before any call.

A judgement needs no connection and no ledger, so that previews come to the same answer as the
door (``segue.delivery.door``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from segue.delivery.channel import Audience, Channel, NoAddress
from segue.delivery.ledger import (
    HELD_QUIET_HOURS,
    SKIPPED_AFTER,
    SKIPPED_DELETED,
    SKIPPED_HOLDOUT,
    SKIPPED_IF,
    SKIPPED_NO_ADDRESS,
    SKIPPED_NOT_FOUND,
    SKIPPED_OPTED_OUT,
    SKIPPED_RECHECK,
    DeliveryRow,
    Finished,
)
from segue.delivery.policies import is_held_out, quiet_until
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.schema import State
from segue.errors import ContactFailure
from segue.workflows.definition import Policies
from segue.workflows.templates import Fields


@dataclass(frozen=True, slots=True)
class Candidate:
    """One contact's change, as one action sees it.

    ``fields`` are what templates see as ``contact``; None where the contact was not found.
    ``opted_in`` is the effective state on the newest snapshot, None where the contact is gone.
    ``before`` holds the deliveries of all actions that come before this one, by action id.
    ``withdrawn`` says why a change does not stand any more, where the workflow rechecks.
    ``earlier`` are the vendor's ids of what the action delivered to the contact, newest first,
    where the channel looks back. ``problem`` says why its details could not be looked up.
    """

    key: str
    contact_id: str
    change: str
    snapshot: str
    fields: Mapping[str, Any] | None
    opted_in: bool | None
    passes_if: bool = True
    before: Mapping[str, DeliveryRow | None] = field(default_factory=dict)
    withdrawn: str | None = None
    earlier: Sequence[str] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a workflow asks of all its messages. ``zone`` is its directory's."""

    workflow: str
    policies: Policies = field(default_factory=Policies)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    variables: Mapping[str, Any] = field(default_factory=dict)  # the same for every contact

    @classmethod
    def of(cls, resolved: ResolvedWorkflow) -> Self:
        """Return the terms of a workflow."""
        policies, zone = resolved.definition.policies, resolved.directory.zone
        return cls(resolved.name, policies, zone, resolved.variables)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to be sent."""

    candidate: Candidate
    message: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The delivery's key."""
        return self.candidate.key


def judge(
    channel: Channel, terms: Terms, candidates: Iterable[Candidate], now: datetime | None = None
) -> tuple[list[Prepared], list[Finished]]:
    """Split candidates into messages ready to be sent and outcomes that need no call.

    Without ``now`` the time of day holds nothing back.
    """
    ready: list[Prepared] = []
    judged: list[Finished] = []
    for candidate in candidates:
        answer = _judge(channel, terms, candidate, now)
        if isinstance(answer, Prepared):
            ready.append(answer)
        else:
            judged.append(answer)
    return ready, judged


def message_digest(message: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a rendered message, which the ledger keeps instead of its text."""
    text = json.dumps(message, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _judge(
    channel: Channel, terms: Terms, candidate: Candidate, now: datetime | None
) -> Prepared | Finished:
    reason = _why_skip(channel, terms, candidate)
    if reason is not None:
        return Finished(candidate.key, State.SKIPPED, reason)
    if candidate.problem is not None:
        return Finished(candidate.key, State.FAILED, candidate.problem)
    try:
        message = channel.render({**terms.variables, **_variables(candidate)})
    except NoAddress:
        return Finished(candidate.key, State.SKIPPED, SKIPPED_NO_ADDRESS)
    except ContactFailure as error:
        return Finished(candidate.key, State.FAILED, str(error))
    held = None if now is None else held_back(channel, terms, candidate, now)
    return held or Prepared(candidate, message)


def held_back(
    channel: Channel, terms: Terms, candidate: Candidate, now: datetime
) -> Finished | None:
    """Return the outcome of a message to a contact whose quiet hours it is, else None."""
    hours = terms.policies.quiet_hours
    if hours is None or channel.addressed_to is not Audience.CONTACT:
        return None
    until = quiet_until(hours, candidate.fields or {}, terms.zone, now)
    if until is None:
        return None
    return Finished(candidate.key, State.HELD, HELD_QUIET_HOURS, held_until=until)


def _why_skip(channel: Channel, terms: Terms, candidate: Candidate) -> str | None:
    for action, row in candidate.before.items():
        if row is None or row.state is not State.DELIVERED:
            return f"{SKIPPED_AFTER}: {action} {row.state if row else 'not planned'}"
    if candidate.fields is None:
        return SKIPPED_NOT_FOUND
    if not candidate.passes_if:
        return SKIPPED_IF
    share = terms.policies.holdout
    if share is not None and is_held_out(terms.workflow, candidate.contact_id, share):
        return SKIPPED_HOLDOUT
    if channel.addressed_to is Audience.CONTACT:
        if candidate.opted_in is None:
            return SKIPPED_DELETED
        if not candidate.opted_in:
            return SKIPPED_OPTED_OUT
    if candidate.withdrawn is not None:
        return f"{SKIPPED_RECHECK}: {candidate.withdrawn}"
    return None


def _variables(candidate: Candidate) -> dict[str, Any]:
    results = {action: row.results for action, row in candidate.before.items() if row}
    return {
        "contact": Fields("contact", candidate.fields or {}),
        "change": candidate.change,
        "snapshot": candidate.snapshot,
        "key": candidate.key,
        "results": Fields("results", results),
        "earlier": tuple(candidate.earlier),
    }
