"""CSV files: every column is text, and one that is none says where it breaks."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from segue.directory import csv_parts
from segue.directory.opt_outs import count_opt_outs
from segue.directory.snapshot_check import check_snapshot, lacking_columns
from segue.directory.tables import SnapshotTables

from .conftest import KEY, contacts_of, fails, ids


class TestCsv:
    def test_text_stays_text(self, folder):
        """Only the empty field is missing, quoted or not; NA, null, nan and 007 stay text."""
        rows = ["1,NA", "2,null", "3,nan", "4,007", '5,""', "6,", "7, ", "8,NULL", "9,1.50"]
        frame = contacts_of(folder, "contact_id,v\n" + "\n".join(rows) + "\n").contacts()
        values = ["NA", "null", "nan", "007", None, None, " ", "NULL", "1.50"]
        assert [None if pd.isna(value) else value for value in frame["v"]] == values

    def test_ids_are_opaque(self, folder):
        """Ids are never trimmed, lower-cased, or parsed: NA, 007, 7 and ' 7' are four contacts."""
        frame = contacts_of(folder, "contact_id\nNA\n007\n7\n 7\nnan\nAbc\nabc\n").contacts()
        assert ids(frame) == [" 7", "007", "7", "Abc", "NA", "abc", "nan"]

    def test_quoting(self, folder):
        """Quoted commas, quotes and line breaks are part of a value; a BOM is not."""
        text = '\ufeffcontact_id,note\r\na,"x, ""y""\r\nz"\r\nb,plain\r\n'
        frame = contacts_of(folder, text).contacts()
        assert frame["note"].tolist() == ['x, "y"\r\nz', "plain"]

    def test_a_comma_at_the_end_of_every_row_is_a_column_without_a_name(self, folder):
        """As some programs write it: a field that nobody asks for."""
        tables = contacts_of(folder, "contact_id,tier,\na,gold,\nb,silver,x\n")
        assert ids(tables.contacts(["tier"])) == ["a", "b"]
        assert tables.table("contacts").has_one_type(["tier"])
        assert check_snapshot(tables) == []

    def test_ragged_rows(self, folder):
        """Rows with too many or too few fields are an error with their numbers, not their text."""
        text = "contact_id,email\na,a@example.com\nb\nc,c@example.com,x\n"
        message = fails(
            contacts_of(folder, text).contacts,
            "contacts.csv: rows with another number of fields than the header's 2 (2 of them): "
            "row 2 has 1, row 3 has 3",
        )
        assert "example.com" not in message

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            ("contact_id;name", "separated by semicolons; expected commas"),
            ("contact_id\tname", "separated by tabs; expected commas"),
            ("contact_id|name", "separated by bars; expected commas"),
            ("CONTACT_ID,NAME", "but 'CONTACT_ID': names are compared exactly"),
            (" contact_id,name", "but ' contact_id': names are compared exactly"),
        ],
    )
    def test_headers_of_others(self, folder, header, told):
        """Another separator, upper case or a blank in the header are told as what they are."""
        tables = contacts_of(folder, f"{header}\n")
        text = fails(lambda: tables.contacts(["tier", "city"]), told)
        assert text.count("separated by") <= 1
        assert len(lacking_columns(tables)) == 1

    @pytest.mark.parametrize(
        ("mark", "called"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
    )
    @pytest.mark.parametrize("value", ["a", '"a"', '"a""b"'])
    def test_another_separator_is_told_first_and_alone(self, folder, mark, called, value):
        """Whoever asks is told of it once, and of nothing that follows from it."""
        tables = contacts_of(folder, f"contact_id{mark}name\nc1{mark}{value}\n")
        said = f"its first line is separated by {called}; expected commas"
        findings = [*check_snapshot(tables), *lacking_columns(tables)]
        assert [str(each).partition(": ")[2] for each in findings] == [said, said]
        for read in (
            lambda: tables.columns("contacts"),
            tables.contacts,
            lambda: count_opt_outs(tables),
        ):
            assert fails(read, said)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "Empty CSV"),
            (b"contact_id\n\xff\n", "is not UTF-8"),
            (b"contact_id,contact_id\na,b\n", "two columns are named 'contact_id'"),
        ],
    )
    def test_unreadable(self, folder, content, told):
        """An empty file, bytes that are not UTF-8 and a name used twice are errors."""
        fails(contacts_of(folder, content).contacts, "contacts.csv: ", told)

    def test_truncated_gzip(self, folder):
        """A gzip file that was cut off is an error, not a shorter table."""
        data = gzip.compress(b"contact_id\n" + b"".join(b"%d\n" % n for n in range(999)))
        folder.write(f"{KEY}/contacts/a.csv", "contact_id\nx\n")
        path = folder.root / KEY / "contacts" / "b.csv.gz"
        path.write_bytes(data[:-20])
        fails(folder.tables().contacts, "contacts/b.csv.gz: cannot be read")

    def test_several_gzip_members(self, folder):
        """A gzip file of several members, as logs are concatenated, is read whole."""
        folder.write(f"{KEY}/contacts.csv.gz", "contact_id\na\n")
        path = folder.root / KEY / "contacts.csv.gz"
        path.write_bytes(path.read_bytes() + gzip.compress(b"b\n"))
        assert ids(folder.tables().contacts()) == ["a", "b"]

    def test_many_blocks(self, folder, monkeypatch):
        """A file of many blocks is read in order; `only` and row numbers reach all of them."""
        monkeypatch.setattr(csv_parts, "_BLOCK", 200)
        rows = [f'{n},"line\n{n}"' for n in range(500)]
        folder.write(f"{KEY}/transactions.csv", "contact_id,x\n" + "\n".join(rows))
        folder.write(f"{KEY}/subscriptions.csv", "contact_id,x\n" + "\n".join([*rows, "a"]))
        tables = contacts_of(folder, "contact_id\na\n")
        assert ids(tables.rows("transactions")) == [str(n) for n in range(500)]
        assert ids(tables.rows("transactions", only=["499", "0", "250"])) == ["0", "250", "499"]
        fails(lambda: tables.rows("subscriptions", only=["3"]), "(1 of them): row 501 has 1")

    @pytest.mark.parametrize("header", ["contact_id,date", "contact_id", '"contact_id","date"'])
    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
    def test_header_only(self, folder, header, end):
        """A table with a header and no rows is there, and empty, with a line end or without."""
        folder.write(f"{KEY}/transactions.csv", f"{header}{end}")
        tables = contacts_of(folder, "contact_id\na\n")
        assert tables.has("transactions")
        assert tables.columns("transactions") == header.replace('"', "").split(",")
        assert len(tables.rows("transactions")) == tables.count("transactions") == 0

    def test_an_error_names_its_place_once(self, folder):
        """Whichever question is asked first."""
        for ask in (SnapshotTables.count, SnapshotTables.slices, SnapshotTables.columns):
            text = fails(lambda ask=ask: ask(contacts_of(folder, ""), "contacts"), "contacts.csv")
            assert text.count("snapshot") == 1


NAMES = "contact_id,note,tier\n"
COMPRESSED = gzip.compress(f"{NAMES}a,x,gold\n".encode())


@pytest.mark.parametrize(
    ("text", "place"),
    [("{names}a,x,gold\nb,café,gold\n", "line 3, column 'note': it is not UTF-8"),
     ("{names}a,x,gold\nb,x,é\nc,é,x\n", "line 3, column 'tier': it is not UTF-8"),
     ("{names}a,x,gold\nb,é\n", "line 3: it is not UTF-8"),
     ("{names}a,x,gold\nb,x,é\nc,é,x,y\n", "line 3, column 'tier': it is not UTF-8"),
     ("{names}a,x\nb,é\rx,y\n", "line 3: it is not UTF-8"),
     ("contact_id,café\na,x\n", "line 1, of the columns' names: it is not UTF-8")],
)  # fmt: skip
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_csv_that_is_not_utf8_says_where(folder, text, place, suffix):
    content = text.format(names=NAMES).encode("latin-1")
    fails(contacts_of(folder, content, suffix).contacts, f"contacts.{suffix}: {place}")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])  # the latter compresses once more
def test_what_is_compressed_beyond_its_name_says_so(folder, suffix):
    tables = contacts_of(folder, COMPRESSED, suffix)
    fails(tables.contacts, f"contacts.{suffix}: it is compressed with gzip", "ends in .csv.gz")


@pytest.mark.parametrize("note", ["y" * 900, '"' + "y\n" * 450 + '"'])
@pytest.mark.parametrize("row", [0, 1, 4])
@pytest.mark.parametrize("where", ["value", "name"])
def test_a_row_larger_than_a_block_is_read(folder, monkeypatch, note, row, where):
    """Up to a bound, beyond which the error says what to do."""
    monkeypatch.setattr(csv_parts, "_BLOCK", 200)
    monkeypatch.setattr(csv_parts, "_HEAD", 100)
    rows = [f"{name},{note if place == row else 'x'}" for place, name in enumerate("abcde")]
    head = f"contact_id,{note if where == 'name' else 'note'}"
    content = "\n".join([head, *rows]) + "\n"
    monkeypatch.setattr(csv_parts, "_LONGEST_ROW", 5000)
    tables = contacts_of(folder, content)
    assert ids(tables.contacts()) == list("abcde")
    assert len(tables.contacts(only="abcde").iloc[row, 1]) == 900
    monkeypatch.setattr(csv_parts, "_LONGEST_ROW", 300)
    fails(contacts_of(folder, content).contacts, "never closed")
