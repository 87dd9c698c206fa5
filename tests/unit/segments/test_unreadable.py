"""What cannot be read as what it is used for is counted, with its contacts, and never silence."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.columns.column_source import column_of
from segue.segments.columns.instant_spellings import read_instant
from segue.segments.conditions.parsing import parse_condition
from segue.segments.evaluation import evaluate
from segue.segments.fitness import mailing_list_names
from segue.segments.population import Population
from segue.segments.unreadable import (
    Reading,
    Use,
    condition_uses,
    find_unreadable,
    find_words_for_nothing,
    news_of,
    require_readable,
    text_uses,
)

NINE = dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)
LONDON = ZoneInfo("Europe/London")
READ = {  # what writes it: the text; all of them are nine o'clock in Greenwich
    "ISO 8601": "2026-11-20T09:00:00Z",
    "naive": "2026-11-20 09:00:00",
    "BigQuery": "2026-11-20 09:00:00 UTC",
    "BigQuery with a fraction": "2026-11-20 09:00:00.000000 UTC",
    "Snowflake": "2026-11-20 01:00:00.000 -0800",
    "SQL Server": "2026-11-20 09:00:00.0000000 +00:00",
    "PostgreSQL": "2026-11-20 09:00:00+00",
    "Ruby": "2026-11-20 09:00:00 +0000",
    "Shopify": "2026-11-20 04:00:00 -0500",
    "Java": "2026-11-20T09:00Z[UTC]",
    "Java with a zone": "2026-11-20T04:00:00-05:00[America/New_York]",
    "blanks around it": " 2026-11-20T09:00:00Z\t",
    "a blank before Z": "2026-11-20 09:00:00 Z",
}
UNREAD = [
    "20/11/2026", "11/20/2026 09:00", "20.11.2026", "20261120", "2026-W47-5", "20-NOV-26",
    "1763629200", "1763629200000", "46346.375", "2026-02-30", "2026-13-01", "2026-11-20 25:00:00",
    "0000-01-01", "2026-11-20 09:00:00 PST", "2026-11-20T09:00:00[Europe/London]",
    "2026-11-20 UTC", "yesterday", "NULL", " ",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def tables_of(folder, key="2026-11-22", **tables):
    """Write tables as CSV text or Parquet columns, and return them as a snapshot's."""
    path = folder / key
    path.mkdir(parents=True, exist_ok=True)
    for name, content in {"contacts": "contact_id\na\n", **tables}.items():
        if isinstance(content, str):
            (path / f"{name}.csv").write_text(content)
        else:
            (path / f"{name}.csv").unlink(missing_ok=True)
            pq.write_table(pa.table(content), path / f"{name}.parquet")
    directory = DirectoryDefinition.model_validate({"directory": "d", "snapshots": str(folder)})
    return SnapshotTables(directory, Snapshot(key, NINE, UPath(str(path)), True))


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_dates_as_databases_write_them_are_read(text):
    """One instant in the spellings of many programs, in whole columns and in single values."""
    column = column_of(pa.array([text, None]), LONDON)
    assert column.instants.value(0) == NINE
    single = read_instant(text)
    assert single.replace(tzinfo=single.tzinfo or LONDON) == NINE


def test_all_spellings_may_stand_in_one_column():
    """Each is read by itself: a column that mixes them loses nothing."""
    column = column_of(pa.array([*READ.values(), *UNREAD, None, ""]), LONDON)
    values = [column.instants.value(row) for row in range(column.size)]
    assert values == [NINE] * len(READ) + [None] * (len(UNREAD) + 2)


@pytest.mark.parametrize("text", UNREAD)
def test_other_dates_are_counted_with_their_contacts(folder, text):
    """What is no date, or none that there is, is told with its shape, and never with its text."""
    tables = tables_of(folder, transactions=f'contact_id,date\na,2026-11-20\nb,"{text}"\nc,\n')
    [found] = find_unreadable(tables, [Use("transactions", "date", Reading.DATE)])
    assert (found.count, found.present, found.contacts) == (1, 2, ("b",))
    assert "1 of 2 values cannot be read as a date" in str(found)
    assert not any(letter.isdigit() and letter != "9" for letter in found.shapes[0])
    assert read_instant(text) is None


NUMBERS = {"£12.50": "'£99.99'", "1,200.00": "'9,999.99'", "$1,200,000.00": "'$9,999,999.99'",
           "12,5": "'99,9'", "inf": "'aaa'", "NULL": "'AAAA'", "1 200": "'9 999'"}  # fmt: skip


@pytest.mark.parametrize(("text", "shape"), NUMBERS.items())
def test_amounts_that_are_no_numbers_are_counted(folder, text, shape):
    """A currency, or commas between thousands, make text of a number."""
    tables = tables_of(folder, contacts=f'contact_id,spent\na,12.50\nb,"{text}"\nc,-1e3\n')
    [found] = find_unreadable(tables, [Use("contacts", "spent", Reading.NUMBER)])
    assert (found.count, found.contacts, found.shapes) == (1, ("b",), (shape,))


@pytest.mark.parametrize("word", ["true", "YES", "1", "t", "Y", "false", "no", "0", "F", "n", ""])
def test_booleans_that_are_read(folder, word):
    """PostgreSQL writes t and f into CSV; y and n are as common."""
    tables = tables_of(folder, contacts=f"contact_id,vip,unsubscribed\na,{word},{word}\n")
    assert find_unreadable(tables, [Use("contacts", "vip", Reading.BOOLEAN)]) == []
    wanted = word.lower() in ("true", "yes", "1", "t", "y")
    column = column_of(tables.contacts(["vip"])["vip"], LONDON)
    assert column.booleans.true.tolist() == [wanted]
    assert tables.contacts(["unsubscribed"])["unsubscribed"].tolist() == [wanted]


@pytest.mark.parametrize("word", ["on", "ja", "x", "2", "oui", "active"])
def test_booleans_that_are_not(folder, word):
    """Any other word is counted."""
    tables = tables_of(folder, contacts=f"contact_id,vip\na,{word}\n")
    [found] = find_unreadable(tables, [Use("contacts", "vip", Reading.BOOLEAN)])
    assert found.count == 1


SPELLINGS = ["Europe/London", " america/new_york ", "america_slash_new_york"]
ZONES = ["america_new_york", "Eastern Time (US & Canada)", "atlantis/capital", "EDT+4 "]


def test_time_zones_that_nobody_knows_are_counted(folder):
    """A field that names a contact's time zone names one that there is; else another holds."""
    rows = "".join(f'{place},"{zone}"\n' for place, zone in enumerate([*SPELLINGS, *ZONES, ""]))
    tables = tables_of(folder, contacts=f"contact_id,zone\n{rows}")
    [found] = find_unreadable(tables, [Use("contacts", "zone", Reading.ZONE)])
    assert (found.count, found.present) == (4, 7)


MOMENT = pa.array([NINE, None], pa.timestamp("us", "UTC"))
COLUMNS = [  # a column of two contacts of which the second has no value, and what it cannot be
    (MOMENT, {"number", "boolean"}),
    (MOMENT.cast(pa.date32()), {"number", "boolean"}),
    (pa.array([5, None]), {"date", "boolean"}),
    (pa.array([Decimal("1.5"), None]), {"date", "boolean"}),
    (pa.array([True, None]), {"date", "number"}),
    (pa.array([1, None]), {"date"}),
    (pa.array([b"1", None]), {"date"}),
    (pa.array(["1", None]).dictionary_encode(), {"date"}),
    (pa.array([["1"], None]), {"date", "number", "boolean"}),
    (pa.array([{"a": 1}, None]), {"date", "number", "boolean"}),
    (pa.array([dt.time(9), None]), {"date", "number", "boolean"}),
    (pa.array([dt.timedelta(1), None]), {"date", "number", "boolean"}),
    (pa.nulls(2), set()),
]


@pytest.mark.parametrize(
    ("column", "unreadable"), COLUMNS, ids=lambda c: str(getattr(c, "type", ""))
)
def test_every_type_as_every_use(folder, column, unreadable):
    """A typed column that is never what it is used for is unreadable as a whole."""
    tables = tables_of(folder, contacts={"contact_id": ["a", "b"], "v": column})
    uses = [Use("contacts", "v", reading) for reading in Reading if reading != Reading.ZONE]
    found = find_unreadable(tables, uses)
    assert {each.use.reading for each in found} == unreadable
    assert {(each.count, each.present, each.contacts) for each in found} <= {(1, 1, ("a",))}


def text_of(parts: list[bytes], kind: pa.DataType) -> pa.Array:
    """Return text as a writer that does not look at its bytes leaves it."""
    return pa.Array.from_buffers(kind, len(parts), pa.array(parts, pa.binary()).buffers())


BAD_TEXT = text_of([b"ok", b"caf\xe9", b"", b"null"], pa.string())


@pytest.mark.parametrize("column", [BAD_TEXT, BAD_TEXT.dictionary_encode()], ids=lambda c: c.type)
def test_text_that_is_not_utf8_is_counted_whatever_it_is_used_for(folder, column):
    """What Latin-1 wrote is missing to conditions and messages, and is never silence."""
    tables = tables_of(folder, contacts={"contact_id": list("abcd"), "v": column})
    [found] = find_unreadable(tables, text_uses(tables))
    assert (found.count, found.contacts) == (1, ("b",))
    assert str(found) == (
        "contacts.v: 1 of 3 values cannot be read as a text in UTF-8 and count as missing, such as "
        "bytes that are not UTF-8; contacts 'b'"
    )
    for reading in set(Reading) - {Reading.TEXT}:
        [found] = find_unreadable(tables, [Use("contacts", "v", reading)])
        assert "b" in found.contacts
        assert "bytes that are not UTF-8" in found.shapes
    assert [each.words for each in find_words_for_nothing(tables, "contacts")] == [("null",)]


def test_text_of_typed_files_is_proven_without_reading_whose_it_is(folder, monkeypatch):
    """The ids are the most of a table; they are read where there is somebody to name."""
    asked = []
    read = TableSlice.read
    monkeypatch.setattr(
        TableSlice, "read", lambda self, columns: (asked.append(columns), read(self, columns))[1]
    )
    sound, bad = (pa.array([first, b"y", None]).view(pa.string()) for first in (b"x", b"\xff"))
    for values, ids in ((sound, False), (sound.dictionary_encode(), False), (bad, True)):
        contacts = pa.table({"contact_id": list("abc"), "tier": values, "plan": values})
        tables = tables_of(folder, contacts=contacts)
        asked.clear()
        found = find_unreadable(tables, text_uses(tables))
        assert [(e.count, e.present, e.contacts) for e in found] == [(1, 2, ("a",))] * 2 * ids
        assert any("contact_id" in names for names in asked) == ids


PHOTO = b"\x89PNG"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(1)])
@pytest.mark.parametrize("encoded", [False, True])
def test_bytes_are_text_but_for_those_that_are_none(folder, kind, encoded):
    """One contact's bytes change no answer about another, in whatever slice they stand."""
    values = pa.array([b"x", b"\xff", b"x", None, b"y"]).cast(kind)
    contacts = pa.table({"contact_id": list("abcde"),
                         "v": values.dictionary_encode() if encoded else values})  # fmt: skip
    tables = tables_of(folder, contacts=contacts)
    assert text_uses(tables) == {Use("contacts", "v", Reading.TEXT)}
    found = find_unreadable(tables, text_uses(tables))
    assert [(each.count, each.present, each.contacts) for each in found] == [(1, 4, ("b",))]
    require_readable(tables, found)
    for only in (None, ["b"], ["a", "b"]):
        population = Population(tables.rows("contacts", ["v"], only=only), NINE, LONDON)
        for operators, expected in [
            ({"contains": "x"}, "ac"), ({"not_contains": "x"}, "bde"), ({"is_set": True}, "abce"),
            ({"equals": "X", "ignore_case": True}, "ac"), ({"one_of": ["y", 1]}, "e"),
            ({"not_in_past": "30d"}, "abcde"), ({"not_matches": "^x"}, "bde"),
            ({"at_least": 1}, ""),
        ]:  # fmt: skip
            mask = evaluate(parse_condition({"field": "v", **operators}), population)
            ids = population.contacts["contact_id"][mask]
            assert set(ids) == set(expected) & set(only or "abcde"), operators


@pytest.mark.parametrize(
    ("values", "texts"),
    [([PHOTO] * 3, False), ([PHOTO, b"", None], False), ([PHOTO] * 20 + [b"x"], False),
     ([PHOTO, b"x"], True), ([b"x"], True), ([b"", None], True)],
)  # fmt: skip
def test_only_a_column_with_hardly_any_text_is_none(folder, values, texts):
    """It can be asked whether there is a value; the whole table decides, never a slice of it."""
    contacts = pa.table({"contact_id": [str(n) for n in range(len(values))],
                         "v": pa.array(values, pa.binary())})  # fmt: skip
    tables = tables_of(folder, contacts=contacts)
    whether = condition_uses(parse_condition({"field": "v", "is_set": True}))
    require_readable(tables, find_unreadable(tables, set(whether)))
    for operators in ({"contains": "x"}, {"at_least": 1}, {"not_in_past": "30d"}):
        uses = set(condition_uses(parse_condition({"field": "v", **operators})))
        found = find_unreadable(tables, uses)
        if texts:
            require_readable(tables, found)
        else:
            with pytest.raises(DataError, match=r"contacts\.v: .*only is_empty, is_set"):
                require_readable(tables, found)


def test_a_condition_on_the_id_reads_it_once(folder):
    tables = tables_of(folder, contacts=pa.table({"contact_id": ["a", "b"]}))
    uses = set(condition_uses(parse_condition({"field": "contact_id", "one_of": ["a"]})))
    assert uses == {Use("contacts", "contact_id", Reading.TEXT)}
    assert find_unreadable(tables, uses) == []


def test_a_list_whose_name_is_not_utf8_is_nobodys_list(folder):
    names = text_of([b"News", b"\xff"], pa.string())
    lists = {"contact_id": ["a", "b"], "mailing_list": names, "opted_in": [True, True]}
    tables = tables_of(folder, contacts={"contact_id": ["a", "b"]}, mailing_lists=lists)
    assert mailing_list_names(tables) == {"News"}
    [found] = find_unreadable(tables, text_uses(tables))
    assert (found.use.table, found.contacts) == ("mailing_lists", ("b",))


def test_of_csv_no_text_is_read_only_to_see_whether_it_is_text(folder, monkeypatch):
    """Whoever reads it is told so by then."""
    tables = tables_of(folder, contacts="contact_id,v\na,x\n")
    monkeypatch.setattr("segue.segments.unreadable._of_slice", None)
    assert find_unreadable(tables, text_uses(tables)) == []


CONDITION = {"all": [
    {"field": "age", "at_least": 18}, {"field": "city", "equals": "Leeds"},
    {"not": {"field": "vip", "is_true": True}}, {"field": "flag", "not_equals": True},
    {"field": "seen", "not_in_past": "30d", "is_set": True}, {"field": "n", "one_of": [1, 2]},
    {"field": "mixed", "one_of": [1, "a"]},
    {"transactions": {"where": {"field": "paid", "between": [1, 2]}},
     "latest": {"field": "refunded", "before": "2026-01-01"}},
    {"transactions": {}, "sum": {"field": "amount", "at_least": 1}},
]}  # fmt: skip


def test_what_a_condition_uses():
    """The operator says what a column is read as; else it is the text it is."""
    uses = {
        (use.table, use.column): use.reading for use in condition_uses(parse_condition(CONDITION))
    }
    assert uses == {
        ("contacts", "age"): "number",
        ("contacts", "city"): "text in UTF-8",
        ("contacts", "mixed"): "text in UTF-8",
        ("contacts", "vip"): "boolean",
        ("contacts", "flag"): "boolean",
        ("contacts", "seen"): "date",
        ("contacts", "n"): "number",
        ("transactions", "date"): "date",
        ("transactions", "paid"): "number",
        ("transactions", "refunded"): "date",
        ("transactions", "amount"): "number",
    }


DATE = Use("transactions", "date", Reading.DATE)


def dated(folder, key, bad, good):
    """Write so many transactions without and with a date that can be read."""
    rows = [*["20/11/2026"] * bad, *["2026-11-20"] * good]
    text = "".join(f"a,{date}\n" for date in rows)
    return tables_of(folder, key, transactions=f"contact_id,date\n{text}")


@pytest.mark.parametrize(("bad", "good", "refused"), [(1, 9, False), (2, 9, True), (1, 0, True)])
def test_no_window_is_believed_beyond_a_share(folder, bad, good, refused):
    """Where more than 10 % of the dates cannot be read, nothing is judged by them."""
    tables = dated(folder, "2026-11-22", bad, good)
    found = find_unreadable(tables, [DATE])
    if not refused:
        require_readable(tables, found)
        return
    with pytest.raises(DataError, match="beyond 10% no condition on transactions is judged"):
        require_readable(tables, found)


def test_a_type_that_is_never_what_it_is_used_for_is_refused(folder):
    """A number that is read as a date is a mistake in the condition, and not in the data."""
    tables = tables_of(folder, contacts={"contact_id": ["a", "b"], "age": pa.array([5, None])})
    found = find_unreadable(tables, [Use("contacts", "age", Reading.DATE)])
    with pytest.raises(DataError, match=r"contacts\.age is a column of type number"):
        require_readable(tables, found)
    require_readable(tables, find_unreadable(tables, [Use("contacts", "age", Reading.NUMBER)]))


OPAQUE = {
    "lists": [["x"], [], None],
    "structs or maps": pa.array([[("k", "v")], [], None], pa.map_(pa.string(), pa.string())),
    "structs": pa.array([{"a": 1}, None, None]),
    "times of day": pa.array([dt.time(9), None, None]),
    "durations": pa.array([dt.timedelta(1), None, None]),
}
READERS = [
    {"equals": "x"}, {"not_contains": "x"}, {"none_of": ["x", 1]}, {"at_least": 1},
    {"is_false": True}, {"not_in_past": "30d"}, {"equals": "X", "ignore_case": True},
    {"not_matches": "x"},
]  # fmt: skip


@pytest.mark.parametrize("holds", OPAQUE)
@pytest.mark.parametrize("operators", READERS, ids=str)
def test_no_operator_reads_lists_and_the_like(holds, operators):
    """None of them could ever hold, and each complement would for everybody."""
    contacts = pa.table({"contact_id": ["a", "b", "c"], "tags": OPAQUE[holds]})
    population = Population(contacts.to_pandas(types_mapper=pd.ArrowDtype), NINE, LONDON)
    leaf = {"field": "tags", **operators}
    with pytest.raises(DataError, match=rf"contacts\.tags holds {holds}.*is_empty, is_set"):
        evaluate(parse_condition(leaf), population)
    empty = parse_condition({"field": "tags", "is_empty": True})
    assert evaluate(empty, population).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("before", "now", "is_news"),
    [((0, 100), (1, 99), False), ((0, 100), (2, 98), True), ((50, 50), (50, 50), False),
     ((2, 98), (50, 50), True), ((0, 0), (1, 9), True), ((0, 5), (1, 5), True)],
)  # fmt: skip
def test_a_new_share_is_news(folder, before, now, is_news):
    """A share that rose, or fell, by more than one of a hundred, however few the values are."""
    days = {"2026-11-21": before, "2026-11-22": now}
    unread = {day: find_unreadable(dated(folder, day, *each), [DATE]) for day, each in days.items()}
    for earlier, key in (tuple(days), tuple(reversed(days))):
        found = news_of(unread[earlier], unread[key], earlier, key)
        assert bool(found) == is_news
        assert all("in snapshot 2026-11-22 transactions.date" in line for line in found)


def test_words_for_nothing_are_counted(folder):
    """NULL, nan and a blank are names to a message; ids may be anything."""
    rows = ["NULL,Ann", "b,null", r"c,\N", "d, ", "e,", "f,Nan", 'g,"nan"']
    tables = tables_of(folder, contacts="contact_id,first_name\n" + "\n".join(rows) + "\n")
    [found] = find_words_for_nothing(tables, "contacts")
    assert (found.column, found.count) == ("first_name", 5)
    assert set(found.words) == {"null", r"\N", " ", "Nan", "nan"}


@pytest.mark.parametrize(
    "word", ["<NA>", "[NULL]", "N.A.", "#REF!", "(blank)", "--", "\xa0", "\u200b "]
)
def test_words_for_nothing_of_other_programs_are_counted(folder, word: str):
    """As pandas, database tools, spreadsheets and web forms write them."""
    tables = tables_of(folder, contacts=f"contact_id,first_name\na,{word}\nb,Ann\n")
    [found] = find_words_for_nothing(tables, "contacts")
    assert (found.words, found.count) == ((word,), 1)
