"""Read XM Directory for a snapshot: every contact that is listed, each by itself where need be.

Qualtrics publishes nothing of what becomes of a list that changes while it is read, so that a
contact may be left out whose neighbour was deleted meanwhile. Who is missing from a snapshot counts
as gone, and is welcomed back by the next. So all contacts are listed twice, before and after, and
who stands in either list is in the snapshot, but for those whom Qualtrics has no more when it is
asked for them. What was read of one contact is of one instant; the whole is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa

from segue.channels.qualtrics.calls import BRAND_LIMIT, open_qualtrics
from segue.channels.rates import limits_of
from segue.directory.take_source import SnapshotReader, TableName
from segue.errors import DataError, DeliveryError, SettingsError
from segue.hints import did_you_mean
from segue.snapshot_sources.qualtrics.client import Client, Pace
from segue.snapshot_sources.qualtrics.records import (
    MEMBERSHIPS,
    Memberships,
    Record,
    Row,
    contact_id_of,
    contact_row,
    contact_schema,
    data_of,
    transaction_rows,
    transaction_schema,
)
from segue.snapshot_sources.qualtrics.source import QualtricsDirectory

AT_ONCE = 10  # calls; fifty a second, where each takes a fifth of one
_ROWS = 20_000  # of a batch that is put aside
_MOST_NAMES = 1_000  # of embedded data that are remembered for a hint


class Reader(SnapshotReader):
    """An open session with a directory, and what was read of other tables with its contacts."""

    has_one_view = False

    def __init__(self, source: QualtricsDirectory, client: Client) -> None:
        self._source, self._client = source, client
        self._asides: dict[TableName, Aside] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="qualtrics")

    def __exit__(self, *exc: object) -> None:
        """Give up what is under way, and close the session."""
        self._client.close()
        self._pool.shutdown(cancel_futures=True)
        for aside in self._asides.values():
            aside.close()

    def batches(
        self, table: TableName, as_of: datetime, previous: datetime | None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows; contacts come first, and with them what the others have."""
        if table == "contacts":
            yield from self._contacts()
        else:
            yield from self._asides[table].batches()

    def _contacts(self) -> Iterator[pa.RecordBatch]:
        source = self._source
        self._asides = {
            "mailing_lists": Aside(MEMBERSHIPS),
            "transactions": Aside(transaction_schema(source)),
        }
        schema, memberships, names = contact_schema(source), Memberships(source), _Names(source)
        yield pa.RecordBatch.from_pylist([], schema=schema)
        for records in self._records():
            for record in records:
                names.note(record)
                if source.has_memberships:
                    self._asides["mailing_lists"].append(memberships.rows(record))
            if source.transactions is not None:
                self._put_transactions_aside([contact_id_of(record) for record in records])
            rows = [contact_row(record, source) for record in records]
            yield pa.RecordBatch.from_pylist(rows, schema=schema)
        names.require()

    def _records(self) -> Iterator[Sequence[Record]]:
        """Yield every contact once, some at a time: as listed, or as shown by itself."""
        ids: set[str] = set()
        for _ in range(2):
            for page in self._client.listed():
                news = {contact_id_of(one): one for one in page if contact_id_of(one) not in ids}
                ids |= news.keys()
                if news:
                    yield (
                        self._details(list(news))
                        if self._source.asks_for_each
                        else [*news.values()]
                    )

    def _details(self, contacts: Sequence[str]) -> Sequence[Record]:
        answers = self._pool.map(self._client.contact, contacts)
        return [record for record in answers if record is not None]

    def _put_transactions_aside(self, contacts: Sequence[str]) -> None:
        answers = self._pool.map(self._client.transactions, contacts)
        for contact, transactions in zip(contacts, answers, strict=True):
            rows = transaction_rows(contact, transactions, self._source)
            self._asides["transactions"].append(rows)


class Aside:
    """Rows of a table that come with another one's, in a file that nobody else sees."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the reader
        self._writer = pa.ipc.new_stream(self._file, schema)
        self._rows: list[Row] = []

    def append(self, rows: Iterator[Row]) -> None:
        """Add rows."""
        self._rows += rows
        if len(self._rows) >= _ROWS:
            self._write()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows, an empty batch first."""
        self._write()
        self._writer.close()
        self._file.seek(0)
        yield pa.RecordBatch.from_pylist([], schema=self._schema)
        yield from pa.ipc.open_stream(self._file)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _write(self) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
        self._rows = []


class _Names:
    """Which of the embedded data that is asked for any contact has."""

    def __init__(self, source: QualtricsDirectory) -> None:
        self._missing = set(source.embedded_data.values())
        self._others: set[str] = set()
        self._has_contacts = False

    def note(self, record: Record) -> None:
        self._has_contacts = True
        if not self._missing:
            return
        names = data_of(record, "embeddedData").keys()
        self._missing -= names
        if len(self._others) < _MOST_NAMES:
            self._others |= names

    def require(self) -> None:
        """Raise DataError for what no contact has: it would be missing of all, without a word."""
        if self._missing and self._has_contacts:
            name = min(self._missing)
            raise DataError(
                f"no contact has embedded data {name!r}; Qualtrics' names are written as it has "
                f"them, in the same case{did_you_mean(name, self._others)}"
            )


def open_reader(source: QualtricsDirectory) -> Reader:
    """Open a session; raise SettingsError or DataError where nothing can be read."""
    with _settings_errors():
        limits = limits_of(source.connection, BRAND_LIMIT)
        calls = open_qualtrics(source.connection)
    client = Client(calls, source.directory, Pace(limits))
    for key, kind in (("mailing_lists", "mailinglists"), ("segments", "segments")):
        names: Any = getattr(source, key)
        if isinstance(names, Mapping):
            for name, place in names.items():
                client.require(kind, place, f"{key}.{name}")
    return Reader(source, client)


@contextmanager
def _settings_errors() -> Iterator[None]:
    try:
        yield
    except DeliveryError as error:
        raise SettingsError(str(error)) from None
