from __future__ import annotations

import cProfile
import datetime as dt
import gzip
import io
import uuid
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory import csv_parts
from segue.directory.checks import describe_places
from segue.directory.csv_quotes import QuoteReader
from segue.directory.opt_outs import count_opt_outs
from segue.directory.snapshot_check import check_snapshot, lacking_columns, table_reports
from segue.directory.tables import SnapshotTables
from segue.errors import DataError

from .conftest import KEY

WHERE = f"directory customers, snapshot {KEY}"


def ids(frame):
    return frame["contact_id"].tolist()


def fails(call, *parts):
    """Return the message of the DataError that ``call`` raises; it must contain ``parts``."""
    with pytest.raises(DataError) as error:
        call()
    message = str(error.value)
    for part in (WHERE, *parts):
        assert part in message
    return message


def contacts_of(folder, content, suffix="csv", **keys):
    folder.write(f"{KEY}/contacts.{suffix}", content)
    return folder.tables(**keys)


class TestShapes:
    @pytest.mark.parametrize("name", ["contacts.csv", "contacts.csv.gz", "contacts/part-0.csv.gz"])
    def test_csv(self, folder, name):
        """A CSV table is one file, gzipped or not, or a folder of them."""
        folder.write(f"{KEY}/{name}", "contact_id,email\nb,b@x\na,\n")
        frame = folder.tables().contacts()
        assert frame.columns.tolist() == ["contact_id", "email"]
        assert ids(frame) == ["a", "b"]
        assert frame["email"].isna().tolist() == [True, False]
        assert frame.index.equals(pd.RangeIndex(2))

    @pytest.mark.parametrize("name", ["contacts.parquet", "contacts/p.snappy.parquet",
                                      "contacts.parquet/part-0.parquet"])  # fmt: skip
    def test_parquet(self, folder, name):
        """A Parquet table is one file or a folder of them, also as Spark names it."""
        folder.write(f"{KEY}/{name}", pa.table({"contact_id": ["b", "a"], "n": [2, 1]}))
        frame = folder.tables().contacts()
        assert ids(frame) == ["a", "b"]
        assert frame["n"].tolist() == [1, 2]

    def test_parts(self, folder):
        """Part files are read by column name, in the order of their names; CSV may be gzipped."""
        folder.write(f"{KEY}/contacts.csv", "contact_id\na\n")
        folder.write(f"{KEY}/transactions/part-1.csv.gz", "amount,contact_id\n2,a\n")
        folder.write(f"{KEY}/transactions/part-0.csv", "contact_id,amount\na,3\na,1\n")
        folder.write(f"{KEY}/transactions/_SUCCESS", "")
        folder.write(f"{KEY}/transactions/.part-0.csv.crc", "x")
        frame = folder.tables().rows("transactions", ["amount"])
        assert frame["amount"].tolist() == ["3", "1", "2"]

    def test_mixed_formats(self, folder):
        """Parquet and CSV within one table are an error that names the files."""
        folder.write(f"{KEY}/contacts/a.csv", "contact_id\na\n")
        folder.write(f"{KEY}/contacts/b.parquet", pa.table({"contact_id": ["b"]}))
        fails(folder.tables().contacts, "contacts/a.csv, contacts/b.parquet", "of one format")

    @pytest.mark.parametrize("other", ["contacts.parquet", "contacts.csv.gz", "contacts/a.csv"])
    def test_two_sources(self, folder, other):
        """A table that is there twice is an error: nobody can tell which one counts."""
        folder.write(f"{KEY}/contacts.csv", "contact_id\na\n")
        folder.write(f"{KEY}/{other}", "contact_id\nb\n")
        fails(folder.tables().contacts, "contacts.csv", other, "expected one file")

    def test_unknown_part(self, folder):
        """A file of another kind among the parts is an error, not a loss in silence."""
        folder.write(f"{KEY}/contacts/part-00000", "contact_id\na\n")
        fails(folder.tables().contacts, "contacts/part-00000", "allowed: .parquet, .csv, .csv.gz")

    def test_nested_part(self, folder):
        """Part files in deeper folders are an error: their folders' names would be lost."""
        folder.write(f"{KEY}/contacts/country=de/a.csv", "contact_id\na\n")
        fails(folder.tables().contacts, "contacts/country=de/a.csv", "in a folder within")

    @pytest.mark.parametrize(
        ("second", "told"),
        [
            ("contact_id,tier\nb,gold\n", "has no column 'plan', which contacts/1.csv has"),
            ("contact_id,plan,tier\nb,x,y\n", "has a column 'tier', which contacts/1.csv has not"),
        ],
    )
    def test_differing_columns(self, folder, second, told):
        """Parts with differing columns are an error that names file and column."""
        folder.write(f"{KEY}/contacts/1.csv", "contact_id,plan\na,x\n")
        folder.write(f"{KEY}/contacts/2.csv", second)
        fails(folder.tables().contacts, "contacts/2.csv: ", told)

    def test_differing_types(self, folder):
        """Parts whose types do not go together are an error that names file, column and types."""
        folder.write(f"{KEY}/contacts/1.parquet", pa.table({"contact_id": ["a"], "n": [1]}))
        folder.write(f"{KEY}/contacts/2.parquet", pa.table({"contact_id": ["b"], "n": ["x"]}))
        fails(folder.tables().contacts, "contacts/2.parquet: column 'n' is", "is int64")

    def test_types_that_go_together(self, folder):
        """Parts may differ in width, and in a column that one part knows only as missing."""
        first = {"contact_id": ["a"], "n": pa.array([1], pa.int32()), "t": pa.nulls(1)}
        folder.write(f"{KEY}/contacts/1.parquet", pa.table(first))
        second = {"contact_id": [7], "n": pa.array([2**40], pa.int64()), "t": ["x"]}
        folder.write(f"{KEY}/contacts/2.parquet", pa.table(second))
        frame = folder.tables().contacts()
        assert ids(frame) == ["7", "a"]
        assert frame["n"].tolist() == [2**40, 1]
        assert frame["t"].isna().tolist() == [False, True]

    @pytest.mark.parametrize(
        "kind",
        [
            pa.list_view(pa.int64()),
            pa.large_list_view(pa.int64()),
            pa.list_(pa.int64()),
            pa.list_(pa.int64(), 2),
            pa.map_(pa.string(), pa.int64()),
            pa.struct({"a": pa.int64()}),
            pa.decimal256(40, 2),
        ],
        ids=str,
    )
    def test_a_part_without_a_value_goes_with_any_type(self, folder, kind):
        """Arrow has no cast from null to some of them."""
        for number, values in enumerate([pa.nulls(1, kind), pa.nulls(1)]):
            rows = pa.table({"contact_id": [f"a{number}"], "x": values})
            folder.write(f"{KEY}/contacts/{number}.parquet", rows)
        read = [piece.read(["x"]).column("x") for piece in folder.tables().slices("contacts")]
        assert read[0].type == read[1].type
        assert pa.chunked_array([*read[0].chunks, *read[1].chunks]).null_count == 2
        assert check_snapshot(folder.tables()) == []

    @pytest.mark.parametrize(
        ("whole", "other", "merged"),
        [
            (pa.array([5, 2**60 + 1]), pa.array([0.5, None]), "double"),
            (pa.array([2**63 + 1, 1], pa.uint64()), pa.array([-1, 1]), "int64"),
        ],
    )
    def test_values_that_no_common_type_holds(self, folder, whole, other, merged):
        """Where a common type would change a value, files, column and types are named, no value."""
        for number, values in enumerate([other, whole]):
            rows = pa.table({"contact_id": [f"a{number}", f"b{number}"], "n": values})
            folder.write(f"{KEY}/contacts/{number}.parquet", rows)
        told = (
            f"contacts/1.parquet: column 'n' is {whole.type} with values that no {merged} "
            f"equals; in contacts/0.parquet it is {other.type}"
        )
        fails(folder.tables().contacts, told)
        with pytest.raises(DataError, match=r"22, contacts/1\.parquet: column 'n' is"):
            [piece.read(["n"]) for piece in folder.tables().slices("contacts")]
        (finding,) = check_snapshot(folder.tables())
        assert told in finding.message
        assert str(max(whole.to_pylist())) not in finding.message

    def test_has_and_columns(self, folder):
        """`has` and `columns` answer for every table; an absent one has no columns."""
        folder.write(f"{KEY}/contacts.csv", "plan,CustomerID\nx,a\n")
        tables = folder.tables(columns={"contacts": {"contact_id": "CustomerID"}})
        assert tables.has("contacts")
        assert not tables.has("transactions")
        assert tables.columns("contacts") == ["plan", "contact_id"]
        assert tables.columns("transactions") == []

    def test_absent_table(self, folder):
        """Reading a table that is not there is an error that names those that are."""
        tables = contacts_of(folder, "contact_id\na\n")
        fails(lambda: tables.rows("transactions"), "no such table; the snapshot has contacts")


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

    @pytest.mark.parametrize("only", [None, ["a"]])
    def test_unclosed_quote(self, folder, only):
        """A quote that is never closed is an error, not the silent loss of the rows behind it."""
        tables = contacts_of(folder, 'contact_id,note\na,"x\nb,y\nc,z\n')
        fails(lambda: tables.contacts(only=only), "a quoted value is never closed")

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                'a,x\nb,"Rocky\nc,y\nd,"Duke\n',
                "line 5: a quote character is out of place, for a value",
            ),
            ('a,"Acme \\"West\\" Ltd"\n', "line 2: a quote character is out of place"),
            ('a,5" nail 6" nail\n', "line 2: a quote character is out of place"),
            ('a, "x"\n', "line 2: a quote character is out of place"),
            ('a,"x" \nb,y\n', "line 2: a quote character is out of place"),
            ('a,"x"y\n', "line 2: a quote character is out of place"),
            ('a,""x""\n', "line 2: a quote character is out of place"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
    @pytest.mark.parametrize("only", [None, ["a"]])
    def test_stray_quotes(self, folder, text, told, suffix, only):
        """Quotes that RFC 4180 does not allow are refused: Arrow would join the rows between."""
        tables = contacts_of(folder, "contact_id,note\n" + text, suffix)
        message = fails(lambda: tables.contacts(only=only), told)
        assert "Duke" not in message
        assert told in str(check_snapshot(tables)[0])

    @pytest.mark.parametrize("size", [3, 4, 7, 1000])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
    def test_quotes_in_their_place(self, size, end):
        """Whatever bytes come together, a value may be quoted, empty, and hold quotes and lines."""
        text = '\ufeff"id","n"\n1,""\n2,"x, ""y""\r\nz"\n"3",""""\n4,"' + '"""' + end
        stream = QuoteReader(io.BytesIO(text.encode()))
        while stream.read(size):
            pass
        stream.check_quotes()

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


class TestParquet:
    def test_more_digits_than_any_decimal_has(self, folder):
        """Whole numbers beside a decimal that has no room for them are told like other types."""
        wide = pa.array([Decimal(1)], pa.decimal256(76, 60))
        folder.write(f"{KEY}/contacts/a.parquet", pa.table({"contact_id": ["a"], "v": wide}))
        folder.write(f"{KEY}/contacts/b.parquet", pa.table({"contact_id": ["b"], "v": [3]}))
        fails(folder.tables().contacts, "column 'v' is int64", "expected one type")

    def test_dtypes(self, folder):
        """Types are kept, dictionaries decoded, text is large_string, NaN is missing."""
        noon = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
        table = pa.table(
            {
                "contact_id": pa.array(["a", "b"]),
                "tier": pa.array(["gold", None]).dictionary_encode(),
                "score": pa.array([1.5, float("nan")]),
                "count": pa.array([2**60, None], pa.int64()),
                "price": pa.array([Decimal("0.10"), None], pa.decimal128(10, 2)),
                "vip": pa.array([True, None]),
                "born": pa.array([dt.date(1990, 1, 2), None]),
                "created_at": pa.array([noon, None], pa.timestamp("us", "UTC")),
                "nothing": pa.nulls(2),
                "uid": pa.array([uuid.UUID(int=1).bytes, None], pa.uuid()),
                "tags": pa.array([["x"], None]),
            }
        )
        frame = contacts_of(folder, table, "parquet").contacts()
        assert {name: str(kind.pyarrow_dtype) for name, kind in frame.dtypes.items()} == {
            "contact_id": "large_string",
            "tier": "large_string",
            "score": "double",
            "count": "int64",
            "price": "decimal128(10, 2)",
            "vip": "bool",
            "born": "date32[day]",
            "created_at": "timestamp[us, tz=UTC]",
            "nothing": "large_string",
            "uid": "large_string",
            "tags": "list<element: string>",
        }
        assert frame.iloc[1].drop("contact_id").isna().all()
        assert frame["count"][0] == 2**60
        assert frame["price"][0] == Decimal("0.10")
        assert frame["uid"][0] == str(uuid.UUID(int=1))

    @pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.decimal128(20, 0), None])
    def test_whole_numbers_as_ids(self, folder, kind):
        """Ids of an integer type become their decimal text, and sort as text."""
        numbers = pa.array([10, 9, 101], pa.int64())
        table = pa.table(
            {"contact_id": numbers.cast(kind) if kind else numbers.dictionary_encode()}
        )
        tables = contacts_of(folder, table, "parquet")
        assert ids(tables.contacts()) == ["10", "101", "9"]
        assert ids(tables.contacts(only=["101", "x"])) == ["101"]

    @pytest.mark.parametrize(
        "values", [[1.0, 2.0], [Decimal("1.5")], [b"a", b"\xff"], [dt.date(2026, 1, 1)], [True]]
    )
    def test_other_types_as_ids(self, folder, values):
        """Ids of floating point, or anything that is not text or whole numbers, are an error."""
        tables = contacts_of(folder, pa.table({"contact_id": values}), "parquet")
        fails(tables.contacts, "contacts.parquet: contact ids are ", "allowed: text, or whole")
        fails(lambda: tables.contacts(only=["1"]), "contacts.parquet: contact ids are ")

    def test_empty_text_stays(self, folder):
        """An empty text of a Parquet column is left as it is; conditions treat it as missing."""
        frame = contacts_of(
            folder, pa.table({"contact_id": ["a"], "x": [""]}), "parquet"
        ).contacts()
        assert frame["x"].tolist() == [""]

    def test_pandas_index(self, folder):
        """The index that pandas keeps in a file is neither a column nor the frame's index."""
        sink = io.BytesIO()
        frame = pd.DataFrame({"contact_id": ["b", "a"]}, index=[5, 3])
        frame.to_parquet(sink)
        tables = contacts_of(folder, sink.getvalue(), "parquet")
        assert tables.columns("contacts") == ["contact_id"]
        assert tables.contacts().index.equals(pd.RangeIndex(2))

    def test_dots_in_names(self, folder):
        """A column whose name has a dot is not confused with a field of a struct."""
        table = pa.table({"contact_id": ["a"], "a.b": [1], "a": [{"b": 2}]})
        frame = contacts_of(folder, table, "parquet").contacts(["a.b"])
        assert frame["a.b"].tolist() == [1]

    @pytest.mark.parametrize("content", [b"", b"PAR1 this is not Parquet PAR1"])
    def test_unreadable(self, folder, content):
        """A file that is no Parquet is an error that names it."""
        fails(contacts_of(folder, content, "parquet").contacts, "contacts.parquet: cannot be read")

    def test_file_gone(self, folder):
        """A file that disappears between listing and reading is an error."""
        tables = contacts_of(folder, pa.table({"contact_id": ["a"]}), "parquet")
        assert tables.has("contacts")
        (folder.root / KEY / "contacts.parquet").unlink()
        fails(tables.contacts, "contacts.parquet: the file is gone")


class TestProjection:
    def test_columns_in_the_order_asked(self, folder):
        """contact_id comes first, then the asked columns in the order asked, each once."""
        table = pa.table({"x": [1], "contact_id": ["a"], "y": [2], "z": [3]})
        tables = contacts_of(folder, table, "parquet")
        asked = tables.contacts(["z", "x", "contact_id", "z"])
        assert asked.columns.tolist() == ["contact_id", "z", "x"]
        assert tables.contacts([]).columns.tolist() == ["contact_id"]
        assert tables.contacts().columns.tolist() == ["contact_id", "x", "y", "z"]

    def test_only_asked_columns_are_read(self, folder):
        """A column that nobody asks for is not decoded: a broken one does no harm."""
        folder.write(f"{KEY}/contacts.csv", b"contact_id,name\na,\xff\n")
        assert ids(folder.tables().contacts([])) == ["a"]
        fails(lambda: folder.tables().contacts(["name"]), "is not UTF-8")

    def test_unknown_column(self, folder):
        """An unknown column is an error with the nearest name, or with the names there are."""
        tables = contacts_of(folder, "contact_id,email\na,b\n")
        fails(lambda: tables.contacts(["emial"]), "no column 'emial'; did you mean 'email'?")
        fails(lambda: tables.contacts(["x"]), "no column 'x'; found 'contact_id', 'email'")

    def test_only_contacts(self, folder):
        """`only` keeps the rows of these contacts; an id that is not there is left out."""
        folder.write(f"{KEY}/transactions.csv", "contact_id,n\nb,1\na,2\nb,3\nc,4\n")
        tables = contacts_of(folder, "contact_id\nc\na\nb\n")
        assert ids(tables.contacts(only=["b", "zzz", "a", "a"])) == ["a", "b"]
        assert tables.rows("transactions", ["n"], only={"b"})["n"].tolist() == ["1", "3"]
        assert tables.rows("transactions", only=[]).columns.tolist() == ["contact_id", "n"]

    @pytest.mark.parametrize("rows_per_group", [1, 3, 100])
    @pytest.mark.parametrize("kind", [pa.string(), pa.int64()])
    def test_row_groups(self, local, rows_per_group, kind):
        """`only` finds its contacts in whichever row groups they are, in file order."""
        local.write(f"{KEY}/contacts.csv", "contact_id\n1\n")
        path = local.root / KEY / "transactions.parquet"
        numbers = [5, 3, 9, 1, 3, 7, 8, 3]
        table = pa.table({"contact_id": pa.array(numbers).cast(kind), "row": range(8)})
        pq.write_table(table, path, row_group_size=rows_per_group)
        frame = local.tables().rows("transactions", only=["3", "8"])
        assert frame["row"].tolist() == [1, 4, 6, 7]

    def test_row_groups_without_the_contacts_are_not_decoded(self, local, monkeypatch):
        """The least and greatest id of a row group keep it from being read."""
        path = local.root / KEY / "contacts.parquet"
        path.parent.mkdir(parents=True)
        table = pa.table({"contact_id": [f"{n:03}" for n in range(100)]})
        pq.write_table(table, path, row_group_size=10)
        decoded = []
        read = pq.ParquetFile.read_row_group

        def note(self, index, **options):
            decoded.append(index)
            return read(self, index, **options)

        monkeypatch.setattr(pq.ParquetFile, "read_row_group", note)
        assert ids(local.tables().contacts(only=["042", "0425"])) == ["042"]
        assert set(decoded) == {4}

    def test_code_point_order(self, folder):
        """Contacts are sorted by code point, whatever the language of the machine."""
        names = ["é", "z", "Z", "ｚ", "𝒵", "a", "B", "-", "10", "9"]
        tables = contacts_of(folder, "contact_id\n" + "\n".join(names))
        assert ids(tables.contacts()) == sorted(names)


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
