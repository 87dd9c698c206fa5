"""Nobody who said no is written to: wherever it is said, the run reads it or stops and names it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.contacts.change import Change
from segue.contacts.recheck import current_consent, recheck
from segue.errors import DataError
from segue.ledger.facts import Run, Wishes
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.segments.membership.store import MembershipStore
from tests.unit.runs.test_span_detection import NOW, Place

WORDS = {True: ("yes", "TRUE", "1", True), False: ("no", "False", "0", False)}


class Shop(Place):
    """Contacts of two days: on the 8th nobody is gold, on the 9th ``b`` is, and said no."""

    def write(self, day: int, table: str, rows: list[dict], suffix: str = ".csv") -> None:
        folder = self.folder / "snapshots" / f"2026-11-{day:02}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{table}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif suffix == ".json":
            path.write_text(json.dumps(rows))
        else:
            lines = [rows[0].keys(), *(row.values() for row in rows)]
            path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
        (folder / "_SUCCESS").touch()

    def two_days(self, **of_b: object) -> None:
        """Write contacts with further columns, which say something else of everybody but b."""
        for day in (8, 9):
            rows = [
                {"contact_id": contact, "tier": "gold" if contact == "b" and day == 9 else "silver"}
                | {name: said if contact == "b" else other for name, (said, other) in of_b.items()}
                for contact in "abc"
            ]
            self.write(day, "contacts", rows)

    def subscriptions(self, suffix: str = ".csv", table: str = "subscriptions", **row: object):
        for day in (8, 9):
            self.write(day, table, [{"contact_id": "b", **row}], suffix)

    def may_write_to_b(self) -> bool:
        """Run the workflow over the two days and ask for consent as the door does."""
        workflow = self.workflow
        directory = workflow.directory.with_segments(frozenset({"gold"}))
        object.__setattr__(workflow, "directory", directory)
        pair = {"previous": "2026-11-08", "current": "2026-11-09"}
        wishes = Wishes(**pair, accept_rewritten=True)
        store = MembershipStore(str(self.folder / "state"))
        detect(RunContext(workflow, Run("greet", "r"), self.ledger, NOW, wishes), store)
        change = Change("b", "added", "", "2026-11-09", None)
        return current_consent(workflow, [change], NOW)["b"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


READ = {  # what the directory says, by the column that it is about
    "unsubscribed": ({}, True),
    "No Thanks": ({"consent": {"opted_out": "No Thanks"}}, True),
    "Unsub": ({"columns": {"contacts": {"unsubscribed": "Unsub"}}}, True),
    "accepts_marketing": ({"consent": {"opted_in": "accepts_marketing"}}, False),
    "likes": ({"columns": {"contacts": {"ok": "likes"}}, "consent": {"opted_in": "ok"}}, False),
}


@pytest.mark.parametrize("column", READ)
def test_a_column_that_is_read(shop, column):
    """In either direction, in every spelling of yes and no."""
    shop.directory, no = READ[column]
    for said, other in zip(WORDS[no], WORDS[not no], strict=True):
        shop.two_days(**{column: (said, other)})
        assert shop.may_write_to_b() is False
        shop.two_days(**{column: (other, said)})
        assert shop.may_write_to_b() is True


@pytest.mark.parametrize(
    "column",
    ["Unsubscribed", "UNSUBSCRIBED", "opted_out", "opted_in", "OptIn", "unsubcribed",
     "do_not_contact", "accepts_marketing", "Accepts Email Marketing", "HasOptedOutOfEmail",
     "subscribed", "consent"],
)  # fmt: skip
@pytest.mark.parametrize("directory", [{}, {"consent": "none"}, {"consent": {"opted_out": "vip"}}])
def test_a_column_that_is_not_read(shop, column, directory):
    """The run stops, whatever the directory says of others."""
    shop.directory = directory
    shop.two_days(**{column: ("yes", "no"), "vip": ("no", "no")})
    with pytest.raises(DataError, match=f"'{column}' looks like an opt state and is not read"):
        shop.may_write_to_b()


@pytest.mark.parametrize(
    ("scope", "is_read"),
    [("directory", True), ("segment:gold", True), ("Directory", False), ("all", False), ("", False),
     ("segment:Gold", False), ("segment: gold", False), ("segment:old", False), ("gold", False)],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_scopes(shop, scope, is_read, suffix):
    """A row of subscriptions is about everything, about this segment, or an error."""
    shop.two_days()
    shop.subscriptions(suffix, scope=scope, opted_in=False)
    if is_read:
        assert shop.may_write_to_b() is False
    else:
        with pytest.raises(DataError, match="opt out of an unknown scope: row 1, contact 'b'"):
            shop.may_write_to_b()


@pytest.mark.parametrize(
    ("table", "suffix"),
    [("Subscriptions", ".csv"), ("subscription", ".parquet"), ("subscriptions_0_0_0", ".csv"),
     ("subscriptions", ".json"), ("opt_outs", ".csv"), ("subscriptions", ".csv.zst")],
)  # fmt: skip
def test_tables_of_almost_the_right_name(shop, table, suffix):
    """What is about opt-outs and is not read stops the run."""
    shop.two_days()
    shop.subscriptions(suffix, table, scope="directory", opted_in=False)
    with pytest.raises(DataError, match=f"{table}{suffix}: seems to be a table and is not read"):
        shop.may_write_to_b()


@pytest.mark.parametrize("row", [{"scope": "directory"}, {"opted_in": "no"}])
def test_subscriptions_without_a_column(shop, row):
    """Nothing can be said by half a row."""
    shop.two_days()
    shop.subscriptions(**row)
    with pytest.raises(DataError, match="there is no column"):
        shop.may_write_to_b()


PLACES = {  # where it is said who opted out: what the directory says, the table and its column
    "standard": ({}, "contacts", "unsubscribed"),
    "mapped": ({"columns": {"contacts": {"unsubscribed": "U"}}}, "contacts", "U"),
    "opted_out": ({"consent": {"opted_out": "U"}}, "contacts", "U"),
    "opted_in": ({"consent": {"opted_in": "U"}}, "contacts", "U"),
    "list": ({}, "mailing_lists", "opted_in"),
    "mapped list": ({"columns": {"mailing_lists": {"opted_in": "U"}}}, "mailing_lists", "U"),
    "subscriptions": ({}, "subscriptions", "opted_in"),
}


class Exports(Shop):
    """A shop whose place of opt-outs is there on some days, and on others gone."""

    def export(self, day: int, place: str, *, gone: str = "") -> None:
        """Write a day; ``gone`` is the "column", the "table", or nothing."""
        self.directory, table, column = PLACES[place]
        rows: dict[str, dict] = {each: {"contact_id": each, "tier": "silver"} for each in "abc"}
        rows["b"]["tier"] = "gold" if day % 2 else "silver"
        other = {"mailing_list": "News", "scope": "directory"}
        said = {column: "yes"} if gone != "column" else {"status": "no"}
        if table == "contacts":
            rows = {each: row | said for each, row in rows.items()}
        elif gone != "table":
            self.write(day, table, [{"contact_id": "a", **other, **said}])
        self.write(day, "contacts", list(rows.values()))

    def compare(self, previous: int, current: int) -> None:
        pair = Wishes(previous=f"2026-11-{previous:02}", current=f"2026-11-{current:02}")
        self.detect(f"{previous}-{current}", pair)

    def detect(self, run: str, wishes: Wishes) -> None:
        store = MembershipStore(str(self.folder / "state"))
        detect(RunContext(self.workflow, Run("greet", run), self.ledger, NOW, wishes), store)


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    return Exports(tmp_path)


GONE = [
    (place, gone)
    for place, (_, table, _) in PLACES.items()
    for gone in ("column", "table")
    if gone == "column" or table != "contacts"
]


@pytest.mark.parametrize(("place", "gone"), GONE)
def test_a_place_that_is_gone(exports, place, gone):
    """Everybody would count as opted in: nobody is written to."""
    exports.export(6, place)
    exports.export(7, place)
    exports.export(8, place, gone=gone)
    exports.export(9, place, gone=gone)
    exports.compare(6, 7)
    for pair in ((7, 8), (8, 9)):  # nor on the day after, when nothing is lost since the day before
        with pytest.raises(DataError, match=r"everybody would count as|there is no column"):
            exports.compare(*pair)


def test_a_person_may_say_that_a_place_is_meant_to_be_gone(exports):
    """From then on, nobody asks for it."""
    for day in range(5, 10):
        exports.export(day, "standard", gone="column" if day > 6 else "")
    exports.compare(5, 6)
    with pytest.raises(DataError, match=r"which 2026-11-06 has: .* \{\"accept_rewritten\": true\}"):
        exports.compare(7, 8)
    exports.detect("said", Wishes("2026-11-07", "2026-11-08", accept_rewritten=True))
    exports.compare(8, 9)
    assert exports.spans() == ["changes 05-06", "changes 07-08", "changes 08-09"]


def test_the_first_opt_states_of_a_list_are_a_baseline(exports):
    """Who is on the list and opted out long ago did not leave it today."""
    exports.match = {"mailing_list": "News", "is": "opted_in"}
    exports.export(7, "list", gone="column")
    exports.export(8, "list")
    exports.compare(7, 8)
    assert exports.spans() == ["baseline 07-08"]


BROKEN = {  # what is wrong with one row, or one column, and stops everybody
    "contacts state": ("contacts", "contact_id,tier,unsubscribed\nb,gold,no\na,gold,oui\n"),
    "contacts twice": ("contacts", "contact_id,tier,unsubscribed\nb,gold,no\na,,no\na,,no\n"),
    "contacts no id": ("contacts", "contact_id,tier,unsubscribed\nb,gold,no\n,gold,no\n"),
    "subscriptions state": ("subscriptions", "contact_id,scope,opted_in\na,directory,oui\n"),
    "subscriptions scope": ("subscriptions", "contact_id,scope,opted_in\na,Directory,no\n"),
    "subscriptions no id": ("subscriptions", "contact_id,scope,opted_in\n,directory,no\n"),
    "lists state": ("mailing_lists", "contact_id,mailing_list,opted_in\na,News,oui\n"),
    "lists no id": ("mailing_lists", "contact_id,mailing_list,opted_in\n,News,no\n"),
    "lists column": ("mailing_lists", "contact_id,list,opted_in\na,News,no\n"),
    "transactions column": ("transactions", "contact_id,when\na,2026-11-01\n"),
    "contacts empty": ("contacts", "contact_id,tier,unsubscribed\n"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("day", ["current", "newest"])
def test_a_snapshot_that_fails_its_check_lets_nobody_be_written_to(shop, broken, day):
    """Nor those of whom the broken row says nothing; an empty one does not say that all are gone.

    That is so of the snapshot which the run compares, and of a newer one when sending.
    """
    if (broken, day) == ("contacts empty", "current"):
        return  # a question of the guard
    table, text = BROKEN[broken]
    shop.two_days(unsubscribed=("no", "no"))
    if day == "newest":
        assert shop.may_write_to_b() is True
        rows = [{"contact_id": each, "tier": "gold", "unsubscribed": "no"} for each in "abc"]
        shop.write(10, "contacts", rows)
    number = 9 if day == "current" else 10
    (shop.folder / "snapshots" / f"2026-11-{number:02}" / f"{table}.csv").write_text(text)
    change, later = Change("b", "added", "", "2026-11-09", None), NOW + timedelta(days=1)
    with pytest.raises(DataError):
        if day == "current":
            shop.may_write_to_b()
        directory = shop.workflow.directory.with_segments(frozenset({"gold"}))
        workflow = replace(shop.workflow, directory=directory)
        current_consent(workflow, [change], later)


def test_a_subscription_without_a_state(shop):
    """An absent value is no opt-in."""
    shop.two_days()
    shop.subscriptions(scope="directory", opted_in="")
    with pytest.raises(DataError, match="row 1, contact 'b'; each must say true or false"):
        shop.may_write_to_b()


def test_consent_is_read_on_a_newer_snapshot_too(shop):
    """Whoever says no after detection says it where nobody looks: the message waits."""
    shop.two_days(unsubscribed=("no", "no"))
    assert shop.may_write_to_b() is True
    change = Change("b", "added", "", "2026-11-08", None)
    rows = [{"contact_id": "b", "tier": "gold", "unsubscribed": "no", "opted_out": "yes"}]
    shop.write(9, "contacts", rows)
    for judge in (current_consent, recheck):
        with pytest.raises(DataError, match="'opted_out' looks like an opt state"):
            judge(shop.workflow, [change], NOW)


def test_the_first_snapshot_with_opt_states_is_a_baseline_of_them(shop):
    """What was decided years ago is no news."""
    shop.more = {"changes": ["opted_out", "opted_in"]}
    shop.match = {"field": "tier", "is_set": True}
    shop.two_days(unsubscribed=("yes", "no"))
    rows = [{"contact_id": contact, "tier": "silver"} for contact in "abc"]
    shop.write(8, "contacts", rows)
    shop.may_write_to_b()
    [span] = shop.ledger.runs.all_spans("greet")
    assert str(span.kind) == "baseline"
    assert span.reason == "new column: 2026-11-08 lacks contacts.unsubscribed"


def test_added_is_news_where_opt_states_are_new(shop):
    """A workflow that does not act on them is not concerned."""
    shop.two_days(unsubscribed=("no", "no"))
    shop.write(8, "contacts", [{"contact_id": each, "tier": "silver"} for each in "abc"])
    shop.may_write_to_b()
    assert shop.planned() == {"b": "added@09"}


def test_a_subscription_that_the_segment_asks_for_is_a_baseline(shop):
    """Everybody who opted out long ago would leave the segment at once."""
    shop.match = {"subscription": "directory", "is": "opted_in"}
    shop.two_days(unsubscribed=("yes", "no"))
    shop.write(8, "contacts", [{"contact_id": each, "tier": "silver"} for each in "abc"])
    shop.may_write_to_b()
    assert shop.planned() == {}
    assert shop.spans() == ["baseline 08-09"]


def test_a_snapshot_that_was_not_understood_is_no_previous_one(shop):
    """After the export was corrected, the first day is a baseline: nobody opted out overnight."""
    shop.more = {"changes": ["opted_out"]}
    shop.two_days()
    shop.subscriptions(scope="directory", opted_in="no")
    shop.write(8, "subscriptions", [{"contact_id": "b", "scope": "ALL", "opted_in": "no"}])
    shop.may_write_to_b()
    [span] = shop.ledger.runs.all_spans("greet")
    assert str(span.kind) == "baseline"
    assert span.reason == "2026-11-08 has opt states, or tables, that are not read"


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(days=36 * 365)])
def test_a_snapshot_of_the_future_is_never_the_newest(shop, ahead):
    """A mistyped year would decide consent for decades: nobody asks it or compares with it."""
    shop.two_days(unsubscribed=("yes", "no"))
    future = shop.folder / "snapshots" / f"{NOW + ahead:%Y-%m-%dT%H:%M:%SZ}"
    future.mkdir()
    (future / "contacts.csv").write_text("contact_id,tier,unsubscribed\nb,gold,no\n")
    (future / "_SUCCESS").touch()
    assert shop.may_write_to_b() is False
    change = Change("b", "opted_in", "", "2026-11-08", None)
    assert recheck(shop.workflow, [change], NOW) == {change: "opted out again"}
    found = shop.run("by-hand", interval=None)
    assert found.outcome == "covered"
    later = datetime.now(UTC) + timedelta(days=40 * 365)
    assert current_consent(shop.workflow, [change], later) == {"b": True}
