"""What has changed since the last export: no row twice, and none that a late commit would hide.

A time cannot tell it: a row that is written earlier may be committed later, and clocks differ. Each
row has the number under which it was last written (``changed_in``), and an export takes the rows
from the last one's ``number`` up to its own.

On PostgreSQL that is the id of the transaction, and an export's number the oldest one that has not
ended: whatever is below it is committed, and whatever comes later is not below it. On SQLite there
is one writer at a time: an export counts the number up in a transaction of its own, so that
whatever was written before has a smaller one.

Numbers of transactions begin anew where a ledger is put on another server of PostgreSQL: a new
*era*, in which everything is exported once more. That happened where a row is not of the
transaction that it says it was written by. A ledger that is put back from a backup does not know
the token of the last export, and exports everything once more, too.
"""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, literal_column, or_, select, update

from segue.errors import LedgerError, SettingsError
from segue.ledger.base import lock_deliveries
from segue.ledger.delivery_keys import keyed_digest
from segue.ledger.engine import reachable
from segue.ledger.feed_columns import FEED, OF_CONTACTS, FeedTable
from segue.ledger.people.suppressions import SuppressionRows
from segue.ledger.retention.forgetting import PSEUDONYM
from segue.ledger.schema import (
    changes,
    deliveries,
    feed_clock,
    feeds,
    present_number,
    runs,
    spans,
    suppressions,
)

_ROWS_AT_ONCE = 10_000
_XIDS = 2**32  # PostgreSQL's rows have the last 32 bits of their transaction's id
_EVERYTHING = -1
_NUMBERED: Sequence[Table] = (runs, spans, changes)


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where a destination has a ledger's changes; it is kept at the destination."""

    ledger: str  # which ledger
    era: int
    number: int  # what is written under a smaller one is there
    token: str  # of the export that wrote the mark
    forgotten: str  # which forgotten contacts are erased there: a digest of all of them


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The contacts that were forgotten: who is one of them can be told, but not who they were."""

    namespace: str
    secret: str
    digests: frozenset[str]

    def __contains__(self, contact_id: str) -> bool:
        is_pseudonym = contact_id.startswith(PSEUDONYM)
        return not is_pseudonym and (
            keyed_digest(self.secret, self.namespace, contact_id) in self.digests
        )

    @property
    def fingerprint(self) -> str:
        """Return what differs as soon as one more is forgotten."""
        return keyed_digest("", *sorted(self.digests)) if self.digests else ""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one export takes: what was written from ``since`` up to ``mark.number``."""

    connection: Connection
    namespace: str
    since: int
    mark: Mark
    forgotten: Forgotten

    @property
    def is_whole(self) -> bool:
        """Tell whether it has everything, and not what came since an earlier one."""
        return self.since == _EVERYTHING

    def batches(
        self, table: FeedTable, changed_since: datetime | None = None
    ) -> Iterator[Sequence[Row[Any]]]:
        """Yield the rows, with the columns of ``table``, in no order; memory is bounded.

        ``changed_since`` leaves out what changed before it. What a contact is in that is forgotten,
        and not erased yet, comes later, under its pseudonym.
        """
        query = _query(table).where(
            table.namespace == self.namespace,
            table.changed_in >= self.since,
            table.changed_in < self.mark.number,
        )
        if changed_since is not None:
            query = query.where(table.changed_at >= changed_since)
        options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
        rows = self.connection.execution_options(**options).execute(query)
        for batch in rows.partitions():
            yield self._without_forgotten(batch) if table.name in OF_CONTACTS else batch

    def _without_forgotten(self, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
        if not self.forgotten.digests:
            return rows
        return [row for row in rows if row.contact_id not in self.forgotten]


class ChangeFeed(SuppressionRows):
    """What is exported, and up to where."""

    @contextmanager
    def export(self, destination: str, look: Callable[[], Mark | None]) -> Iterator[Slice]:
        """Give what an export has to take, while no other goes to the same ``destination``.

        ``look`` returns the mark that the destination has. Raises LedgerError while another export
        goes there, and SettingsError where the destination has the changes of another ledger.
        """
        era = self._present_era()
        with self._alone(destination) as connection:
            mark, token = look(), uuid.uuid4().hex
            ledger, number, is_known = self._begin(destination, mark, token)
            if mark is not None and mark.ledger != ledger:
                raise SettingsError(
                    "the destination has what another ledger exported; export to another place, or "
                    "take that away; nothing was exported"
                )
            goes_on = mark is not None and is_known and mark.era == era
            since = mark.number if mark is not None and goes_on else _EVERYTHING
            if number is None:
                number = connection.execute(select(_oldest_open_transaction())).scalar_one()
            forgotten = self._all_forgotten(connection)
            end = Mark(ledger, era, max(number, since), token, forgotten.fingerprint)
            yield Slice(connection, self.namespace, since, end, forgotten)

    @contextmanager
    def _alone(self, destination: str) -> Iterator[Connection]:
        """Open a transaction that sees one state of the ledger, unless another export has one."""
        taken = LedgerError("another export to this destination is under way; nothing was exported")
        if self.engine.dialect.name == "sqlite":
            lock = Path(f"{self.engine.url.database}.export-lock")
            with _locked(lock, taken), self._read() as connection:
                yield connection
            return
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
        with reachable(self.engine), self.engine.connect() as opened:
            connection = opened.execution_options(**options)
            number = func.hashtextextended(f"{self.namespace}/export/{destination}", 0)
            if not connection.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one():
                raise taken
            yield connection

    def _present_era(self) -> int:
        """Return how often numbers began anew; where they just did, renumber what is there."""
        with self._write() as connection:
            connection.execute(
                self._insert(feed_clock).values(_new_clock()).on_conflict_do_nothing()
            )
            is_sqlite = self.engine.dialect.name == "sqlite"
            written_by = literal_column("0") if is_sqlite else _transaction_of_row()
            query = select(feed_clock, written_by.label("xid")).with_for_update(of=feed_clock)
            clock = connection.execute(query).one()
            if is_sqlite or clock.xid == clock.number % _XIDS:
                return int(clock.era)
            values = {"era": clock.era + 1, "number": present_number()}
            connection.execute(update(feed_clock).values(values))
            lock_deliveries(connection, deliveries.c.changed_in > 0)
            for table in (*_NUMBERED, deliveries):
                connection.execute(update(table).where(table.c.changed_in > 0).values(changed_in=0))
            return int(clock.era) + 1

    def _begin(
        self, destination: str, mark: Mark | None, token: str
    ) -> tuple[str, int | None, bool]:
        """Note that an export begins; return the ledger, its number and whether ``mark`` is known.

        The number is None where it has to be read with the rows, as on PostgreSQL.
        """
        with self._write() as connection:
            is_known = mark is not None and self._knows(connection, mark.token)
            values = {"token": token, "previous_token": mark.token if mark else None}
            identity = {"namespace": self.namespace, "destination": destination}
            connection.execute(
                self._insert(feeds)
                .values(**identity, **values)
                .on_conflict_do_update(index_elements=list(identity), set_=values)
            )
            number = None
            if self.engine.dialect.name == "sqlite":
                connection.execute(update(feed_clock).values(number=feed_clock.c.number + 1))
                number = connection.execute(select(feed_clock.c.number)).scalar_one()
            return connection.execute(select(feed_clock.c.ledger)).scalar_one(), number, is_known

    def _knows(self, connection: Connection, token: str) -> bool:
        """Tell whether an export of this ledger wrote a mark, whatever its place was called."""
        is_it = or_(feeds.c.token == token, feeds.c.previous_token == token)
        query = select(feeds.c.token).where(feeds.c.namespace == self.namespace, is_it)
        return connection.execute(query).first() is not None

    def _all_forgotten(self, connection: Connection) -> Forgotten:
        secret = self._secret_in_use(connection)
        if secret is None:
            return Forgotten(self.namespace, "", frozenset())
        query = select(suppressions.c.digest).where(
            suppressions.c.namespace == self.namespace,
            suppressions.c.contact_id.is_(None),
            func.length(suppressions.c.digest) == len(keyed_digest("")),  # none but the digests
        )
        digests = frozenset(connection.execute(query).scalars())
        return Forgotten(self.namespace, secret, digests)


def _query(table: FeedTable) -> Select[Any]:
    query = select(*(each.source.label(each.name) for each in table.columns))
    if table is FEED["changes"]:  # which have no namespace of their own
        return query.select_from(changes.join(spans, changes.c.span == spans.c.id))
    return query


def _oldest_open_transaction() -> Any:
    return func.txid_snapshot_xmin(func.txid_current_snapshot())


def _transaction_of_row() -> Any:
    """Return the last 32 bits of the id of the transaction that wrote a row of ``feed_clock``."""
    return literal_column("CAST(CAST(feed_clock.xmin AS text) AS bigint)")


def _new_clock() -> dict[str, Any]:
    return {"id": 1, "ledger": uuid.uuid4().hex, "era": 1, "number": present_number()}


@contextmanager
def _locked(path: Path, taken: LedgerError) -> Iterator[None]:
    """Hold a file's lock, which ends with the process whatever ends it; raise ``taken``."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        yield
