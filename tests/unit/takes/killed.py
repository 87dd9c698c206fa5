"""A take in a process of its own, for a test that kills it: ROOT DATABASE, with as many rows."""

from __future__ import annotations

import sys

from sqlalchemy import NullPool, create_engine
from upath import UPath

from tests.unit.takes.conftest import Shop

ROWS = 60_000
TABLES = {
    "contacts": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
    f"{ROWS}) SELECT 'c' || i AS contact_id, 'x' AS first_name FROM n WHERE :as_of > ''"
}

if __name__ == "__main__":
    shop = Shop(UPath(sys.argv[1]), create_engine(sys.argv[2], poolclass=NullPool))
    print("begins", flush=True)
    print(shop.take(TABLES), flush=True)
