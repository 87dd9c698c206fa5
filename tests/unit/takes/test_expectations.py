"""What a directory expects, and what its definitions read, is found before it is published."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from segue.errors import DataError
from segue.takes.moments import Moment
from segue.takes.take import TakeResult, take_snapshot
from segue.workflows.catalog import Catalog

from .conftest import MOMENT, Shop

NEXT = Moment("2026-11-23", datetime(2026, 11, 24, tzinfo=UTC))
AFTER = Moment("2026-11-24", datetime(2026, 11, 25, tzinfo=UTC))
ALL = "SELECT id AS contact_id, {columns} FROM people WHERE :as_of > ''"
SEGMENT = "segment: {name}\ndirectory: shop\nmatch: {match}\n"
WORKFLOW = """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-01
conditions: {field: phone, is_set: true}
actions:
  - {id: mail, slack_message: {channel: c, text: "{{ contact.first_name }} {{ contact.opted_in }}"}}
"""


class People:
    """A shop's table of people, its definitions, and the remarks of its takes."""

    def __init__(self, shop: Shop, home: Path) -> None:
        self.shop, self.home, self.remarks = shop, home, list[str]()
        self.expect: dict = {}
        self.consent: dict | str = "none"
        shop.execute(
            "CREATE TABLE people (id TEXT, first_name TEXT, phone TEXT, tier TEXT, age NUMERIC)",
            "INSERT INTO people VALUES ('007', 'Zoë Secret', '+1', 'gold', 41), "
            "('8', 'Bob', NULL, 'silver', 17)",
        )
        root = shop.root
        self.define("directories", "shop", f"directory: shop\nsnapshots: {root}\nconsent: none\n")

    def define(self, folder: str, name: str, text: str) -> None:
        path = self.home / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def define_readers(self) -> None:
        self.define(
            "segments", "gold", SEGMENT.format(name="gold", match="{field: tier, equals: gold}")
        )
        adult = "{field: age, at_least: 18}"
        self.define("segments", "adult", SEGMENT.format(name="adult", match=adult))
        self.define("segments", "broken", "segment: broken\ndirectory: shop\nmatch: {feld: tier}\n")
        self.define("workflows", "welcome", WORKFLOW)

    def take(self, moment=MOMENT, columns="first_name, phone, tier, age", **keys) -> TakeResult:
        tables = {"contacts": ALL.format(columns=columns)}
        return take_snapshot(
            self.shop.definition(tables, expect=self.expect, consent=self.consent),
            moment,
            partial(self.shop.connect, tables),
            definitions=Catalog(self.home),
            remark=self.remarks.append,
            **keys,
        )

    def refused(self, *parts: str, **keys) -> str:
        """The message of a take that publishes nothing."""
        before = self.shop.files()
        with pytest.raises(DataError) as error:
            self.take(**keys)
        assert self.shop.files() == before
        message = str(error.value)
        assert [part for part in parts if part not in message] == [], message
        assert "Secret" not in message + "".join(self.remarks)
        return message


@pytest.fixture
def people(shop, tmp_path):
    return People(shop, tmp_path / "include")


pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_what_is_expected_is_published(people):
    people.expect = {"contacts": {"columns": {"tier": {"allowed": ["gold", "silver"]}}}}
    assert people.take().is_own


def test_what_is_not_expected_is_told_at_once_and_not_published(people):
    people.expect = {
        "contacts": {
            "columns": {
                "first_name": {"matches": "^[A-Z][a-z]+$"},
                "phone": {"set_at_least": "90%"},
                "email": {},
            },
            "rows": {"at_least": 3},
        }
    }
    people.refused(
        "nothing is published, for a run could not use it: contacts: expected rows at_least: 3, ",
        "contacts.first_name: expected matches: '^[A-Z][a-z]+$', found 1 of 2 values that do not; "
        "contacts '007'",
        "contacts.phone: expected set_at_least: 90%, found 1 of 2 rows with a value (50.0%)",
        "contacts.email: expected the column, found none",
    )
    people.refused("rows at_least: 3", publishes=False)  # a trial says the same


def test_what_breaks_a_rule_is_told_beside_what_is_not_expected(people):
    people.shop.execute("INSERT INTO people VALUES ('8', 'Cid', '+3', 'tin', 9)")
    people.expect = {"contacts": {"columns": {"tier": {"allowed": ["gold", "silver"]}}}}
    people.refused("'8' (row 2, row 3)", "allowed: [gold, silver], found 1 of 3 values")


def test_rows_are_counted_against_the_newest_snapshot_that_is_not_quarantined(people):
    people.take()
    people.shop.execute("INSERT INTO people SELECT 'x' || value, 'a', 'b', 'gold', 1 "
                        "FROM json_each('[1,2,3,4,5,6,7,8]')")  # fmt: skip
    people.take(NEXT)
    people.shop.execute("DELETE FROM people WHERE id LIKE 'x%'")
    people.expect = {"contacts": {"rows": {"change_at_most": "20%"}}}
    people.refused("found 2 after 10 (-80.0%)", moment=AFTER)
    assert people.take(AFTER, quarantined=["2026-11-23"]).is_own


def test_a_replaced_snapshot_is_compared_with_the_one_before_it(people):
    people.take()
    people.take(NEXT)
    people.expect = {"contacts": {"rows": {"change_at_most": "20%"}}}
    people.shop.execute("DELETE FROM people WHERE id = '8'")
    people.refused("found 1 after 2", moment=NEXT, replaces=True)
    assert people.take(MOMENT, replaces=True).is_own  # there is none before it


# What segments and workflows read


def test_a_column_that_is_dropped_is_found_with_who_reads_it(people):
    people.define_readers()
    people.take()
    people.refused(
        "contacts.tier is gone, which 2026-11-22 has; read by segment gold",
        "contacts.phone is gone, which 2026-11-22 has; read by workflow welcome",
        "contacts.first_name is gone, which 2026-11-22 has; read by workflow welcome",
        moment=NEXT,
        columns="age",
    )
    assert people.take(NEXT).is_own


def test_a_column_that_nobody_reads_may_go(people):
    people.define_readers()
    people.take(columns="first_name, phone, tier, age, 1 AS other")
    assert people.take(NEXT).is_own


def test_a_kind_that_changes_is_found_where_somebody_cannot_read_it(people):
    people.define_readers()
    people.take()
    people.refused(
        "contacts.age: 2 of 2 values cannot be read as a number",
        "read by segment adult",
        moment=NEXT,
        columns="first_name, phone, tier, 'years ' || age AS age",
    )
    numbers_as_text = "first_name, phone, tier, CAST(age AS TEXT) AS age"
    assert people.take(NEXT, numbers_as_text).is_own


def test_a_column_that_was_never_there_stops_no_other_workflow(people):
    """It is said; the runs of that segment fail, as `segue validate` does."""
    people.define_readers()
    assert people.take(columns="first_name, phone, tier").is_own
    assert people.take(NEXT, "first_name, phone, tier").is_own
    assert people.remarks.count("contacts.age is not there; read by segment adult") == 2


def test_a_place_that_says_who_opted_out_must_not_go(people):
    people.consent = {"former_segments": []}
    people.take(columns="first_name, 'no' AS unsubscribed")
    people.refused("lacks contacts.unsubscribed, which 2026-11-22 has", moment=NEXT)


def test_a_snapshot_before_whose_files_are_broken_stops_no_take(people):
    people.define_readers()
    people.take()
    [file] = (Path(people.shop.root) / "2026-11-22/contacts").iterdir()
    size = file.stat().st_size
    file.write_bytes(b"x" * size)
    assert people.take(NEXT, "first_name").is_own
