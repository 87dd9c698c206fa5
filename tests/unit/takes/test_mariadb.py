"""What MariaDB has arrives as its own client shows it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from .conftest import Shop

pytestmark = pytest.mark.mariadb
# type, what is written in SQL, and what arrives
VALUES = {
    "id": ("VARCHAR(9)", "'007'", "007"),
    "blanks": ("VARCHAR(9)", "' 7'", " 7"),
    "exact": ("DECIMAL(38,10)", "1234567890123456789.0123456789", None),
    "huge": ("BIGINT UNSIGNED", "18446744073709551615", Decimal(18446744073709551615)),
    "flag": ("TINYINT(1)", "2", 2),
    "padded": ("INT(8) ZEROFILL", "7", 7),
    "bits": ("BIT(3)", "b'101'", "\x05"),
    "day": ("DATE", "'9999-12-31'", date(9999, 12, 31)),
    "no_day": ("DATE", "'0000-00-00'", "0000-00-00"),
    "local": ("DATETIME(6)", "'2026-11-20 12:00:00.123456'", None),
    "instant": ("TIMESTAMP(6)", "'2026-11-20 12:00:00.123456'", None),
    "longest": ("TIME(3)", "'-838:59:59'", -timedelta(hours=838, minutes=59, seconds=59)),
    "kind": ("ENUM('x','ü')", "'ü'", "ü"),
    "some": ("SET('a','b')", "'a,b'", "a,b"),
    "json": ("JSON", """'{"a": [1, "é"]}'""", '{"a": [1, "é"]}'),
    "double": ("DOUBLE", "1e308", 1e308),
    "single": ("FLOAT", "0.1", 0.1),
    "uuid": ("UUID", "'123e4567-e89b-12d3-a456-426655440000'", None),
    "wide": ("LONGTEXT", "REPEAT('😀x', 5000)", "😀x" * 5000),
    "nul": ("VARCHAR(9)", r"'a\0b'", "a\0b"),
    "empty": ("VARCHAR(9)", "''", ""),
    "missing": ("INT", "NULL", None),
}
EXACT = {
    "exact": Decimal("1234567890123456789.0123456789"),
    "local": datetime.fromisoformat("2026-11-20T12:00:00.123456"),
    "instant": datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
    "uuid": "123e4567-e89b-12d3-a456-426655440000",
}
EXPECTED = {
    name: EXACT.get(name, value) for name, (_, _, value) in VALUES.items() if name != "missing"
}


@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_every_value_is_what_the_database_shows(shop: Shop):
    columns = ", ".join(f"`{name}` {kind}" for name, (kind, _, _) in VALUES.items())
    row = ", ".join(written for _, written, _ in VALUES.values())
    with shop.engine.begin() as connection:
        for statement in (
            "SET SESSION sql_mode = '', time_zone = '+00:00'",
            f"CREATE TABLE hostile ({columns}) CHARACTER SET utf8mb4",
            f"INSERT INTO hostile VALUES ({row})",
        ):
            connection.exec_driver_sql(statement)
    query = "SELECT id AS contact_id, hostile.* FROM hostile WHERE :as_of IS NOT NULL"
    tables = {"contacts": {"query": query}}
    shop.take(tables)
    contacts = shop.snapshot(tables).contacts(sorted(VALUES))
    found = {name: contacts[name].tolist()[0] for name in VALUES}
    missing = found.pop("missing")
    assert missing is pd.NA
    assert {name: plain(value) for name, value in found.items()} == EXPECTED


def plain(value: object) -> object:
    """Return times as Python has them."""
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.to_pytimedelta() if isinstance(value, pd.Timedelta) else value
