"""Everything that is wrong in a snapshot, told at once."""

from __future__ import annotations

import cProfile
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.parquet_parts import ParquetPart
from segue.directory.snapshot_check import check_snapshot, table_reports

from .conftest import KEY, WHERE, contacts_of


class TestCheck:
    def test_fine(self, folder):
        """A sound snapshot has no findings."""
        folder.write(f"{KEY}/transactions.csv", "contact_id,date\na,2026-01-01\n")
        folder.write(f"{KEY}/mailing_lists.csv", "contact_id,mailing_list\na,News\n")
        folder.write(f"{KEY}/subscriptions.csv", "contact_id,scope,opted_in\na,directory,no\n")
        assert check_snapshot(contacts_of(folder, "contact_id,unsubscribed\na,no\n")) == []

    def test_everything_at_once(self, folder):
        """All that is wrong is found in one go, table by table."""
        folder.write(f"{KEY}/transactions.csv", "contact_id,day\n,2026-01-01\n")
        folder.write(f"{KEY}/mailing_lists/a.txt", "x")
        folder.write(f"{KEY}/subscriptions.csv", "contact_id,scope,opted_in\na,directory\n")
        mapping = {"contacts": {"email": "mail"}}
        text = "contact_id,unsubscribed\na,maybe\na,yes\n,no\n,no\n"
        findings = check_snapshot(contacts_of(folder, text, columns=mapping))
        told = [
            ("contacts", "there is no column 'mail'"),
            ("contacts", "2 rows without a contact_id"),
            ("contacts", "1 contact id more than once: 'a'"),
            ("contacts", "1 row of 'unsubscribed'"),
            ("transactions", "there is no column 'date'"),
            ("transactions", "1 row without a contact_id"),
            ("mailing_lists", "a.txt: is of no known format"),
            ("subscriptions", "rows with another number of fields than the header's 3"),
        ]
        assert [finding.table for finding in findings] == [table for table, _ in told]
        for finding, (_, part) in zip(findings, told, strict=True):
            assert part in finding.message
            assert str(finding).startswith(WHERE)

    def test_broken_part(self, folder):
        """Every part file is read whole, so that damage in any column is found."""
        folder.write(f"{KEY}/contacts/1.csv", b"contact_id,x\na,\xff\n")
        folder.write(f"{KEY}/contacts/2.csv", b"contact_id,x\nb,\xff\n")
        found = [finding.message for finding in check_snapshot(folder.tables())]
        assert ["1.csv" in found[0], "2.csv" in found[1], len(found)] == [True, True, 2]

    def test_bad_id_type(self, folder):
        """Ids of a type that cannot be ids are a finding."""
        tables = contacts_of(folder, pa.table({"contact_id": [1.0]}), "parquet")
        (finding,) = check_snapshot(tables)
        assert "contact ids are double" in finding.message

    def test_slices(self, folder):
        """An id in two slices is told, with its rows; slices alone are in memory where none is."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"contact_id": ["a", "b", "c", "b"]}), sink, row_group_size=2)
        tables = contacts_of(folder, sink.getvalue().to_pybytes(), "parquet")
        (finding,) = check_snapshot(tables)
        assert "1 contact id more than once: 'b' (row 2, row 4)" in finding.message

    def test_a_sound_table_is_never_whole_in_memory(self, folder, monkeypatch):
        """Neither its columns nor its ids: of each contact a key is kept, as long as it is told."""
        whole = mock.Mock(side_effect=AssertionError("read whole"))
        monkeypatch.setattr(ParquetPart, "read", whole)
        rows = pa.table({"contact_id": ["a", "b"], "unsubscribed": [True, None]})
        assert check_snapshot(contacts_of(folder, rows, "parquet")) == []

    def test_ids_of_one_key(self, folder, monkeypatch):
        """Different ids that have one key are no repeats."""
        same = lambda ids: np.zeros(len(ids), np.uint64)  # noqa: E731
        monkeypatch.setattr("segue.directory.snapshot_check.id_keys", same)
        assert check_snapshot(contacts_of(folder, "contact_id\na\nb\n")) == []

    def test_report(self, folder):
        """Transactions without a date or of unknown contacts are counted, and are no errors."""
        rows = "a,2026-01-01\nb,\nzz,2026-01-01\nA,\n"
        folder.write(f"{KEY}/transactions.csv", "contact_id,date\n" + rows)
        folder.write(f"{KEY}/mailing_lists.csv", "contact_id,mailing_list\nzz,News\na,News\n")
        tables = contacts_of(folder, "contact_id\na\nb\n")
        facts = {fact.table: fact for fact in table_reports(tables)}
        assert (facts["contacts"].rows, facts["contacts"].unknown_contacts) == (2, 0)
        assert facts["transactions"].rows == 4
        assert facts["transactions"].unknown_contacts == 2
        assert facts["transactions"].without_date == 2
        assert facts["mailing_lists"].unknown_contacts == 1
        assert check_snapshot(tables) == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_check_of_two_thousand_columns_is_linear(folder, suffix):
    """Ten times the columns cost at most some twenty times the calls."""

    def calls(width):
        names = [f"col_{width:04}_{number:04}" for number in range(width)]
        values = {name: ["x"] for name in names}
        table = pa.table({"contact_id": ["a"], "unsubscribed": ["no"], **values})
        if suffix == "csv":
            table = "\n".join([",".join(table.column_names), ",".join(["a", "no", *["x"] * width])])
        tables = contacts_of(folder, table, suffix)
        profile = cProfile.Profile()
        profile.runcall(check_snapshot, tables)
        return sum(entry.callcount for entry in profile.getstats())

    calls(10)  # what is imported or made once
    assert calls(2000) < 20 * calls(200)
