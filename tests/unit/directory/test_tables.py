"""A snapshot's tables: the files that they are, and the rows and columns that are asked."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packaging.version import Version

from segue.directory.snapshot_check import check_snapshot
from segue.errors import DataError

from .conftest import KEY, contacts_of, fails, ids

not_in_old_parquet = pytest.mark.skipif(
    Version(pa.__version__) < Version("26"), reason="pyarrow before 26 cannot write or read it"
)


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
            pytest.param(pa.list_view(pa.int64()), marks=not_in_old_parquet),
            pytest.param(pa.large_list_view(pa.int64()), marks=not_in_old_parquet),
            pa.list_(pa.int64()),
            pytest.param(pa.list_(pa.int64(), 2), marks=not_in_old_parquet),
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
