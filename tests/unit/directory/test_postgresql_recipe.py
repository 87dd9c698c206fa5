"""What the documented export of PostgreSQL writes is read to the value."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psycopg
import pytest

from segue.directory.snapshot_check import check_snapshot

from .conftest import KEY

SERVER = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
PAGE = Path(__file__).parents[3] / "docs" / "snapshots.md"
CUSTOMERS = """
CREATE TEMPORARY TABLE customers AS
SELECT * FROM (VALUES ('007', 'Ann, "A"', 'a@x.example', true),
                      ('8', NULL, 'b@x.example', false),
                      ('9', '', NULL, NULL)) AS c (id, first_name, email, unsubscribed)
"""


@pytest.mark.postgres
def test_the_export_of_the_docs_is_read(folder):
    """``t`` and ``f`` are booleans, a null is missing, and a quoted quote is one."""
    folder.write(f"{KEY}/contacts.csv", exported())
    contacts = folder.tables().contacts()
    assert check_snapshot(folder.tables()) == []
    assert contacts["contact_id"].tolist() == ["007", "8", "9"]
    assert contacts["unsubscribed"].tolist() == [True, False, False]
    assert contacts["first_name"].isna().tolist() == [False, True, True]
    assert contacts["first_name"][0] == 'Ann, "A"'


def exported() -> bytes:
    """Return what ``\\copy`` writes, as the server gives it; psql only keeps it in the file."""
    [(query, options)] = re.findall(r"\\copy (\(.*\)) TO '[^']*' (WITH .*)", PAGE.read_text())
    try:
        connection = psycopg.connect(SERVER.replace("+psycopg", ""), connect_timeout=5)
    except psycopg.OperationalError as error:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"PostgreSQL does not answer at {SERVER}: {type(error).__name__}")
    with connection, connection.cursor() as cursor:
        cursor.execute(CUSTOMERS)
        with cursor.copy(f"COPY {query} TO STDOUT {options}") as copy:
            return b"".join(bytes(piece) for piece in copy)
