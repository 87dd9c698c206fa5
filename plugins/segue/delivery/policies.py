"""What a careful person might not want acted on: a whole span, or one delivery right now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from segue.delivery.channel import Audience, Channel
from segue.delivery.ledger import (
    SUPPRESSED_BACKFILL,
    SUPPRESSED_MAX_AGE,
    SUPPRESSED_PRUNED,
    DeliveryRow,
    DetectedSpan,
    Ledger,
    OncePerContact,
    StartRules,
    Wishes,
)
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.spans import Stretch
from segue.durations import localize, zone_named
from segue.errors import LedgerError
from segue.segments.kinds import ChangeKind
from segue.workflows.definition import Policies, QuietHours

_PARTS = 1 << 64


def suppressing_policy(
    resolved: ResolvedWorkflow,
    part: Stretch,
    wishes: Wishes,
    now: datetime,
    *,
    record_only: bool,
) -> str | None:
    """Return the policy that keeps a span's deliveries from being released, or None.

    A person who asks for delivery in a run's parameters has decided about its age, too.
    """
    if record_only:
        return SUPPRESSED_BACKFILL
    max_age = resolved.definition.policies.max_age
    if max_age is None or wishes.deliver:
        return None
    oldest = max_age.before(now, resolved.directory.zone)
    return SUPPRESSED_MAX_AGE if part.current.as_of < oldest else None


def bounded(detected: DetectedSpan, ledger: Ledger, workflow: str) -> DetectedSpan:
    """Return what may be recorded of a span: nothing that would be sent twice.

    Where part of it lies before the workflow's watermark, the ledger may have forgotten what was
    sent: all of it is ``suppressed(pruned)``, whatever a person asks of the run. Raises LedgerError
    for an enrolment in a workflow that has a watermark: it would write to old members again.
    """
    watermark = ledger.watermark(workflow)
    if watermark is not None and any(
        change == ChangeKind.ENROLLED for _, change, _ in detected.changes
    ):
        raise LedgerError(
            f"deliveries of {workflow} up to {watermark:%Y-%m-%d} were pruned, so nobody knows "
            "which members it has written to. Enrol them in a workflow of another name"
        )
    if is_pruned(detected.stretch, watermark):
        return replace(detected, suppressed=SUPPRESSED_PRUNED)
    return detected


def is_pruned(stretch: Stretch, watermark: datetime | None) -> bool:
    """Tell whether the ledger may have forgotten what was sent of a span."""
    return watermark is not None and stretch.previous.as_of < watermark


def start_rules(channel: Channel, policies: Policies, zone: ZoneInfo) -> StartRules:
    """Return what the ledger has to check when a call of this channel begins."""
    once = policies.once_per_contact
    to_contact = channel.addressed_to is Audience.CONTACT
    return StartRules(
        channel.name,
        channel.addressed_to,
        None if once is None else OncePerContact(None if once == "ever" else once, zone),
        policies.frequency_cap.get(channel.name) if to_contact else None,
    )


def waited_too_long(row: DeliveryRow, policies: Policies, zone: ZoneInfo, now: datetime) -> bool:
    """Tell whether a delivery was held back by quiet hours for longer than they allow."""
    hours = policies.quiet_hours
    if hours is None or row.held_since is None:
        return False
    return hours.expires.after(row.held_since, zone) < now


def is_held_out(workflow: str, contact_id: str, share: float) -> bool:
    """Tell whether a contact belongs to the share that a workflow never acts on.

    It is the same contacts every time: by SHA-256 of the JSON array [workflow, contact id].
    """
    text = json.dumps([workflow, contact_id], ensure_ascii=False, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    return number < share * _PARTS


def quiet_until(
    hours: QuietHours, fields: Mapping[str, Any], zone: ZoneInfo, now: datetime
) -> datetime | None:
    """Return when the quiet hours end that ``now`` lies in, or None.

    ``fields`` are the contact's, ``zone`` is the directory's.
    """
    local = now.astimezone(_zone_of(hours, fields, zone))
    clock = local.time().replace(tzinfo=None)
    overnight = hours.begin > hours.end
    inside = (
        hours.begin <= clock or clock < hours.end
        if overnight
        else (hours.begin <= clock < hours.end)
    )
    if not inside:
        return None
    days = 1 if overnight and clock >= hours.begin else 0
    wall = datetime.combine(local.date() + timedelta(days=days), hours.end)
    ends = localize(wall, ZoneInfo(str(local.tzinfo)))
    return max(ends, now.astimezone(UTC) + timedelta(seconds=1))  # the hour that clocks repeat


def _zone_of(hours: QuietHours, fields: Mapping[str, Any], zone: ZoneInfo) -> ZoneInfo:
    own = fields.get(hours.timezone_field) if hours.timezone_field else None
    own_zone = zone_named(own) if isinstance(own, str) else None
    if own_zone is not None:
        return own_zone
    return ZoneInfo(hours.timezone) if hours.timezone else zone
