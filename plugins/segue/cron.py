"""Cron expressions as definitions write them, and the instant from which a schedule counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter
from pydantic import AfterValidator

from segue.durations import localize

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


def _cron(value: str) -> str:
    """Return a cron expression of five fields; ``"@daily"`` and friends become one."""
    expression = PRESETS.get(value, value)
    if value.startswith("@") and value not in PRESETS:
        raise ValueError(f"found {value!r}; allowed: a cron expression or {', '.join(PRESETS)}")
    random = re.search(r"(^|[ ,])[RH]([ ,(/]|$)", expression)  # other times whenever it is asked
    if random or len(expression.split()) != 5 or not _ever_fires(expression):
        raise ValueError(
            f"{value!r} is not a cron expression; allowed: five fields (minute hour day month "
            f'weekday) such as "0 6 * * *", or {", ".join(PRESETS)}'
        )
    return expression


def _ever_fires(expression: str) -> bool:
    try:
        croniter(expression, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except CroniterError:
        return False
    return True


def _start(value: str) -> str:
    try:
        year = datetime.fromisoformat(value).year
    except ValueError:
        year = 0
    if not 1970 <= year <= 2200:
        raise ValueError(f"{value!r} is not a date; allowed: 2026-11-01 or 2026-11-01T06:00")
    return value


Cron = Annotated[str, AfterValidator(_cron)]
Start = Annotated[str, AfterValidator(_start)]


def start_instant(start: str, zone: ZoneInfo) -> datetime:
    """Return a definition's ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
    when = datetime.fromisoformat(start)
    return localize(when, zone) if when.tzinfo is None else when.astimezone(UTC)
