"""Columns under their standard names, by the directory's mapping."""

from __future__ import annotations

from segue.directory.snapshot_check import check_snapshot

from .conftest import contacts_of, fails


class TestMapping:
    MAPPING = {"contacts": {"contact_id": "CustomerID", "email": "EmailAddress"}}  # noqa: RUF012

    def test_standard_names(self, folder):
        """Their columns get our names; the rest keep their own."""
        text = "CustomerID,EmailAddress,plan\na,b@x,p\n"
        frame = contacts_of(folder, text, columns=self.MAPPING).contacts()
        assert frame.columns.tolist() == ["contact_id", "email", "plan"]

    def test_swapped_names(self, folder):
        """Names may be exchanged."""
        mapping = {"contacts": {"email": "phone", "phone": "email"}}
        frame = contacts_of(folder, "contact_id,email,phone\na,1,b@x\n", columns=mapping).contacts()
        assert frame[["email", "phone"]].to_numpy().tolist() == [["b@x", "1"]]

    def test_one_column_under_two_names(self, folder):
        """One of their columns may be two of ours."""
        mapping = {"contacts": {"contact_id": "id", "external_reference": "id"}}
        frame = contacts_of(folder, "id\na\n", columns=mapping).contacts()
        assert frame.to_dict("records") == [{"contact_id": "a", "external_reference": "a"}]

    def test_column_not_there(self, folder):
        """A mapped column that is not there is an error with the nearest name, once asked for."""
        tables = contacts_of(folder, "CustomerID,EmialAddress\na,x\n", columns=self.MAPPING)
        told = "no column 'EmailAddress', as the directory's `columns` calls 'email'"
        fails(lambda: tables.contacts(["email"]), told, "did you mean 'EmialAddress'?")
        assert tables.columns("contacts") == ["contact_id", "EmialAddress"]
        assert [finding.table for finding in check_snapshot(tables)] == ["contacts"]
        assert told in check_snapshot(tables)[0].message

    def test_two_columns_for_one_name(self, folder):
        """A mapped column beside one that already has the name is an error."""
        text = "CustomerID,email,EmailAddress\na,x,y\n"
        tables = contacts_of(folder, text, columns=self.MAPPING)
        fails(tables.contacts, "two columns are 'email'", "'EmailAddress'")

    def test_no_contact_id(self, folder):
        """A table without contact_id is an error that shows the columns there are."""
        tables = contacts_of(folder, "CustomerID,plan\na,x\n")
        told = "the directory's `columns` says which one holds 'contact_id'"
        fails(tables.contacts, "no column 'contact_id'; the file has 2 others", told)

    def test_file_without_header(self, folder):
        """What stands for a header is not repeated where it looks like an address."""
        message = fails(contacts_of(folder, "ann@example.com,x\nbob@example.com,y\n").contacts)
        assert "example.com" not in message
