"""Who opted out, and what looks as if it said so: read, or refused by name."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from segue.directory.opt_outs import count_opt_outs, opt_sources
from segue.directory.snapshot_check import check_snapshot
from segue.directory.unread import refuse_unread, subscriptions_in_force, unread_findings
from segue.errors import DataError

from .conftest import KEY

SEGMENTS = frozenset({"gold", "silver"})
SUBSCRIPTIONS = "contact_id,scope,opted_in\na,{scope},{state}\n"


@pytest.fixture
def tables(local):
    """Write contacts and other files, and return the snapshot's tables."""

    def make(rows="contact_id\na\nb\n", files=(), **keys):
        local.write(f"{KEY}/contacts.csv", rows)
        for name, content in dict(files).items():
            local.write(f"{KEY}/{name}", content)
        made = local.tables(**keys)
        made.directory = made.directory.with_segments(SEGMENTS)
        return made

    return make


def problems(made) -> str:
    """Return what the check finds; a run is refused for the same."""
    found = "\n".join(map(str, check_snapshot(made)))
    if found:
        with pytest.raises(DataError):
            refuse_unread(made)
    else:
        refuse_unread(made)
    return found


NAMED = {"mailing_lists": "mailing_list", "subscriptions": "scope"}
VALUES = {
    "text": pa.array(["directory"]),
    "bytes": pa.array([b"directory"]),
    "dictionary": pa.array(["directory"]).dictionary_encode(),
    "null": pa.nulls(1),
    "number": pa.array([3]),
    "decimal": pa.array([Decimal("1.5")]),
    "struct": pa.array([{"a": 1}]),
    "list": pa.array([["a"]]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "date": pa.array([date(2026, 1, 1)]),
    "time": pa.array([time(1)]),
    "boolean": pa.array([True]),
}


def _link_to_nowhere(folder):
    (folder / "subscriptions.csv").symlink_to("/nowhere/subscriptions.csv")


@pytest.mark.parametrize(
    "make",
    [
        _link_to_nowhere,
        lambda folder: (folder / "subscriptions").mkdir(),
        lambda folder: (folder / "subscriptions.csv").mkdir(),
        lambda folder: (folder / "opt_outs").mkdir(),
        lambda folder: (folder / "extra").mkdir() or (folder / "extra/unsubs.csv").write_text("x"),
    ],
)
def test_a_table_that_is_there_and_cannot_be_read_is_never_taken_for_absent(tables, local, make):
    """Whoever opted out in it would be written to."""
    made = tables()
    make(Path(str(local.root), KEY))
    assert "subscriptions" in (found := problems(made)) or "not read" in found


def test_the_directory_s_own_marker_is_no_table(tables):
    marker = {"complete_marker": "contacts.done"}
    assert problems(tables(files={"contacts.done": ""}, **marker)) == ""


@pytest.mark.parametrize("table", ["mailing_lists", "subscriptions"])
def test_a_mapped_opt_state_that_is_not_there_is_refused(tables, table):
    rows = "contact_id,mailing_list,scope,opted_in\na,x,directory,no\n"
    made = tables(files={f"{table}.csv": rows}, columns={table: {"opted_in": "Flag"}})
    assert "there is no column 'Flag'" in problems(made)


class TestColumns:
    @pytest.mark.parametrize("name", ["opted_in", "opted_out", "UNSUBSCRIBED", "unsubcribed"])
    @pytest.mark.parametrize("more", ["", ",unsubscribed"])
    def test_one_that_is_not_read(self, tables, name, more):
        """It is refused by its name, beside one that is read as well."""
        rows = f"contact_id,{name}{more}\na,no{',no' if more else ''}\n"
        assert f"contacts.csv: {name!r} looks like an opt state and is not read" in problems(
            tables(rows)
        )

    def test_a_field_like_any_other(self, tables):
        """The directory may say that a column is no opt state, by their name for it or by ours."""
        rows = "contact_id,sms_opt_in,DoNotCall\na,no,no\n"
        keys = {"columns": {"contacts": {"calls_forbidden": "DoNotCall"}}}
        assert "'sms_opt_in', 'DoNotCall' looks" in problems(tables(rows, **keys))
        for name in ("DoNotCall", "calls_forbidden"):
            consent = {"not_opt_states": ["sms_opt_in", name]}
            assert problems(tables(rows, consent=consent, **keys)) == ""

    @pytest.mark.parametrize(
        ("table", "ours", "theirs"),
        [("contacts", "mail_flag", "EmailOptOut"), ("contacts", "opted_out", "flag_7"),
         ("subscriptions", "flag", "unsubscribed"), ("mailing_lists", "flag", "OptOut")],
    )  # fmt: skip
    def test_another_name_hides_nothing(self, tables, table, ours, theirs):
        """A column is judged by the files' name for it and by the directory's."""
        columns = {"contacts": "unsubscribed", "subscriptions": "scope,opted_in"}
        more = columns.get(table, "mailing_list,opted_in")
        values = "no" if table == "contacts" else "directory,yes"
        rows = f"contact_id,{more},{theirs}\na,{values},no\n"
        keys = {"columns": {table: {ours: theirs}}}

        def made(**consent):
            if table == "contacts":
                return tables(rows, **keys, **consent)
            return tables(files={f"{table}.csv": rows}, **keys, **consent)

        assert f"{theirs!r} looks like an opt state" in problems(made())
        assert problems(made(consent={"not_opt_states": [ours]})) == ""

    @pytest.mark.parametrize("consent", [{"opted_out": "x"}, {"opted_in": "x"}])
    def test_the_standard_name_is_not_hidden_by_the_column_that_is_read(self, tables, consent):
        """Whoever said no in either column is not written to, or nothing is read."""
        rows = "contact_id,x,unsubscribed\na,no,no\nb,no,yes\n"
        assert "contacts.csv: 'unsubscribed' looks like an opt state" in problems(
            tables(rows, consent=consent)
        )
        columns = {"contacts": {"old_state": "unsubscribed"}}
        told = consent | {"not_opt_states": ["unsubscribed"]}
        with pytest.raises(ValidationError, match="a name of its own"):
            tables(rows, consent=told)
        made = tables(rows, consent=told, columns=columns)
        assert problems(made) == ""
        assert made.contacts()["old_state"].tolist() == ["no", "yes"]

    @pytest.mark.parametrize(("table", "column"), NAMED.items())
    @pytest.mark.parametrize("kind", VALUES)
    def test_a_column_of_names_that_are_none(self, tables, table, column, kind):
        """Is refused by whoever reads it, whatever it holds; a mailing list may be a number."""
        rows = pa.table({"contact_id": ["a"], column: VALUES[kind], "opted_in": [True]})
        made = tables(files={f"{table}.parquet": rows})
        is_name = kind in ("text", "bytes", "dictionary", "null") or (
            kind in ("number", "decimal") and table == "mailing_lists"
        )
        found = "; ".join(map(str, check_snapshot(made)))
        assert ("holds values of the kind" in found) is not is_name
        if is_name:
            assert len(made.rows(table)) == 1
            return
        for read in (lambda: made.rows(table), lambda: made.slices(table)[0].read([column])):
            with pytest.raises(DataError, match=f"'{column}' holds values of the kind"):
                read()

    @pytest.mark.parametrize("table", ["mailing_lists", "subscriptions"])
    def test_of_other_tables(self, tables, table):
        """Their opt state has one name, too."""
        rows = "contact_id,mailing_list,scope,opted_in,unsubscribed\na,x,directory,yes,yes\n"
        made = tables(files={f"{table}.csv": rows})
        assert f"{table}.csv: 'unsubscribed' looks like an opt state" in problems(made)

    @pytest.mark.parametrize(
        ("consent", "rows", "out"),
        [
            ({"opted_out": "No Mail"}, "contact_id,No Mail\na,yes\nb,no\nc,\n", ["a"]),
            (
                {"opted_in": "Accepts Mail"},
                "contact_id,Accepts Mail\na,no\nb,yes\nc,\n",
                ["a", "c"],
            ),
            ({"opted_in": "likes"}, "contact_id,likes\na,0\nb,1\nc,1\n", ["a"]),
        ],
    )
    def test_either_direction(self, tables, consent, rows, out):
        """Of those who must opt in, whoever did not say yes is opted out."""
        made = tables(rows, consent=consent)
        assert problems(made) == ""
        frame = made.contacts()
        assert frame[frame["unsubscribed"]]["contact_id"].tolist() == out
        own = next(iter(consent.values()))
        assert own in frame.columns, "it is a field, too"
        assert count_opt_outs(made).places == {f"contacts.{own}": len(out)}

    def test_by_our_name(self, tables):
        """`consent` may name a column as the directory's `columns` call it."""
        keys = {"columns": {"contacts": {"agrees": "AGR"}}, "consent": {"opted_in": "agrees"}}
        made = tables("contact_id,AGR\na,no\nb,yes\n", **keys)
        assert made.contacts()["unsubscribed"].tolist() == [True, False]

    def test_one_that_is_not_there(self, tables):
        """Without it everybody would count as opted in."""
        made = tables("contact_id,accepts_mail\na,no\n", consent={"opted_in": "accept_mail"})
        assert (
            "there is no column 'accept_mail', as the directory's `consent` calls it"
            in problems(made)
        )

    @pytest.mark.parametrize("direction", ["opted_in", "opted_out"])
    @pytest.mark.parametrize("is_there", [True, False])
    @pytest.mark.parametrize(
        ("beside", "columns", "others"),
        [
            ("", {}, []),
            ("", {"x": "X"}, []),
            (",unsubscribed", {}, []),
            (",unsubscribed", {"x": "X"}, []),
            (",unsubscribed", {"old": "unsubscribed"}, ["unsubscribed"]),
            (",x", {}, []),
            (",x", {"old": "x", "x": "X"}, []),
        ],
    )
    def test_nothing_stands_in_for_the_one_that_is_named(
        self, tables, direction, is_there, beside, columns, others
    ):
        """Where it is not there, no other column is read, least of all the other way round."""
        name = "x" if "x" in columns else "X"
        rows = "contact_id" + beside + (",X\n" if is_there else "\n")
        rows += "a" + (beside and ",no") + (",yes\n" if is_there else "\n")
        consent = {direction: name, "not_opt_states": others}
        made = tables(rows, consent=consent, columns={"contacts": columns})
        found = "\n".join(map(str, unread_findings(made)))
        if is_there:
            assert made.contacts()["unsubscribed"].tolist() == [direction == "opted_out"]
            assert "there is no column" not in found
        else:
            assert f"there is no column {name!r}, as the directory's `consent` calls it" in found
            assert found in problems(made)
            assert opt_sources(made) == {}

    def test_the_name_that_columns_hide_is_judged(self, local):
        """A column is read as the opposite of its name only where the directory's own says so."""
        for direction, theirs, ours in (
            ("opted_in", "HasOptedOutOfEmail", "accepts_mail"),
            ("opted_out", "accepts_marketing", "no_mail"),
        ):
            keys = {"columns": {"contacts": {"flag": theirs}}, "consent": {direction: "flag"}}
            with pytest.raises(ValidationError, match=theirs):
                local.definition(**keys)
            local.definition(columns={"contacts": {ours: theirs}}, consent={direction: ours})
            other = "opted_out" if direction == "opted_in" else "opted_in"
            local.definition(**keys | {"consent": {other: "flag"}})

    @pytest.mark.parametrize("table", ["contacts", "mailing_lists", "subscriptions"])
    @pytest.mark.parametrize("beside", ["", ",opted_in", ",status"])
    def test_one_that_columns_name_and_that_is_not_there(self, tables, table, beside):
        """In no table does another column stand in for it."""
        state = "unsubscribed" if table == "contacts" else "opted_in"
        beside = beside.replace("opted_in", state)
        more = {"contacts": "", "mailing_lists": ",mailing_list", "subscriptions": ",scope"}[table]
        rows = f"contact_id{more}{beside}\na{more and ',directory'}{beside and ',no'}\n"
        keys = {"columns": {table: {state: "Flag"}}}
        made = (
            tables(rows, **keys)
            if table == "contacts"
            else tables(files={f"{table}.csv": rows}, **keys)
        )
        assert f"no column 'Flag', as the directory's `columns` calls {state!r}" in problems(made)

    def test_values_must_be_yes_or_no(self, tables):
        """Whichever column it is, the check reads its values."""
        made = tables("contact_id,likes\na,perhaps\n", consent={"opted_in": "likes"})
        assert "no booleans" in "\n".join(map(str, check_snapshot(made)))
        with pytest.raises(DataError, match="no booleans"):
            made.contacts()

    @pytest.mark.parametrize(
        "keys",
        [
            {"columns": {"contacts": {"unsubscribed": "Accepts Email Marketing"}}},
            {"columns": {"subscriptions": {"opted_in": "opted_out"}}},
            {"consent": {"opted_out": "opted_in"}},
            {"consent": {"opted_in": "do_not_contact"}},
            {"consent": {"opted_in": "x", "opted_out": "y"}},
            {"consent": {"opted_in": "x", "not_opt_states": ["x"]}},
            {"consent": {"opted_in": "x"}, "columns": {"contacts": {"unsubscribed": "y"}}},
            {"consent": "None"},
        ],
    )
    def test_what_contradicts_itself(self, local, keys):
        """No is not read as yes, nor one thing said twice."""
        with pytest.raises(ValidationError):
            local.definition(**keys)

    def test_none_is_a_promise(self, tables):
        """A directory without consent must not have any."""
        assert problems(tables(consent="none")) == ""
        made = tables("contact_id,unsubscribed\na,yes\n", consent="none")
        assert "has contacts.unsubscribed, and the directory says `consent: none`" in problems(made)
        assert "'opted_in' looks like" in problems(
            tables("contact_id,opted_in\na,no\n", consent="none")
        )


class TestScopes:
    @pytest.mark.parametrize(
        "scope",
        ["Directory", "DIRECTORY", "directory ", "all", "", "email", "segment:Gold",
         "segment: gold", "segment:gold ", "gold", "segment:", "segment:bronze",
         "Segment:gold", "segments:gold"],
    )  # fmt: skip
    @pytest.mark.parametrize("format", ["csv", "parquet"])
    def test_one_that_nobody_knows(self, tables, scope, format):
        """Where it opts out the row is refused, with its place; an opt-in changes nothing."""

        def made(state):
            rows = SUBSCRIPTIONS.format(scope=scope, state=str(state).lower())
            if format == "parquet":
                columns = {"contact_id": ["a"], "scope": [scope or None], "opted_in": [state]}
                rows = pa.table(columns)
            return tables(files={f"subscriptions.{format}": rows})

        found = problems(made(False))
        told = repr(scope) if scope else "no scope"
        assert f"opt out of an unknown scope: row 1, contact 'a': {told}; allowed" in found
        with pytest.raises(DataError, match="unknown scope"):
            subscriptions_in_force(made(False), ["a"])
        assert subscriptions_in_force(made(False), ["b"]).empty
        assert problems(made(True)) == ""

    @pytest.mark.parametrize("scope", ["directory", "segment:gold", "segment:gone"])
    def test_one_that_is_known(self, tables, scope):
        """The directory, its segments, and those that it says were."""
        files = {"subscriptions.csv": SUBSCRIPTIONS.format(scope=scope, state="no")}
        made = tables(files=files, consent={"former_segments": ["gone"]})
        assert problems(made) == ""
        assert count_opt_outs(made).places == {f"subscriptions {scope}": 1}
        assert count_opt_outs(made).contacts == (scope == "directory")

    @pytest.mark.parametrize("missing", ["scope", "opted_in"])
    def test_columns_that_are_missing(self, tables, missing):
        """Both are needed: an error of the check and of whoever reads the rows."""
        kept = [name for name in ("contact_id", "scope", "opted_in") if name != missing]
        made = tables(files={"subscriptions.csv": ",".join(kept) + "\na,no\n"})
        assert f"there is no column '{missing}'" in problems(made)
        with pytest.raises(DataError, match="there is no column"):
            subscriptions_in_force(made, None)


class TestTables:
    @pytest.mark.parametrize(
        "name",
        ["Subscriptions.csv", "subscription.csv", "subscriptions_0_0_0.csv", "subscriptions.json",
         "subscriptions.csv.zst", "subscriptions.snappy.parquet", "Subscriptions/part-0.csv",
         "Transactions.csv", "mailinglists.csv", "opt_outs.csv", "Contacts.csv"],
    )  # fmt: skip
    def test_one_of_almost_the_right_name(self, tables, name):
        """It is refused by its name, and not left out in silence."""
        made = tables(files={name: "contact_id\na\n"})
        top = name.split("/")[0]
        assert f"{top}: seems to be a table and is not read" in problems(made)

    def test_names_of_other_programs(self, tables):
        """What begins with ``_`` or ``.`` is no table, nor what is called otherwise."""
        files = dict.fromkeys(["_subscriptions.csv", ".contacts.crc", "orders.csv"], "contact_id\n")
        assert problems(tables(files=files)) == ""

    @pytest.mark.parametrize(
        ("log", "kind"),
        [
            ("_delta_log/00000000000000000000.json", "Delta"),
            (".hoodie/hoodie.properties", "Hudi"),
            ("metadata/v1.metadata.json", "Iceberg"),
            ("metadata/00000-b5a1.gz.metadata.json", "Iceberg"),
        ],
    )
    @pytest.mark.parametrize("table", ["contacts", "transactions", "subscriptions"])
    def test_a_lake_table(self, local, table, log, kind):
        """Its folder holds files of several versions, which only its log tells apart."""
        local.write(f"{KEY}/contacts/part-0.csv", "contact_id\na\n")
        rows = "contact_id,date,scope,opted_in\na,,directory,no\n"
        local.write(f"{KEY}/{table}/part-0.csv", rows)
        local.write(f"{KEY}/{table}/{log}", "{}")
        made = local.tables()
        expected = f"{table}: the folder holds a {kind} table"
        assert any(expected in str(each) for each in check_snapshot(made))
        with pytest.raises(DataError, match=expected):
            made.rows(table)


def test_who_opted_out_is_counted(tables):
    """Once per contact, whichever places say so; rows are counted by place."""
    rows = "contact_id,unsubscribed\na,yes\nb,no\nc,no\nd,no\n"
    more = "contact_id,scope,opted_in\na,directory,no\nb,directory,no\nc,segment:gold,no\n"
    more += "z,directory,no\n"
    found = count_opt_outs(tables(rows, {"subscriptions.csv": more}))
    assert str(found) == (
        "2 opted out of the directory; opt-outs: contacts.unsubscribed 1, "
        "subscriptions directory 3, subscriptions segment:gold 1"
    )


def test_nothing_says_who_opted_out(tables):
    """A newcomer should know; who wrote `consent: none` does."""
    assert str(count_opt_outs(tables())).startswith("nothing says who opted out")
    assert str(count_opt_outs(tables(consent="none"))).startswith(
        "`consent: none`: no opt-outs are"
    )
