"""The operator that takes a directory's snapshots itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from segue.airflow_compat import AirflowSkipException
from segue.directory.definition import DirectoryDefinition
from segue.errors import LedgerError, NotSetUp, SettingsError
from segue.operators.failures import shown_plainly
from segue.operators.lineage import TellsLineage, tables_read
from segue.operators.snapshot_event import announce, snapshot_asset

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.runs.lineage import Lineage
    from segue.takes.moments import Moment
    from segue.takes.reader import TakeReader
    from segue.takes.take import TakeResult


class TakeSnapshot(TellsLineage, BaseOperator):
    """Read the directory's tables as of the run's time, and publish them as a snapshot.

    Leaves one that is there as it is, unless the run's parameter ``replace`` says otherwise. Skips
    itself, saying why, where the tables know only the present and the run's time is over.
    """

    ui_color = "#d9ead3"

    def __init__(
        self, *, directory: DirectoryDefinition, project: str | None = None, **kwargs: Any
    ) -> None:
        asset = snapshot_asset(directory.full_name)
        super().__init__(**{"outlets": [asset], **kwargs})
        self.directory = directory
        self.project = project  # None: of the process's settings

    @shown_plainly
    def execute(self, context: Context) -> str:
        """Return the snapshot's key."""
        from segue.operators.environment import settings_of
        from segue.takes.take import take_snapshot
        from segue.workflows.catalog import catalog_of

        params = context["params"]
        now = datetime.now(UTC)
        moment = self._moment(context, params.get("key"), now)
        result = take_snapshot(
            self.directory,
            moment,
            self._connect(),
            replaces=bool(params.get("replace")),
            definitions=catalog_of(settings_of(context, self.project)),
            quarantined=self._quarantined(),
            remark=partial(self.log.info, "%s"),
        )
        self.log.info("%s", result)
        self._announce(context, result)
        if result.is_own:
            self.lineage = self._lineage(result.key)
        return result.key

    def _quarantined(self) -> Collection[str]:
        """Return the snapshots that it is not compared with.

        None where the ledger cannot be asked: what knows only the present cannot be taken later.
        """
        from segue.operators.environment import present_ledger
        from segue.takes.take import unusable_snapshots

        try:
            return unusable_snapshots(self.directory, present_ledger())
        except NotSetUp:
            return ()
        except (LedgerError, SettingsError) as error:
            self.log.warning("whether snapshots are quarantined is not known: %s", error)
            return ()

    def _announce(self, context: Context, result: TakeResult) -> None:
        """Tell of a snapshot that is there, be it this take's or not.

        A take that was ended between manifest and event is followed by one that finds the snapshot;
        whoever has followed an event of it already finds its time covered.
        """
        own = {"rows": result.rows, "seconds": result.seconds} if result.is_own else {}
        announce(context, self.directory.full_name, result.key, **own)

    def _lineage(self, key: str) -> Lineage:
        from segue.runs.lineage import Lineage, snapshot

        assert self.directory.take is not None
        return Lineage(tables_read(self.directory.take), [snapshot(self.directory, key)])

    def _moment(self, context: Context, key: str | None, now: datetime) -> Moment:
        from segue.operators.environment import interval_of
        from segue.takes.moments import moment_of_key, moment_of_run

        if key:
            return moment_of_key(self.directory, key, now)
        interval = interval_of(context)
        moment, why_not = moment_of_run(self.directory, interval[1] if interval else None, now)
        if moment is None:
            raise AirflowSkipException(why_not)
        return moment

    def _connect(self) -> Callable[[], AbstractContextManager[TakeReader]]:
        from segue.operators.databases import opened_for

        assert self.directory.take is not None
        return partial(opened_for, self.directory.take)


class KeepSnapshots(BaseOperator):
    """Delete the directory's snapshots that are older than its ``keep`` says, and nobody needs.

    Skips itself where there is no ledger to tell what is needed.
    """

    ui_color = "#e2f0d9"

    def __init__(self, *, directory: DirectoryDefinition, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.directory = directory

    @shown_plainly
    def execute(self, context: Context) -> list[str]:
        """Return the keys of the snapshots that were deleted."""
        from segue.operators.environment import present_ledger
        from segue.upkeep.thinning import delete_snapshot, plan_thinning

        try:
            ledger = present_ledger()
        except NotSetUp as error:
            raise AirflowSkipException(f"nothing is deleted: {error}") from None
        plan = plan_thinning(self.directory, ledger, datetime.now(UTC))
        for key, reason in plan.exceptions.items():
            self.log.info("snapshot %s is old and stays: %s", key, reason)
        for snapshot in plan.removals:
            delete_snapshot(snapshot)
            self.log.info("snapshot %s is deleted", snapshot.key)
        return [snapshot.key for snapshot in plan.removals]
