"""Ids that are missing or stand twice, opt states that are none."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from segue.directory.checks import _positions, describe_places
from segue.directory.snapshot_check import check_snapshot
from segue.errors import DataError

from .conftest import KEY, contacts_of, fails, ids


class TestIds:
    def test_missing(self, folder):
        """Null and empty ids are an error with their rows' numbers."""
        tables = contacts_of(folder, 'contact_id,x\na,1\n,2\n"",3\n')
        fails(tables.contacts, "contacts.csv: 2 rows without a contact_id: row 2, row 3; every row")

    def test_missing_in_parquet(self, folder):
        """An empty text is no id in Parquet either."""
        tables = contacts_of(folder, pa.table({"contact_id": ["", "a", None]}), "parquet")
        fails(tables.contacts, "2 rows without a contact_id: row 1, row 3")

    @pytest.mark.parametrize("contact_id", ["a\0b", "\0", "x" * 2001, "é" * 1001])
    def test_ids_that_no_ledger_keeps(self, folder, contact_id):
        """A NUL, or an id that an index cannot hold, is told with its row, and read as it is."""
        tables = contacts_of(folder, f"contact_id\na\n{contact_id}\n")
        assert set(ids(tables.contacts())) == {"a", contact_id}
        [finding] = check_snapshot(tables)
        assert "1 row with a contact_id that cannot be kept: row 2; allowed: up to" in str(finding)
        assert contact_id not in str(finding)
        assert describe_places(tables.table("contacts").locate(), [contact_id]) == "row 2"
        assert check_snapshot(contacts_of(folder, f"contact_id\n{'x' * 2000}\n")) == []

    def test_missing_in_other_tables(self, folder):
        """Rows of other tables need a contact id too."""
        folder.write(f"{KEY}/transactions.csv", "contact_id,date\n,2026-01-01\n")
        tables = contacts_of(folder, "contact_id\na\n")
        fails(lambda: tables.rows("transactions"), "transactions.csv: 1 row without", "row 1;")

    def test_no_chunks(self):
        """A column of no rows may have no chunks, of which pyarrow before 26 dies."""
        assert _positions(pa.chunked_array([], pa.bool_())) == []

    def test_at_most_ten_rows(self, folder):
        """A message lists ten rows and counts the rest."""
        tables = contacts_of(folder, "contact_id,x\n" + ",1\n" * 25)
        fails(tables.contacts, "25 rows without", "row 10 and 15 more;")

    def test_duplicates(self, folder):
        """An id that occurs twice is an error with the ids and their rows."""
        tables = contacts_of(folder, "contact_id,email\nb,x@y\na,x@y\nb,z@y\nc,z@y\na,w@y\n")
        message = fails(
            tables.contacts, "2 contact ids more than once: 'a' (row 2, row 5), 'b' (row 1, row 3)"
        )
        assert "@" not in message

    def test_duplicates_in_parts(self, folder):
        """With part files, rows are told by file."""
        folder.write(f"{KEY}/contacts/1.csv", "contact_id\nx\na\n")
        folder.write(f"{KEY}/contacts/2.csv", "contact_id\na\n")
        fails(folder.tables().contacts, "'a' (contacts/1.csv row 2, contacts/2.csv row 1)")

    def test_duplicates_in_a_slice(self, folder):
        """A slice that holds a duplicate is the same error; one that does not is fine."""
        tables = contacts_of(folder, "contact_id\nb\na\nb\n")
        fails(lambda: tables.contacts(only=["b"]), "'b' (row 1, row 3)")
        assert ids(tables.contacts(only=["a"])) == ["a"]

    def test_case_is_kept(self, folder):
        """Ids that differ in case or blanks only are different contacts."""
        assert len(contacts_of(folder, "contact_id\na\nA\n a\n").contacts()) == 3

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_empty_contacts(self, folder, suffix):
        """A contacts table without rows is unsound; runs read it, for the guard to ask about."""
        empty = pa.table({"contact_id": pa.array([], pa.string())})
        content = "contact_id\n" if suffix == "csv" else empty
        tables = contacts_of(folder, content, suffix)
        assert len(tables.contacts()) == tables.count("contacts") == 0
        [finding] = check_snapshot(tables)
        assert "the table has no rows" in str(finding)


class TestOptStates:
    def test_texts(self, folder):
        """true, false, yes, no, 1, 0 are understood in any case; missing is not unsubscribed."""
        states = ["true", "Yes", "1", "FALSE", "nO", "0", "", '""']
        rows = [f"{n},{state}" for n, state in enumerate(states)]
        frame = contacts_of(folder, "contact_id,unsubscribed\n" + "\n".join(rows)).contacts()
        assert frame["unsubscribed"].tolist() == [True] * 3 + [False] * 5
        assert str(frame["unsubscribed"].dtype) == "bool[pyarrow]"

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([True, False, None]),
            pa.array([1, 0, None], pa.int8()),
            pa.array([1.0, 0.0, float("nan")]),
            pa.array([Decimal(1), Decimal(0), None], pa.decimal128(3, 0)),
            pa.array(["yes", "no", ""]).dictionary_encode(),
        ],
    )
    def test_types(self, folder, values):
        """Booleans, 1 and 0 of any number type, and texts are understood."""
        table = pa.table({"contact_id": ["a", "b", "c"], "unsubscribed": values})
        frame = contacts_of(folder, table, "parquet").contacts(["unsubscribed"])
        assert frame["unsubscribed"].tolist() == [True, False, False]

    def test_missing_in_mailing_lists_means_opted_in(self, folder):
        """In mailing_lists no record of an opt-out means opted in."""
        contacts = contacts_of(folder, "contact_id\na\n")
        folder.write(f"{KEY}/mailing_lists.csv", "contact_id,opted_in\na,\na,no\n")
        assert contacts.rows("mailing_lists")["opted_in"].tolist() == [True, False]

    def test_a_subscription_must_say_yes_or_no(self, folder):
        """A row of subscriptions exists to say who opted in or out: one that does not is wrong."""
        tables = contacts_of(folder, "contact_id\na\n")
        rows = "contact_id,scope,opted_in\na,directory,yes\na,directory,\n"
        folder.write(f"{KEY}/subscriptions.csv", rows)
        expected = "1 row without 'opted_in': row 2, contact 'a'; each must say true or false"
        with pytest.raises(DataError, match=expected):
            tables.rows("subscriptions")
        assert [each.message for each in check_snapshot(tables) if expected in each.message]

    def test_all_missing(self, folder):
        """A column of nothing means that nobody opted out."""
        table = pa.table({"contact_id": ["a"], "unsubscribed": pa.nulls(1)})
        assert not contacts_of(folder, table, "parquet").contacts()["unsubscribed"][0]

    def test_other_values(self, folder):
        """Any other value is an error with the value and the contact's id."""
        tables = contacts_of(folder, "contact_id,unsubscribed\na,yes\nb,maybe\nc, true\n")
        fails(
            tables.contacts,
            "2 rows of 'unsubscribed' that are no booleans",
            "row 2, contact 'b': 'maybe', row 3, contact 'c': ' true'; allowed: booleans, 1, 0",
        )
        fails(lambda: tables.contacts(only=["b"]), "row 2, contact 'b': 'maybe'")
        assert ids(tables.contacts([])) == ["a", "b", "c"]

    @pytest.mark.parametrize("values", [[2], [0.5], [dt.date.max], [["yes"]]])
    def test_other_types(self, folder, values):
        """Another number or a date is an error as well."""
        table = pa.table({"contact_id": ["a"], "unsubscribed": values})
        fails(contacts_of(folder, table, "parquet").contacts, "1 row of 'unsubscribed'", "'a'")

    def test_no_contact_text(self, folder):
        """A column mapped by mistake does not put addresses, numbers or names into the message."""
        mapping = {"contacts": {"unsubscribed": "who"}}
        names = ["ann@x.org", "+491701234567", "Ann", "Bob", "Cy", "Di", "Ed"]
        rows = "".join(f"{n},{name}\n" for n, name in enumerate(names))
        tables = contacts_of(folder, "contact_id,who\n" + rows, columns=mapping)
        message = fails(tables.contacts, "7 rows", "row 1, contact '0'")
        assert not any(name in message for name in names)
        one = contacts_of(folder, "contact_id,who\n0,ann@x.org\n1,+4917012345\n", columns=mapping)
        assert "9 characters" in (message := fails(one.contacts))
        assert not any(name[:9] in message for name in names[:2])

    def test_transactions_have_none(self, folder):
        """A transaction's field that happens to be called opted_in is left as it is."""
        folder.write(f"{KEY}/transactions.csv", "contact_id,opted_in\na,maybe\n")
        tables = contacts_of(folder, "contact_id\na\n")
        assert tables.rows("transactions")["opted_in"].tolist() == ["maybe"]
