"""Which snapshot a take is of: its key and its as-of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from segue.cron import last_tick, next_tick
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_keys import require_key
from segue.durations import localize
from segue.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Moment:
    """What a snapshot is called, and the first instant that it does not know (aware, UTC)."""

    key: str
    as_of: datetime


def moment_of_tick(directory: DirectoryDefinition, tick: datetime) -> Moment:
    """Return what the schedule's ``tick`` takes: the time itself, or the day that was over then."""
    assert directory.take is not None
    if not directory.take.names_days:
        return _at(tick)
    today = tick.astimezone(directory.zone).date()
    midnight = localize(datetime.combine(today, time.min), directory.zone)
    return Moment((today - timedelta(days=1)).isoformat(), midnight)


def moment_of_run(
    directory: DirectoryDefinition, tick: datetime | None, now: datetime
) -> tuple[Moment | None, str]:
    """Return what a run takes, or None and why it takes nothing.

    ``tick`` is the schedule's, of a run that has one: a run that a person triggers takes what the
    last tick would have. Of tables that know only the present it takes the present, and nothing
    once a later tick has come.
    """
    assert directory.take is not None
    cron = directory.take.schedule
    if not directory.take.knows_only_now:
        last = tick or (last_tick(cron, now, directory.zone) if cron else now)
        return moment_of_tick(directory, last), ""
    if tick is not None and cron is not None:
        next_time = next_tick(cron, tick, directory.zone)
        if next_time <= now:
            return None, (
                f"the time of this run, {tick:%Y-%m-%dT%H:%M:%SZ}, is over since "
                f"{next_time:%Y-%m-%dT%H:%M:%SZ}: {why_only_now(directory)}"
            )
    return present_moment(now), ""


def moment_of_key(directory: DirectoryDefinition, key: str, now: datetime) -> Moment:
    """Return what a person asked for; SettingsError where it cannot be taken, and why."""
    assert directory.take is not None
    canonical, as_of = require_key(directory, key)
    if directory.take.knows_only_now:
        raise SettingsError(
            f"directory {directory.directory}: a snapshot {canonical} cannot be taken: "
            + why_only_now(directory)
        )
    if as_of > now:
        raise SettingsError(
            f"directory {directory.directory}: the as-of of {canonical} is "
            f"{as_of:%Y-%m-%dT%H:%M:%SZ}, which is to come; allowed: what is over"
        )
    return Moment(canonical, as_of)


def present_moment(now: datetime) -> Moment:
    """Return what is taken of tables that know only the present: whole seconds that are over."""
    return _at(now)


def why_only_now(directory: DirectoryDefinition) -> str:
    """Say which tables know only the present."""
    assert directory.take is not None
    tables, source = directory.take.only_now, directory.take.source
    how = "`knows: now`" if len(tables) == 1 else "each `knows: now`"
    if source is not None:
        how = f"of {source.name}, which knows only the present"
    return (
        f"{', '.join(tables)} ({how}) would give it the rows of the present under the name of the "
        "past"
    )


def _at(instant: datetime) -> Moment:
    as_of = instant.astimezone(UTC).replace(microsecond=0)
    return Moment(as_of.isoformat().replace("+00:00", "Z"), as_of)
