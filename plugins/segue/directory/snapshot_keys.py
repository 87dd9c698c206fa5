"""The keys of snapshots: how folders spell them, and the instants that they stand for."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import unquote

from segue.directory.definition import DirectoryDefinition
from segue.durations import localize
from segue.errors import SettingsError

ALLOWED_KEYS = "a date such as 2026-11-22, or a time such as 2026-11-22T06:00:00Z"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?(Z|[+-]\d{2}(:?\d{2})?)?"
)
_FOLDER = re.compile(r"(?:(?:snapshot|ds|dt|date|day)=)?(?P<key>.+)", re.IGNORECASE)


def parse_key(directory: DirectoryDefinition, text: str) -> tuple[str, datetime] | None:
    """Return the canonical key and the as-of of a key in any spelling; None if it is no key.

    A time without an offset is in the directory's zone.
    """
    try:
        if _DATE.fullmatch(text):
            return text, _as_of_date(directory, date.fromisoformat(text))
        if _TIME.fullmatch(text):
            return _canonical_time(directory, datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # 30 February, or beyond the calendar
        return None
    return None


def require_key(directory: DirectoryDefinition, text: str) -> tuple[str, datetime]:
    """Return what ``parse_key`` does; raise SettingsError, with what is allowed, for no key."""
    key_and_instant = parse_key(directory, text)
    if key_and_instant is None:
        raise SettingsError(
            f"directory {directory.directory}: {text!r} is not a snapshot key; "
            f"allowed: {ALLOWED_KEYS}"
        )
    return key_and_instant


def key_of_folder(directory: DirectoryDefinition, folder: str) -> tuple[str, datetime] | None:
    """Return what ``parse_key`` does of a folder's name, such as ``ds=2026-11-22``."""
    match = _FOLDER.fullmatch(folder)
    return parse_key(directory, unquote(match["key"])) if match else None


def _as_of_date(directory: DirectoryDefinition, day: date) -> datetime:
    first = day + timedelta(days=1) if directory.date_keys == "end_of_day" else day
    return localize(datetime.combine(first, time.min), directory.zone)


def _canonical_time(directory: DirectoryDefinition, when: datetime) -> tuple[str, datetime]:
    instant = when.astimezone(UTC) if when.tzinfo else localize(when, directory.zone)
    return instant.isoformat().replace("+00:00", "Z"), instant
