"""What a careful person might not want sent right now: one delivery at the door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from segue.contracts.channel import Audience, Channel
from segue.durations import localize, zone_named
from segue.ledger.facts import DeliveryRow, OncePerContact, StartRules
from segue.workflows.definition import Policies
from segue.workflows.times_of_day import WEEKDAYS, QuietHours, Wait

_PARTS = 1 << 64
_DAYS_OF_A_WEEK = 7


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
    return _number(workflow, contact_id) < share * _PARTS


def arm_of(workflow: str, contact_id: str, arms: Mapping[str, float]) -> str:
    """Return the arm of a workflow's split that a contact belongs to, whatever the change.

    By SHA-256 of the JSON array [workflow, "split", contact id], as a share of all numbers that
    there are; the arms take theirs in the order of their names. ``arms`` are shares by name.
    """
    number, bound, arm = _number(workflow, "split", contact_id), 0.0, ""
    for arm, share in sorted(arms.items()):
        bound += share
        if number < bound * _PARTS:
            return arm
    return arm


def _number(*words: str) -> int:
    text = json.dumps(words, ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


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


def wait_end(wait: Wait, begin: datetime, fields: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    """Return when a wait is over that begins at ``begin``; it is an instant in UTC.

    ``fields`` are the contact's, ``zone`` is the directory's.
    """
    earliest = wait.duration.after(begin, zone) if wait.duration else begin.astimezone(UTC)
    own_zone = _zone_of(wait, fields, zone)
    first_day = earliest.astimezone(own_zone).date()
    days = (first_day + timedelta(days=number) for number in range(_DAYS_OF_A_WEEK + 1))
    instants = (
        _instant_on(day, wait, own_zone, earliest)
        for day in days
        if wait.on is None or WEEKDAYS[day.weekday()] in wait.on
    )
    return next(instant for instant in instants if instant >= earliest)


def _instant_on(day: date, wait: Wait, zone: ZoneInfo, earliest: datetime) -> datetime:
    """Return the instant of a day at which a wait may be over; without ``at``, the day's first."""
    instant = localize(datetime.combine(day, wait.at or time()), zone)
    return instant if wait.at else max(instant, earliest)


def _zone_of(hours: QuietHours | Wait, fields: Mapping[str, Any], zone: ZoneInfo) -> ZoneInfo:
    own = fields.get(hours.timezone_field) if hours.timezone_field else None
    own_zone = zone_named(own) if isinstance(own, str) else None
    if own_zone is not None:
        return own_zone
    return ZoneInfo(hours.timezone) if hours.timezone else zone
