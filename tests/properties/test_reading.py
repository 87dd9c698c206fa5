"""No value of a snapshot is lost in silence, whatever writes it, in whatever type and notation.

Each snapshot has one column, in one to three files of types of their own. Every value of it is
read exactly, or counted as unreadable with its contact, or the snapshot is refused.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.columns.column_source import column_of
from segue.segments.unreadable import Reading, Use, find_unreadable

ZONE = ZoneInfo("Europe/London")
AUTUMN = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
FIRST = dt.datetime(1, 1, 3, tzinfo=dt.UTC)
UNREAD = object()  # what must be counted
Cell = tuple[object, object]  # as it is stored, and what it means: None is missing

SPELT = [
    lambda t: t.isoformat(), lambda t: t.isoformat(" "), lambda t: f" {t.isoformat()} ",
    lambda t: t.isoformat(" ").replace("+00:00", " UTC"),
    lambda t: t.isoformat().replace("+00:00", "Z[UTC]"),
    lambda t: t.isoformat().replace("+00:00", "Z"),
    lambda t: t.isoformat(" ", "milliseconds")[:23] + " +0000",
    lambda t: t.isoformat(" ", "seconds")[:19] + ".0000000 +00:00",
    lambda t: t.isoformat(" ", "seconds")[:19] + "+00",
    lambda t: t.isoformat(" ", "seconds")[:19] + " -0800",
    lambda t: t.isoformat()[:10], lambda t: t.isoformat()[:19],
]  # fmt: skip
NOT_DATES = [
    "20/11/2026",
    "20261120",
    "1763629200",
    "2026-02-30",
    "NULL",
    "2026-11-20 PST",
    " ",
    "infinity",
]
NOT_NUMBERS = [
    "£12.50",
    "1,200.00",
    "$1,200,000.00",
    "12,5",
    "nan",
    "inf",
    "0x1F",
    "1_000",
    " ",
    "NULL",
]
NOT_BOOLEANS = ["on", "2", "ja", "maybe", "NULL", "truee"]
WORDS = [
    "gold",
    "NULL",
    "Zoë",
    'a "quoted" word',
    "one,two",
    "line\nbreak",
    " ",
    "007",
    "1.50",
    "\ufeffx",
    "'",
]


def instant(random: random.Random) -> dt.datetime:
    """Return a time of these months, or any that Python has but for days at either end."""
    if random.random() < 0.8:
        return AUTUMN + dt.timedelta(seconds=random.randrange(10**7))
    return FIRST + dt.timedelta(
        days=random.randrange(3_652_000), microseconds=random.randrange(10**6)
    )


def meaning(text: str) -> dt.datetime:
    """Return what one of the spellings means: by Python's own reading of ISO 8601."""
    plain = text.strip().replace(" UTC", "+00:00").replace("[UTC]", "").replace(".0000000", "")
    plain = plain[:10] + plain[10:].replace(" +", "+").replace(" -", "-")
    found = dt.datetime.fromisoformat(plain)
    return found if found.tzinfo else found.replace(tzinfo=ZONE)


def date_text(random: random.Random) -> Cell:
    if random.random() < 0.3:
        return random.choice([(None, None), (text := random.choice(NOT_DATES), UNREAD)])
    text = random.choice(SPELT)(instant(random))
    return text, meaning(text).astimezone(dt.UTC)


def number_text(random: random.Random) -> Cell:
    if random.random() < 0.3:
        return random.choice([(None, None), (random.choice(NOT_NUMBERS), UNREAD)])
    text = random.choice(
        ["0", "-12.50", "1e3", ".5", "5.", f"{random.randrange(10**25)}", " 7 ", "0.1"]
    )
    return text, Fraction(text.strip().rstrip("."))


def boolean_text(random: random.Random) -> Cell:
    if random.random() < 0.3:
        return random.choice([(None, None), (random.choice(NOT_BOOLEANS), UNREAD)])
    word = random.choice(["true", "yes", "1", "t", "y", "false", "no", "0", "f", "n"])
    return random.choice([word, word.upper()]), word in ("true", "yes", "1", "t", "y")


def text_cell(random: random.Random) -> Cell:
    word = random.choice([None, *WORDS])
    return word, word


TEXTS = {"date": date_text, "number": number_text, "boolean": boolean_text, "text": text_cell}
USES = {
    "date": [Use("contacts", "v", Reading.DATE)],
    "number": [Use("contacts", "v", Reading.NUMBER)],
    "boolean": [Use("contacts", "v", Reading.BOOLEAN)],
    "text": [],
}
STRINGS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view(),
           pa.dictionary(pa.int32(), pa.string())]  # fmt: skip
STAMPS = [
    pa.timestamp(unit, zone)
    for unit in ("s", "ms", "us", "ns")
    for zone in (None, "UTC", "Asia/Tokyo")
]
WHOLE = [pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64()]
DECIMALS = [pa.decimal128(5, 2), pa.decimal128(38, 10), pa.decimal256(50, 5)]
FLOATS = {pa.float16(): np.float16, pa.float32(): np.float32, pa.float64(): np.float64}


def typed_column(random: random.Random, use: str, size: int) -> tuple[pa.Array, list[object]]:
    """Return a column of any type, and what each value means as ``use``."""
    if random.random() < 0.1:
        return pa.nulls(size), [None] * size
    if use == "text" or random.random() < 0.3:
        cells = [TEXTS[use](random) for _ in range(size)]
        stored = [None if text is None else str(text).encode() for text, _ in cells]
        kind = random.choice(STRINGS)
        values = pa.array(stored, pa.binary())
        values = (
            values.cast(pa.string()).dictionary_encode()
            if pa.types.is_dictionary(kind)
            else values.cast(kind)
        )
        return values, [value for _, value in cells]
    column, values = random.choice(MAKERS[use])(random, size)
    gaps = [random.random() < 0.2 for _ in range(size)]
    with_gaps = pc.if_else(pa.array(gaps), pa.nulls(size, column.type), column)
    return with_gaps, [None if gap else value for gap, value in zip(gaps, values, strict=True)]


def stamps(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    kind = random.choice(STAMPS)
    times = [instant(random).replace(microsecond=0) for _ in range(size)]
    if kind.unit == "ns":
        times = [time.replace(year=2026, day=1) for time in times]
    stored = times if kind.tz else [time.replace(tzinfo=None) for time in times]
    wanted = times if kind.tz else [time.replace(tzinfo=ZONE).astimezone(dt.UTC) for time in times]
    return pa.array(stored, kind), wanted


def days(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    times = [instant(random) for _ in range(size)]
    midnights = [dt.datetime(t.year, t.month, t.day, tzinfo=ZONE).astimezone(dt.UTC) for t in times]
    return pa.array([t.date() for t in times], random.choice([pa.date32(), pa.date64()])), midnights


def integers(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    kind = random.choice(WHOLE)
    top = (
        2**kind.bit_width - 1
        if kind in (pa.uint8(), pa.uint64())
        else 2 ** (kind.bit_width - 1) - 1
    )
    values = [random.choice([0, 1, 100, top]) for _ in range(size)]
    return pa.array(values, kind), [Fraction(value) for value in values]


def decimals(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    values = [Decimal(random.choice(["0.1", "-12.5", "999.99", "0"])) for _ in range(size)]
    return pa.array(values, random.choice(DECIMALS)), [Fraction(value) for value in values]


def floats(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    kind = random.choice(list(FLOATS))
    values = [FLOATS[kind](random.choice([0.1, 0.7, -12.5, 1024.0, 3.0])) for _ in range(size)]
    return pa.array(values, kind), [Fraction(str(value)) for value in values]


def flags(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    values = [random.random() < 0.5 for _ in range(size)]
    return pa.array(values), list(values)


def zeros_and_ones(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    values = [random.choice([0, 1, 1, 2]) for _ in range(size)]
    return pa.array(values, random.choice([pa.int8(), pa.int64()])), [
        UNREAD if v == 2 else v == 1 for v in values
    ]


def opaque(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
    values = random.choice([[["a"]], [{"a": 1}], [dt.time(9)], [dt.timedelta(1)]])
    return pa.array(values * size), [UNREAD] * size


def swapped(*makers):
    """Return what makes columns of another use: none of their values can be read."""

    def make(random: random.Random, size: int) -> tuple[pa.Array, list[object]]:
        return random.choice(makers)(random, size)[0], [UNREAD] * size

    return make


MAKERS = {
    "date": [stamps, stamps, days, opaque, swapped(integers, floats, decimals, flags)],
    "number": [integers, decimals, floats, opaque, swapped(stamps, days, flags)],
    "boolean": [flags, zeros_and_ones, opaque, swapped(stamps, days)],
}


def write(random: random.Random, folder: Path, use: str) -> dict[str, object]:
    """Write a snapshot; return what each contact's value means."""
    as_csv = random.random() < 0.4
    meanings: dict[str, object] = {}
    parts = random.randint(1, 3)
    for part in range(parts):
        size = random.randint(1, 8)
        ids = [f"{part}-{row}" for row in range(size)]
        name = folder / "contacts" / f"{part}" if parts > 1 else folder / "contacts"
        name.parent.mkdir(parents=True, exist_ok=True)
        if as_csv:
            cells = [TEXTS[use](random) for _ in ids]
            meanings |= dict(zip(ids, (value for _, value in cells), strict=True))
            write_csv(random, name, list(zip(ids, (text for text, _ in cells), strict=True)))
        else:
            column, values = typed_column(random, use, size)
            meanings |= dict(zip(ids, values, strict=True))
            write_parquet(random, name, pa.table({"contact_id": ids, "v": column}))
    return meanings


def write_csv(random: random.Random, name: Path, rows: list[tuple[str, object]]) -> None:
    text = io.StringIO()
    quoting = random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(text, quoting=quoting, lineterminator=random.choice(["\n", "\r\n"]))
    writer.writerow(["contact_id", "v"])
    writer.writerows(rows)
    data = text.getvalue().encode()
    if random.random() < 0.5:
        name.with_name(f"{name.name}.csv").write_bytes(data)
    else:
        name.with_name(f"{name.name}.csv.gz").write_bytes(gzip.compress(data, 1))


def write_parquet(random: random.Random, name: Path, table: pa.Table) -> None:
    zone = getattr(table.schema.field("v").type, "tz", None)
    pq.write_table(
        table,
        name.with_name(f"{name.name}.parquet"),
        version=random.choice(["1.0", "2.6"]),
        data_page_version=random.choice(["1.0", "2.0"]),
        use_dictionary=random.random() < 0.5,
        row_group_size=random.choice([1, 3, 100]),
        use_deprecated_int96_timestamps=random.random() < 0.2
        and not zone,  # which it does not keep
    )


def judge(folder: Path, use: str, meanings: dict[str, object]) -> Counter[str]:
    """Hold a snapshot against what its values mean; count what became of them."""
    directory = DirectoryDefinition.model_validate(
        {"directory": "d", "snapshots": str(folder.parent)}
    )
    as_of = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    tables = SnapshotTables(directory, Snapshot(folder.name, as_of, UPath(str(folder)), True))
    try:
        frame = tables.contacts(["v"])
        counted = find_unreadable(tables, USES[use])
    except DataError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "expected one type" in refusal
        return Counter(refused=len(meanings))
    assert sorted(meanings) == frame["contact_id"].tolist()
    unread = {contact for contact, value in meanings.items() if value is UNREAD}
    assert sum(each.count for each in counted) == len(unread)
    assert {contact for each in counted for contact in each.contacts} <= unread
    column = column_of(frame["v"], ZONE, "contacts.v")
    for row, contact in enumerate(frame["contact_id"]):
        wanted = meanings[contact]
        assert bool(column.missing[row]) == (wanted is None)
        if wanted is not UNREAD:
            assert_same(view(column, use, row), wanted)
    return Counter(map(what_became, meanings.values()))


def what_became(value: object) -> str:
    if value is None:
        return "missing"
    return "counted" if value is UNREAD else "read"


def view(column, use: str, row: int) -> object:
    if column.missing[row]:
        return None
    if use == "text":
        return column.texts.arrow[row].as_py()
    if use == "boolean":
        return bool(column.booleans.true[row])
    return (column.instants if use == "date" else column.numbers).value(row)


def assert_same(found: object, wanted: object) -> None:
    if isinstance(found, float) and isinstance(wanted, Fraction):
        assert found == float(wanted)
    elif isinstance(wanted, Fraction):
        assert Fraction(found) == wanted
    else:
        assert found == wanted


def hold(folder: Path, seeds: range) -> Counter[str]:
    total: Counter[str] = Counter()
    for seed in seeds:
        source = random.Random(seed)
        use = source.choice(list(TEXTS))
        place = folder / f"{seed}" / "2026-11-22"
        place.mkdir(parents=True)
        try:
            total += judge(place, use, write(source, place, use))
        except Exception as error:
            raise AssertionError(f"seed {seed}, {use}: {error!r}") from error
    return total


def test_no_value_is_lost_in_silence(tmp_path):
    """A few snapshots of every kind, the same ones each time."""
    total = hold(tmp_path, range(150))
    assert min(total[what] for what in ("read", "missing", "counted", "refused")) > 20


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 1_000))
def test_no_value_of_many_snapshots_is_lost_in_silence(tmp_path, first):
    """Ten thousand."""
    hold(tmp_path, range(1_000_000 + first, 1_000_000 + first + 1_000))
