"""The operator that takes a directory's snapshots itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from segue.airflow_compat import AirflowSkipException
from segue.directory.definition import DirectoryDefinition
from segue.operators.failures import shown_plainly
from segue.operators.lineage import TellsLineage, tables_read

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.runs.lineage import Lineage
    from segue.takes.moments import Moment
    from segue.takes.reader import TakeReader


def snapshot_asset(directory: str) -> Asset:
    """Return the asset that stands for a directory's snapshots; publishing one updates it.

    A directory of a project is named ``PROJECT/DIRECTORY``.
    """
    project, _, name = directory.rpartition("/")
    place = f"directory/{name}/snapshots"
    place = f"project/{project}/{place}" if project else place
    return Asset(name=f"segue_snapshots_{directory.replace('/', '.')}", uri=f"segue://{place}")


class TakeSnapshot(TellsLineage, BaseOperator):
    """Read the directory's tables as of the run's time, and publish them as a snapshot.

    Leaves one that is there as it is, unless the run's parameter ``replace`` says otherwise. Skips
    itself, saying why, where the tables know only the present and the run's time is over.
    """

    ui_color = "#d9ead3"

    def __init__(self, *, directory: DirectoryDefinition, **kwargs: Any) -> None:
        asset = snapshot_asset(directory.full_name)
        super().__init__(**{"outlets": [asset], **kwargs})
        self.directory = directory

    @shown_plainly
    def execute(self, context: Context) -> str:
        """Return the snapshot's key."""
        from segue.takes.take import take_snapshot

        params = context["params"]
        now = datetime.now(UTC)
        moment = self._moment(context, params.get("key"), now)
        result = take_snapshot(
            self.directory,
            moment,
            self._connect(),
            replaces=bool(params.get("replace")),
            remark=partial(self.log.info, "%s"),
        )
        self.log.info("%s", result)
        if result.is_own:
            self.lineage = self._lineage(result.key)
        return result.key

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
