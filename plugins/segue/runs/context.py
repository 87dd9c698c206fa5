"""What the steps of a run decide with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot, usable_snapshots
from segue.errors import RunHalted
from segue.ledger import Ledger
from segue.ledger.facts import RecordedRun, RecordedSpan, Run, Wishes
from segue.segments.expectations.remembered import Expectations
from segue.workflows.resolved import ResolvedWorkflow

NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run of a workflow, with the ledger, the time and what a person asked of it."""

    resolved: ResolvedWorkflow
    run: Run
    ledger: Ledger
    now: datetime  # UTC
    wishes: Wishes = NO_WISHES
    state: str | None = None  # the folder that remembers which snapshots are as expected

    @property
    def directory(self) -> DirectoryDefinition:
        """The directory whose snapshots the run compares."""
        return self.resolved.directory

    @property
    def records_only(self) -> bool:
        """True where nothing of the run is sent: a backfill that nobody wants delivered."""
        policy = self.resolved.definition.policies.backfill
        return self.run.is_backfill and policy == "record" and not self.wishes.deliver

    @property
    def expectations(self) -> Expectations:
        """What judges whether snapshots are as their directory expects."""
        return Expectations(self.state, self.quarantine_reasons)

    def quarantine_reasons(self) -> Mapping[str, str]:
        """Return the directory's quarantined snapshots, by key, and why."""
        return self.ledger.people.quarantined(self.directory.full_name)

    def usable_snapshots(self) -> list[Snapshot]:
        """List the directory's snapshots that a run may use: on object storage, a request."""
        usable = usable_snapshots(self.directory, self.quarantine_reasons(), now=self.now)
        until = self.run.until
        return [item for item in usable if until is None or item.as_of <= until]

    def find_record(self) -> RecordedRun | None:
        """Return what the ledger holds of the run, or None."""
        return self.ledger.runs.find_run(self.run.workflow, self.run.run_id)

    def record(self) -> RecordedRun:
        """Return the same; raise RunHalted where there is nothing."""
        record = self.find_record()
        if record is None:
            raise RunHalted("detect_changes has not recorded this run")
        return record

    def live_spans(self, record: RecordedRun) -> list[RecordedSpan]:
        """Return the spans of the recorded run that something may be released of."""
        return [span for span in self.ledger.runs.spans_of(record) if not span.is_withdrawn]
