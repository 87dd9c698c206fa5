"""Generated directories: two days of contacts and transactions, the same for every engine.

Two per cent of the contacts change between the days: one per cent is deleted and one per cent is
new. Transactions are in the order of their dates, as an event table is; contacts are in no order.
Files are written with pyarrow's defaults but for the size of row groups.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAYS = ("2026-11-21", "2026-11-22")
FIRST_AS_OF = datetime(2026, 11, 22, tzinfo=UTC)
HISTORY = timedelta(days=90)
PER_CONTACT = 3  # transactions
CHURN = 0.01  # deleted; as many are new
OPT_FLIPS = 0.01
TROUBLED = 0.02  # contacts who make half of all support calls
ROW_GROUP = 250_000
ALPHABET = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8
)
TYPES = ["purchase", "support_call", "visit", "email_open"]
LIFECYCLES = ["customer", "lead", "former"]
TIERS = ["bronze", "silver", "gold"]


def write_directory(root: Path, contacts: int, seed: int = 7) -> None:
    """Write the snapshots of both days below ``root``."""
    random = np.random.default_rng(seed)
    gone = int(contacts * CHURN)
    people = _contacts(random, contacts + gone)
    owners, kinds, amounts = _transactions(random, contacts)
    dates = np.sort(_instants(random, len(owners), FIRST_AS_OF - HISTORY, HISTORY))
    later = len(owners) // HISTORY.days  # one more day of history
    new_owners, new_kinds, new_amounts = _transactions(random, contacts, later)
    new_dates = np.sort(_instants(random, later, FIRST_AS_OF, timedelta(days=1)))

    ids = people.column("contact_id")
    first = _transaction_table(ids, owners, dates, kinds, amounts)
    second = _transaction_table(ids, new_owners + gone, new_dates, new_kinds, new_amounts)
    _write(root / DAYS[0] / "contacts.parquet", people.slice(0, contacts))
    _write(root / DAYS[0] / "transactions.parquet", first)
    _write(root / DAYS[1] / "contacts.parquet", _flipped(random, people.slice(gone)))
    _write(root / DAYS[1] / "transactions.parquet", pa.concat_tables([first, second]))


def _contacts(random: np.random.Generator, size: int) -> pa.Table:
    return pa.table(
        {
            "contact_id": _ids(random, size),
            "lifecycle": _choice(random, LIFECYCLES, size, [0.7, 0.2, 0.1]),
            "tier": _choice(random, TIERS, size, [0.6, 0.3, 0.1]),
            "score": random.normal(50, 10, size),
            "created_at": _instants(random, size, FIRST_AS_OF - 20 * HISTORY, 19 * HISTORY),
            "unsubscribed": random.random(size) < 0.05,
        }
    )


def _flipped(random: np.random.Generator, people: pa.Table) -> pa.Table:
    states = people.column("unsubscribed").to_numpy()
    flipped = states ^ (random.random(len(states)) < OPT_FLIPS)
    return people.set_column(
        people.column_names.index("unsubscribed"), "unsubscribed", pa.array(flipped)
    )


def _transactions(
    random: np.random.Generator, contacts: int, size: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whose, of which type and over which amount."""
    size = contacts * PER_CONTACT if size is None else size
    kinds = random.choice(4, size, p=[0.4, 0.2, 0.2, 0.2]).astype(np.int32)
    owners = random.integers(0, contacts, size)
    calls = np.flatnonzero((kinds == 1) & (random.random(size) < 1 / 2))
    owners[calls] = random.integers(0, int(contacts * TROUBLED), len(calls)) * 50 % contacts
    return owners, kinds, random.gamma(2.0, 25.0, size).round(2)


def _transaction_table(
    ids: pa.ChunkedArray,
    owners: np.ndarray,
    dates: np.ndarray,
    kinds: np.ndarray,
    amounts: np.ndarray,
) -> pa.Table:
    return pa.table(
        {
            "contact_id": ids.take(pa.array(owners)),
            "date": dates,
            "type": pa.DictionaryArray.from_arrays(kinds, TYPES).cast(pa.string()),
            "amount": amounts,
        }
    )


def _ids(random: np.random.Generator, size: int) -> pa.Array:
    letters = np.empty((size, 19), dtype=np.uint8)
    letters[:, :4] = np.frombuffer(b"CID_", dtype=np.uint8)
    letters[:, 4:] = ALPHABET[random.integers(0, len(ALPHABET), (size, 15), dtype=np.uint8)]
    offsets = np.arange(size + 1, dtype=np.int64) * letters.shape[1]
    text = pa.LargeStringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(letters))
    return text.cast(pa.string())


def _choice(
    random: np.random.Generator, values: list[str], size: int, shares: list[float]
) -> pa.Array:
    codes = random.choice(len(values), size, p=shares).astype(np.int32)
    return pa.DictionaryArray.from_arrays(codes, values).cast(pa.string())


def _instants(
    random: np.random.Generator, size: int, start: datetime, length: timedelta
) -> np.ndarray:
    first = np.datetime64(start.replace(tzinfo=None), "us")
    microseconds = random.integers(0, int(length.total_seconds()) * 10**6, size)
    return first + microseconds.astype("timedelta64[us]")


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=ROW_GROUP)


if __name__ == "__main__":
    write_directory(Path(sys.argv[1]), int(sys.argv[2]))
