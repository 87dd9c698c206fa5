"""What a command works with: the definitions, the snapshots, the ledger and the clock."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from segue.cli.output import note
from segue.directory.snapshots import (
    Snapshot,
    describe_unkeyed,
    find_snapshot,
    list_snapshots,
    newest_complete,
    unkeyed_folders,
    usable_snapshots,
)
from segue.durations import EARLIEST, parse_duration
from segue.errors import DataError, LedgerError, NotSetUp, SettingsError, SnapshotMissing
from segue.settings import Settings
from segue.workflows.catalog import Catalog, catalog_of

if TYPE_CHECKING:
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.tables import SnapshotTables
    from segue.ledger import Ledger
    from segue.ledger.facts import DetectedSpan


@dataclass(frozen=True)
class Workspace:
    """The settings of one command and what they lead to."""

    settings: Settings
    now: datetime
    drafts: Sequence[Path] = ()  # definitions from elsewhere

    @classmethod
    def open(cls, home: Path | None = None, drafts: Sequence[Path] = ()) -> Workspace:
        """Read the settings; raise SettingsError where the definitions' folder does not exist."""
        settings = Settings.from_environment()
        if home is not None:
            settings = replace(settings, home=home.expanduser().resolve())
        if not settings.home.is_dir():
            raise SettingsError(
                f"{settings.home} is not a folder; --home or SEGUE_HOME names the folder with "
                "directories/, segments/ and workflows/"
            )
        return cls(settings, datetime.now(UTC), [path.resolve() for path in drafts])

    def under(self, profile: str | None) -> Workspace:
        """Return the same under another profile, in the namespace that it says.

        One that says none is in the one in use, or, where that is another profile's, in one of its
        own name.
        """
        if profile == self.settings.profile:
            return self
        profiles = self.catalog.shared.settings.profiles
        of_profiles = {each.namespace for each in profiles.values()}
        in_use = self.settings.namespace
        unsaid = (profile or "default") if in_use in of_profiles else in_use
        own = profiles.get(profile or "")
        namespace = own.namespace if own and own.namespace else unsaid
        settings = replace(self.settings, profile=profile, namespace=namespace)
        return replace(self, settings=settings)

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions."""
        return catalog_of(self.settings, self.drafts)

    def complete_snapshots(self, directory: DirectoryDefinition) -> list[Snapshot]:
        """Return the complete snapshots of a directory that runs may use, in order of time."""
        bad = self.quarantined(directory)
        usable = usable_snapshots(directory, bad, now=self.now)
        return [item for item in usable if item.complete]

    def quarantined(self, directory: DirectoryDefinition) -> dict[str, str]:
        """Return the keys of the quarantined snapshots, and why.

        Empty, with a remark, where the ledger cannot be asked: looking at data needs none.
        """
        from segue.ledger.engine import missing_file

        try:
            url = ledger_url(self.settings)
            if missing_file(url) is not None:
                return {}
            with _opened(url, self.settings) as ledger:
                return ledger.people.quarantined(directory.full_name)
        except NotSetUp:
            return {}
        except (LedgerError, SettingsError) as error:
            note(f"whether snapshots are quarantined is not known: {error}")
            return {}

    def forgotten(self, contact_id: str) -> bool:
        """Tell whether a contact was forgotten; raises SettingsError where nobody can tell.

        So it is where the ledger can be asked, and SEGUE_SECRET does not recognise them.
        """
        from segue.ledger.people.suppressions import SuppressionKind

        with self.ledger_if_any("whether the contact was forgotten") as ledger:
            kinds = ledger.people.suppressed([contact_id]) if ledger else {}
        return kinds.get(contact_id) is SuppressionKind.FORGOTTEN

    def without_forgotten(self, span: DetectedSpan) -> DetectedSpan:
        """Return changes without those of who was forgotten; raises as ``forgotten``."""
        with self.ledger_if_any("whether somebody was forgotten") as ledger:
            return ledger.runs.without_forgotten(span) if ledger else span

    @contextmanager
    def ledger_if_any(self, question: str) -> Iterator[Ledger | None]:
        """Open the ledger; None where there is none, and with a remark where it cannot be asked."""
        from segue.ledger.engine import missing_file

        try:
            url = ledger_url(self.settings)
            ledger = None if missing_file(url) is not None else _open(url, self.settings)
        except NotSetUp:
            ledger = None
        except LedgerError as error:
            note(f"{question} is not known: {error}")
            ledger = None
        try:
            yield ledger
        finally:
            if ledger is not None:
                ledger.engine.dispose()

    def lost_opt_outs(self, tables: SnapshotTables) -> str | None:
        """Say where the complete snapshot before says who opted out and this one does not.

        None where either cannot be read, too: that is told where it is read.
        """
        from segue.segments.consent import lost_opt_outs

        earlier = self.before(tables)
        try:
            return None if earlier is None else lost_opt_outs(earlier, tables)
        except DataError:
            return None

    def before(self, tables: SnapshotTables) -> SnapshotTables | None:
        """Return the complete snapshot before another one, of those that runs may use.

        None where its files are broken, too.
        """
        from segue.directory.tables import SnapshotTables, readable

        directory = tables.directory
        usable = usable_snapshots(directory, self.quarantined(directory), now=self.now)
        previous = newest_complete(usable, before=tables.snapshot.as_of)
        return None if previous is None else readable(SnapshotTables(directory, previous))

    def period(
        self, directory: DirectoryDefinition, first: str | None, last: str | None
    ) -> list[Snapshot]:
        """Return the complete snapshots from ``first`` to ``last``, both included, in order."""
        snapshots = self.complete_snapshots(directory)
        if first is not None:
            begin = find_snapshot(directory, first, now=self.now)
            snapshots = [item for item in snapshots if not item < begin]
        if last is not None:
            end = find_snapshot(directory, last, now=self.now)
            snapshots = [item for item in snapshots if not end < item]
        if first is not None and last is not None and not begin < end:
            raise SettingsError(f"--from {begin.key} must be earlier than {end.key}")
        return snapshots

    def snapshot(self, directory: DirectoryDefinition, key: str | None) -> Snapshot:
        """Return the snapshot ``key``, or the newest complete one; raise SnapshotMissing."""
        if key is not None:
            return find_snapshot(directory, key, now=self.now)
        complete = self.complete_snapshots(directory)
        if not complete:
            raise SnapshotMissing(self.why_none(directory))
        note(f"at {complete[-1].key}, the newest complete snapshot")
        return complete[-1]

    def why_none(self, directory: DirectoryDefinition) -> str:
        """Say that a directory has no complete snapshot to use, and why its newest is none."""
        reasons = [f"directory {directory.directory} has no complete snapshot yet"]
        for newest in list_snapshots(directory, now=self.now)[-1:]:
            why = "quarantined" if newest.complete else f"not: {newest.why_incomplete}"
            reasons.append(f"{newest.key} is {why}")
        others = describe_unkeyed(unkeyed_folders(directory))
        return "; ".join([*reasons, others] if others else reasons)

    def pair(
        self, directory: DirectoryDefinition, previous: str | None, current: str | None
    ) -> tuple[Snapshot | None, Snapshot]:
        """Return (previous, current); what is not named is the newest, and the one before it."""
        end = self.snapshot(directory, current)
        if previous is not None:
            begin = self.snapshot(directory, previous)
            if not begin < end:
                raise SettingsError(f"--from {begin.key} must be earlier than {end.key}")
            return begin, end
        earlier = [item for item in self.complete_snapshots(directory) if item < end]
        if earlier:
            note(f"from {earlier[-1].key}, the complete snapshot before it")
        return (earlier[-1] if earlier else None), end


@contextmanager
def reading_ledger(settings: Settings | None = None) -> Iterator[Ledger | None]:
    """Open the ledger, the environment's by default; None, said on stderr, where there is no file.

    Raises LedgerError for whatever goes wrong with the database meanwhile.
    """
    from segue.ledger.engine import missing_file

    settings = settings or Settings.from_environment()
    url = ledger_url(settings)
    missing = missing_file(url)
    if missing is not None:
        note(
            f"there is no ledger at {missing} yet: nothing is recorded. SEGUE_LEDGER names "
            "another; without it, the ledger is segue.db in AIRFLOW_HOME"
        )
        yield None
        return
    with _opened(url, settings) as ledger:
        _tell_of_other_namespaces(ledger, settings)
        yield ledger


@contextmanager
def writing_ledger(settings: Settings | None = None) -> Iterator[Ledger]:
    """Open the ledger, the environment's by default; raise LedgerError where there is no file yet.

    A new file beside the one that runs use would take a person's word and have no effect.
    """
    from segue.ledger.engine import missing_file

    settings = settings or Settings.from_environment()
    url = ledger_url(settings)
    missing = missing_file(url)
    if missing is not None:
        raise LedgerError(
            f"there is no ledger at {missing}. SEGUE_LEDGER names another; without it, the ledger "
            "is segue.db in AIRFLOW_HOME. Before the first run, segue db upgrade makes it"
        )
    with _opened(url, settings) as ledger:
        _tell_of_other_namespaces(ledger, settings)
        yield ledger


def _tell_of_other_namespaces(ledger: Ledger, settings: Settings) -> None:
    """Remark on a namespace of which the ledger has nothing: a stop in it would stop nobody."""
    others = ledger.runs.foreign_namespaces()
    if others and settings.new_namespace != settings.namespace:
        note(
            f"SEGUE_NAMESPACE is {settings.namespace}, under which this ledger has no run; it has "
            f"some under {', '.join(others)}"
        )


def require_workflow(name: str, ledger: Ledger | None) -> None:
    """Raise DefinitionError for a workflow that is neither defined nor known to the ledger."""
    if ledger is None or name not in ledger.queries.workflow_names():
        Workspace.open().catalog.location("workflows", name)


def this_second() -> datetime:
    """Return the time to note beside what a person does: nobody reads its microseconds."""
    return datetime.now(UTC).replace(microsecond=0)


def ago(text: str) -> datetime:
    """Return when it was, a duration such as ``7d`` ago; ValueError says what is allowed."""
    instant = parse_duration(text).before(datetime.now(UTC), ZoneInfo("UTC"))
    if instant == EARLIEST:
        raise ValueError(f"{text} ago is before the year 1")
    return instant


def person() -> str:
    """Return who runs this command, ``user@host``, as the ledger notes it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        user = f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def _open(url: str, settings: Settings) -> Ledger:
    from segue.ledger import Ledger

    return Ledger.open(url, settings.namespace, settings.secret)


@contextmanager
def _opened(url: str, settings: Settings) -> Iterator[Ledger]:
    ledger = _open(url, settings)
    try:
        yield ledger
    finally:
        ledger.engine.dispose()


def ledger_url(settings: Settings) -> str:
    """Return the ledger's URL; that of ``airflow://conn_id`` is looked up as far as one can here.

    Raises SettingsError for a connection that only Airflow's own processes know.
    """
    scheme, _, connection = settings.ledger.partition("://")
    if scheme != "airflow":
        return settings.ledger
    from segue.operators.environment import ledger_url as url_of_connection  # brings Airflow

    unknown = (
        f"only Airflow's tasks can look the connection {connection!r} up: the command line sees "
        "those of environment variables and of a secrets backend, and none that is stored in "
        f"Airflow's database. Define AIRFLOW_CONN_{connection.upper()} here, too, or set "
        "SEGUE_LEDGER to the database's own URL, such as postgresql://user:password@host/database"
    )
    return url_of_connection(settings.ledger, unknown)
