"""The judgement of the door: which candidates get a message now, and which message.

It needs no connection and no ledger, so that previews come to the same answer as the door
(``segue.delivery.door``).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from segue.contracts.channel import Audience, Channel, NoAddress
from segue.contracts.template_values import Fields, in_one_line
from segue.delivery.candidates import Candidate
from segue.delivery.policies import arm_of, is_held_out, quiet_until, wait_end
from segue.errors import ContactFailure, TemplateAway, log_defect
from segue.ledger.delivery_keys import message_key
from segue.ledger.facts import DeliveryRow, Finished
from segue.ledger.reasons import Reason, after
from segue.ledger.states import State
from segue.segments.kinds import ChangeKind
from segue.workflows.definition import Action, Policies
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.times_of_day import Pace, Wait

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a workflow asks of all messages of an action. ``zone`` is its directory's.

    With ``digest`` they are one message; ``link`` is what its template sees as ``digest.link``.
    """

    workflow: str
    policies: Policies = field(default_factory=Policies)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    variables: Mapping[str, Any] = field(default_factory=dict)  # the same for every contact
    digest: bool = False
    link: str = "‹digest.link›"  # a placeholder, as previews show it
    wait: Wait | None = None
    waits: bool = False  # it, or an action before it
    split: Mapping[str, float] = field(default_factory=dict)  # shares of contacts, by arm
    pace: Pace | None = None
    only: Sequence[str] = ()  # the arms that the action is for, if not for all

    @classmethod
    def of(cls, resolved: ResolvedWorkflow, action: Action) -> Self:
        """Return the terms of one action of a workflow."""
        policies, zone = resolved.definition.policies, resolved.directory.zone
        return cls(
            resolved.name,
            policies,
            zone,
            resolved.variables,
            digest=action.digest,
            wait=action.wait,
            waits=resolved.waits(action),
            split=resolved.definition.split or {},
            only=action.only,
            pace=action.pace,
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to be sent: that of one delivery, or a digest of all its candidates'.

    ``key`` is what the vendor is to know it by: the delivery's key, or that of the digest, which
    says whose digest it is.
    """

    candidates: Sequence[Candidate]
    message: Mapping[str, Any]
    key: str
    language: str | None = None  # that of its texts, where they have several

    @property
    def keys(self) -> list[str]:
        """The keys of its deliveries."""
        return [candidate.key for candidate in self.candidates]


def judge(
    channel: Channel, terms: Terms, candidates: Iterable[Candidate], now: datetime | None = None
) -> tuple[list[Prepared], list[Finished]]:
    """Split candidates into messages ready to be sent and outcomes that need no call.

    Without ``now`` the time of day holds nothing back. A digest is rendered for each contact alone
    first, so that one who lacks a field is missing from it and fails alone.
    """
    ready: list[Prepared] = []
    outcomes: list[Finished] = []
    for candidate in candidates:
        answer = _judge(channel, terms, candidate, now)
        if isinstance(answer, Prepared):
            ready.append(answer)
        else:
            outcomes.append(answer)
    if terms.digest and ready:
        members = [candidate for item in ready for candidate in item.candidates]
        ready, failures = as_digest(channel, terms, members)
        outcomes += failures
    return ready, outcomes


def as_digest(
    channel: Channel, terms: Terms, members: Iterable[Candidate]
) -> tuple[list[Prepared], list[Finished]]:
    """Return the one message about all members; where it cannot be made, each one's outcome."""
    in_order = sorted(members, key=lambda one: (one.contact_id, one.snapshot, one.change))
    message = _rendered(channel, terms, in_order)
    if isinstance(message, Prepared):
        return [message], []
    return [], [Finished(one.key, *message) for one in in_order]


def message_digest(message: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a rendered message, which the ledger keeps instead of its text."""
    text = json.dumps(message, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def rendered(channel: Channel, terms: Terms, candidate: Candidate) -> Mapping[str, Any]:
    """Return the message to one contact; raise ContactFailure, NoAddress among them."""
    return channel.render({**terms.variables, **_variables(candidate)})


def _judge(
    channel: Channel, terms: Terms, candidate: Candidate, now: datetime | None
) -> Prepared | Finished:
    arm = _other_arm(terms, candidate)
    if arm is not None:
        return Finished(candidate.key, State.SKIPPED, f"{Reason.ARM}: {arm}")
    reason = _why_skip(channel, terms, candidate)
    if reason is not None:
        waits_for = _waits_for(candidate)
        return Finished(candidate.key, State.SKIPPED, reason, waits_for=waits_for)
    if candidate.problem is not None:
        return Finished(candidate.key, State.FAILED, candidate.problem)
    message = _rendered(channel, terms, [candidate])
    if not isinstance(message, Prepared):
        return Finished(candidate.key, *message)
    hold = None if now is None else held_back(channel, terms, candidate, now)
    return hold or message


def _rendered(
    channel: Channel, terms: Terms, candidates: Sequence[Candidate]
) -> Prepared | tuple[State, str]:
    """Return the message, or the outcome of all candidates and its reason."""
    if terms.digest:
        key = message_key(one.key for one in candidates)
        variables = _digest_variables(candidates, terms.link, key)
    else:
        [candidate] = candidates
        key, variables = candidate.key, _variables(candidate)
    try:
        message = channel.render({**terms.variables, **variables})
    except NoAddress:
        return State.SKIPPED, Reason.NO_ADDRESS
    except ContactFailure as error:
        return State.FAILED, str(error)
    except TemplateAway:  # nobody's own: the pass ends, and all of it waits
        raise
    except Exception as error:  # noqa: BLE001 - of any kind: the others' messages go out
        kind = log_defect(log, error, f"in {channel.name}")
        return State.FAILED, f"a defect in the channel {channel.name}: {kind}"
    return Prepared(candidates, message, key, channel.language_of(variables))


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
    return Finished(candidate.key, State.HELD, Reason.QUIET_HOURS, held_until=until)


def waits(
    terms: Terms, candidate: Candidate, row: DeliveryRow, now: datetime, *, in_run: bool
) -> Finished | None:
    """Return that a delivery waits, where its action, or one before it, does.

    It begins to wait with the change, or when the last of the actions before it was delivered;
    until then it waits with that one. In a run it waits whatever the time: what is sent is judged
    when the wait is over, by segue_release alone.
    """
    if not terms.waits or _other_arm(terms, candidate) is not None:
        return None
    other = _waits_for(candidate)
    if other is not None:
        return _waits_with(candidate, other)
    begin = max(filter(None, map(_delivered_at, candidate.before.values())), default=row.event_at)
    end = _wait_end(terms, candidate, begin or now)
    if not in_run and end <= now:
        return None
    return Finished(candidate.key, State.WAITING, Reason.WAIT, held_until=end)


def _waits_with(candidate: Candidate, other: str) -> Finished | None:
    """Return that a delivery waits until the action before it is due, where that one waits."""
    row = candidate.before[other]
    if row is None or row.state is not State.WAITING:
        return None
    return Finished(
        candidate.key, State.WAITING, after(other, row.state), held_until=row.held_until
    )


def _wait_end(terms: Terms, candidate: Candidate, begin: datetime) -> datetime:
    if terms.wait is None:
        return begin
    return wait_end(terms.wait, begin, candidate.fields or {}, terms.zone)


def _delivered_at(row: DeliveryRow | None) -> datetime | None:
    """Return when an action was delivered; what another run sent counts as of its own plan."""
    return (row.delivered_at or row.planned_at) if row else None


def _why_skip(channel: Channel, terms: Terms, candidate: Candidate) -> str | None:
    waits_for = _waits_for(candidate)
    if waits_for is not None:
        row = candidate.before[waits_for]
        return after(waits_for, row.state if row else None)
    reason = _not_meant(terms, candidate)
    if reason is None and channel.addressed_to is Audience.CONTACT:
        reason = _no_consent(candidate)
    if reason is None and candidate.withdrawn is not None:
        reason = f"{Reason.RECHECK}: {candidate.withdrawn}"
    return reason


def _other_arm(terms: Terms, candidate: Candidate) -> str | None:
    """Return the arm of the split that a contact is in, where the action is not for that one."""
    if not terms.only or not terms.split:
        return None
    arm = arm_of(terms.workflow, candidate.contact_id, terms.split)
    return None if arm in terms.only else arm


def _waits_for(candidate: Candidate) -> str | None:
    """Return the first action before this one that is not delivered, or None."""
    for action, row in candidate.before.items():
        if row is None or (row.state is not State.DELIVERED and row.reason != Reason.SENT_BEFORE):
            return action
    return None


def _not_meant(terms: Terms, candidate: Candidate) -> str | None:
    if candidate.fields is None:
        return Reason.NOT_FOUND
    if candidate.has_left:
        return Reason.LEFT
    if not candidate.passes_if:
        return Reason.IF
    share = terms.policies.holdout
    if share is not None and is_held_out(terms.workflow, candidate.contact_id, share):
        return Reason.HOLDOUT
    return None


def _no_consent(candidate: Candidate) -> str | None:
    if candidate.opted_in is None:
        return Reason.DELETED
    return None if candidate.opted_in else Reason.OPTED_OUT


def _variables(candidate: Candidate) -> dict[str, Any]:
    return {
        "contact": Fields("contact", candidate.fields or {}),
        "change": candidate.change,
        "snapshot": candidate.snapshot,
        "key": candidate.key,
        "results": Fields("results", _results(candidate)),
        "earlier": tuple(candidate.earlier),
    }


def _digest_variables(members: Sequence[Candidate], link: str, key: str) -> dict[str, Any]:
    contacts = [
        Fields(
            "contact",
            {
                **in_one_line(one.fields or {}),
                "change": one.change,
                "snapshot": one.snapshot,
                "results": in_one_line(_results(one)),
            },
        )
        for one in members
    ]
    totals = Counter(one.change for one in members)
    counts = {str(kind): totals[kind] for kind in ChangeKind}
    facts = {"contacts": contacts, "count": len(contacts), "counts": counts, "link": link}
    return {
        "digest": Fields("digest", facts),
        "snapshot": max(one.snapshot for one in members),
        "key": key,
    }


def _results(candidate: Candidate) -> Mapping[str, Mapping[str, str]]:
    return {action: row.results for action, row in candidate.before.items() if row}
