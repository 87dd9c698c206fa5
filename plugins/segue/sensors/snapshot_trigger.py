"""Watching for news of a directory's snapshots in Airflow's triggerer, without a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots

_MOST = 30  # snapshots, the newest ones, that are asked whether they are complete
_SECONDS = 60  # between two looks
# that a directory takes its own snapshots is all that listing them asks of ``take``
_A_TAKE: Mapping[str, Any] = {
    "connection": "unused",
    "start": "2000-01-01",
    "tables": {"contacts": {"table": "unused", "knows": "now"}},
}


class SnapshotTrigger(BaseTrigger):
    """Fires once snapshots are complete that were not, or at ``until``; the task decides anew.

    ``directory`` is the definition as JSON, ``complete`` the keys that are complete already, and
    of those that matter ``since`` bounds the as-of. Instants are texts, in ISO 8601.
    """

    def __init__(
        self,
        directory: Mapping[str, Any],
        complete: Sequence[str],
        until: str,
        since: str | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.directory, self.complete = dict(directory), list(complete)
        self.until, self.since, self.seconds = until, since, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, as Airflow's database has them."""
        names = ("directory", "complete", "until", "since", "seconds")
        arguments = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the directory every minute; what cannot be listed is left to the task to tell."""
        directory = DirectoryDefinition.model_validate(self.directory)
        since = datetime.fromisoformat(self.since) if self.since else None
        until, news = datetime.fromisoformat(self.until), False
        while not news and datetime.now(UTC) < until:
            remainder = (until - datetime.now(UTC)).total_seconds()
            await asyncio.sleep(max(0.0, min(self.seconds, remainder)))
            keys = await asyncio.to_thread(complete_keys, directory, since)
            news = not set(keys) <= set(self.complete)
        yield TriggerEvent({"news": news})  # type: ignore[no-untyped-call]


def listed_by(directory: DirectoryDefinition) -> Mapping[str, Any]:
    """Return what lists a directory's snapshots, as JSON; its queries may be in files elsewhere."""
    left_out = {"take", "expect"} | (set() if directory.lake is None else {"snapshots"})
    content = directory.model_dump(mode="json", by_alias=True, exclude=left_out)
    return content if directory.take is None else {**content, "take": _A_TAKE}


def complete_keys(directory: DirectoryDefinition, since: datetime | None) -> list[str]:
    """Return the keys of complete snapshots whose as-of is after ``since``, the newest thirty."""
    snapshots = list_snapshots(directory, now=datetime.now(UTC))
    snapshots = [item for item in snapshots if since is None or item.as_of > since]
    return [item.key for item in snapshots[-_MOST:] if item.complete]
