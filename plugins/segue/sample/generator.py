"""Write the simulated directory as daily snapshots: the only part of the sample that touches disk.

The same arguments give the same bytes, and a snapshot does not depend on how many follow it.
Files that already hold the right bytes are left alone, so that their modification times, which
sources may use as fingerprints, stay too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segue.sample.days import ZONE, Day, State, after_a_day, first_state

Columns = Mapping[str, pa.DataType]

DAYS = 14  # of a new sample
FEWEST_CONTACTS = 1000  # fewer leave too few customers near the segments' lines
MARKER = "_SUCCESS"
INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(10, 2)
# The source's own names where they differ from Segue's, as in include/directories/customers.yaml.
CONTACTS: Columns = {
    "CustomerID": pa.string(),
    "first_name": pa.string(),
    "last_name": pa.string(),
    "EmailAddress": pa.string(),
    "phone": pa.string(),
    "language": pa.string(),
    "external_reference": pa.string(),
    "unsubscribed": pa.bool_(),
    "created_at": INSTANT,
    "modified_at": INSTANT,
    "lifecycle": pa.string(),
    "tier": pa.string(),
    "city": pa.string(),
    "country": pa.string(),
    "birthday": pa.date32(),
}
TRANSACTIONS: Columns = {
    "CustomerID": pa.string(),
    "OccurredAt": INSTANT,
    "type": pa.string(),
    "detail": pa.string(),
    "amount": MONEY,
    "minutes": pa.int32(),
}
MAILING_LISTS: Columns = {
    "contact_id": pa.string(),
    "mailing_list": pa.string(),
    "opted_in": pa.bool_(),
}
SUBSCRIPTIONS: Columns = {
    "contact_id": pa.string(),
    "scope": pa.string(),
    "opted_in": pa.bool_(),
}


def newest_day(now: datetime) -> date:
    """Return yesterday in the directory's zone: the newest day that is over."""
    return now.astimezone(ZONE).date() - timedelta(days=1)


def keep_up(folder: Path, last: date, *, contacts: int = 3000, seed: int = 7) -> date:
    """Write the snapshots up to ``last``, two weeks in a new folder; return the first day.

    A sample that is there goes on from its own first day, so that its past stays as it was.
    """
    first = min(_days_in(folder), default=last - timedelta(days=DAYS - 1))
    generate(folder, first=first, days=(last - first).days + 1, contacts=contacts, seed=seed)
    return first


def generate(
    folder: Path, *, first: date, days: int = DAYS, contacts: int = 3000, seed: int = 7
) -> None:
    """Write one snapshot per day into `folder`, the completion marker last.

    Raises ValueError for fewer contacts than the stories need.
    """
    if contacts < FEWEST_CONTACTS:
        raise ValueError(f"The sample needs at least {FEWEST_CONTACTS} contacts, not {contacts}.")
    for day, state in _life(first, days, contacts, seed):
        _write_snapshot(folder / day.date.isoformat(), _tables(state))


def _days_in(folder: Path) -> Iterator[date]:
    for path in folder.glob("*"):
        with suppress(ValueError):
            yield date.fromisoformat(path.name)


def _life(first: date, days: int, contacts: int, seed: int) -> Iterator[tuple[Day, State]]:
    state = first_state(np.random.default_rng(seed), contacts, Day(first, 0))
    for offset in range(days):
        day = Day(first + timedelta(days=offset), offset)
        state = after_a_day(state, day, np.random.default_rng([seed, offset]))
        yield day, state


def _tables(state: State) -> dict[str, pa.Table]:
    """Return the snapshot's tables as the source exports them, sorted by contact id."""
    return {
        "contacts": _contacts_table(state.contacts),
        "transactions": _transactions_table(state.transactions),
        "mailing_lists": _table(_by_contact(state.mailing_lists, "mailing_list"), MAILING_LISTS),
        "subscriptions": _table(_by_contact(state.subscriptions, "scope"), SUBSCRIPTIONS),
    }


def _contacts_table(contacts: pd.DataFrame) -> pa.Table:
    frame = (
        contacts.sort_index()
        .reset_index()
        .rename(columns={"contact_id": "CustomerID", "email": "EmailAddress"})
    )
    return _table(frame.assign(birthday=pd.to_datetime(frame["birthday"]).dt.date), CONTACTS)


def _transactions_table(transactions: pd.DataFrame) -> pa.Table:
    frame = transactions.sort_values(
        ["date", "contact_id", "detail"], kind="stable", ignore_index=True
    ).rename(columns={"contact_id": "CustomerID", "date": "OccurredAt"})
    exact = frame.assign(minutes=frame["minutes"].astype("Int32"), amount=_money(frame["cents"]))
    return _table(exact, TRANSACTIONS)


def _money(cents: pd.Series[float]) -> pd.Series[pd.ArrowDtype]:
    """Return exact decimals; an unknown amount stays unknown."""
    whole = pa.array(cents.astype("Int32")).cast(pa.decimal128(10, 0))
    exact = pc.multiply(whole, pa.scalar(Decimal("0.01"))).cast(MONEY)
    return pd.Series(exact, index=cents.index, dtype=pd.ArrowDtype(MONEY))


def _by_contact(frame: pd.DataFrame, then: str) -> pd.DataFrame:
    return frame.sort_values(["contact_id", then])


def _table(frame: pd.DataFrame, columns: Columns) -> pa.Table:
    """Return the frame with exactly these columns, without pandas' own metadata in it."""
    table = pa.Table.from_pandas(frame, schema=pa.schema(columns), preserve_index=False)
    return table.replace_schema_metadata(None)


def _write_snapshot(folder: Path, tables: dict[str, pa.Table]) -> None:
    files = {f"{name}.parquet": _parquet_bytes(table) for name, table in tables.items()}
    stale = [name for name, content in files.items() if not _holds(folder / name, content)]
    marker = folder / MARKER
    if not stale and marker.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    for name in stale:
        _replace(folder / name, files[name])
    _replace(marker, b"")


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
