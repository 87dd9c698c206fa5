"""The page's table of types is what a snapshot has, by each way to a real server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.unit.takes.conftest import POSTGRESQL, Shop
from tests.unit.test_docs import page

ENUM = "CREATE TYPE tier_kind AS ENUM ('silver', 'gold')"


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of a table: a type, a literal, and how it arrives, by one way or two."""
    section = page("snapshots.md").read_text().split(f"#### {heading}\n")[1].split("\n#")[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in section.splitlines()]
    cells = [[cell.strip("| ") for cell in row] for row in rows if row[0].startswith("| `")]
    assert cells
    return cells


def taken(shop: Shop, kinds: Mapping[str, str]) -> list[str]:
    """Return how a value of each type stands in the published files, as `type` `value`."""
    columns = ", ".join(f"v{number} {kind}" for number, kind in enumerate(kinds))
    values = ", ".join(value.replace(":", r"\:") for value in kinds.values())
    shop.execute(
        f"CREATE TABLE typed (contact_id varchar(5), {columns})",
        f"INSERT INTO typed VALUES ('a', {values})",
        "INSERT INTO typed (contact_id) VALUES ('b')",
    )
    shop.take({"contacts": {"table": "typed", "knows": "now"}}, replaces=True)
    [name] = [each for each in shop.files() if each.endswith(".parquet")]
    table = pq.read_table(str(shop.root / name.lstrip("/")))
    rows = table.sort_by("contact_id").to_pylist()
    assert not any(value for key, value in rows[1].items() if key != "contact_id")
    return [_shown(table.schema.field(f"v{n}").type, rows[0][f"v{n}"]) for n in range(len(kinds))]


def _shown(kind: Any, value: object) -> str:
    return f"`{kind}` `{value}`"


# MariaDB's values are those of test_mariadb.py
@pytest.mark.parametrize("engine", ["sqlite", *POSTGRESQL], indirect=True)
def test_types_as_they_arrive(shop):
    if shop.engine.dialect.name == "sqlite":
        rows = rows_below("SQLite")
        expected = [row[2] for row in rows]
    else:
        shop.execute(ENUM)
        rows = rows_below("PostgreSQL")
        is_adbc = shop.by_adbc
        expected = [row[2 if is_adbc or row[3] == "the same" else 3] for row in rows]
    found = taken(shop, {row[0].strip("`"): row[1].strip("`") for row in rows})
    assert dict(zip([row[0] for row in rows], found, strict=True)) == dict(
        zip([row[0] for row in rows], expected, strict=True)
    )
