"""Verdicts over contacts and their transactions; explanations come from the same engine."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest

from segue.errors import DataError
from segue.segments.conditions.parsing import parse_condition, parse_workflow_condition
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import evaluate
from segue.segments.explanation import explain_segment
from segue.segments.population import Population

LONDON = ZoneInfo("Europe/London")
AS_OF = datetime(2026, 11, 23, tzinfo=UTC)


def population(contacts=None, transactions=None, **known):
    contacts = pd.DataFrame(contacts or {"contact_id": ["a", "b", "c"]})
    rows = None if transactions is None else pd.DataFrame(transactions)
    return Population(contacts, AS_OF, LONDON, rows, **known)


def fields(**columns):
    size = len(next(iter(columns.values())))
    return population({"contact_id": [f"c{n}" for n in range(size)], **columns})


def verdicts(data, people):
    return evaluate(parse_condition(data), people).tolist()


@pytest.mark.parametrize(
    ("leaf", "values", "expected"),
    [
        ({"equals": "gold"}, ["gold", "Gold", "gold ", "", None], [1, 0, 0, 0, 0]),
        ({"equals": "GOLD", "ignore_case": True}, ["gold", "Gold", "x", None], [1, 1, 0, 0]),
        ({"not_equals": "gold"}, ["gold", "silver", None], [0, 1, 1]),
        ({"equals": 5}, ["5", " 5.0 ", "x", "5x", None], [1, 1, 0, 0, 0]),
        ({"equals": "5"}, [5.0, 5.5, None], [1, 0, 0]),
        ({"equals": True}, ["yes", "1", "no", "maybe", None], [1, 1, 0, 0, 0]),
        ({"equals": False}, ["yes", "0", "no", "maybe", None], [0, 1, 1, 0, 0]),
        ({"not_equals": True}, ["yes", "no", None], [0, 1, 1]),
        ({"is_true": True}, ["TRUE", "0", "maybe", None], [1, 0, 0, 0]),
        ({"is_false": True}, ["TRUE", "0", "maybe", None], [0, 1, 1, 1]),
        ({"one_of": ["gold", 5, True]}, ["gold", "5.0", "yes", "x", None], [1, 1, 1, 0, 0]),
        ({"none_of": ["gold", 5]}, ["gold", "5.0", "x", None], [0, 0, 1, 1]),
        ({"is_empty": True}, ["x", " ", "", None], [0, 0, 1, 1]),
        ({"is_set": True}, ["x", " ", "", None], [1, 1, 0, 0]),
        ({"contains": "ol"}, ["gold", "OLD", "", None], [1, 0, 0, 0]),
        ({"contains": "OL", "ignore_case": True}, ["gold", "x"], [1, 0]),
        ({"not_contains": "ol"}, ["gold", "OLD", None], [0, 1, 1]),
        ({"contains": "."}, ["a.b", "ab"], [1, 0]),
        ({"greater_than": 5}, ["5", "5.01", "x", None], [0, 1, 0, 0]),
        ({"at_least": 5}, ["5", "4.99", "inf", None], [1, 0, 0, 0]),
        ({"less_than": 5}, ["5", "4.99", "x", None], [0, 1, 0, 0]),
        ({"at_most": 5}, ["5", "5.01", "x", None], [1, 0, 0, 0]),
        ({"at_least": 18, "less_than": 65}, ["17", "18", "64", "65"], [0, 1, 1, 0]),
        ({"before": "2026-11-22"}, ["2026-11-21T23:59:59", "2026-11-22", "x", None], [1, 0, 0, 0]),
        ({"after": "2026-11-22"}, ["2026-11-22", "2026-11-22T00:00:01", "x"], [0, 1, 0]),
        ({"after": "2026-07-01T00:00:00Z"}, ["2026-07-01T00:59", "2026-07-01T01:01"], [0, 1]),
        ({"in_past": "1d"}, ["2026-11-22", "2026-11-21T23:59", "2026-11-23", None], [1, 0, 0, 0]),
        ({"not_in_past": "1d"}, ["2026-11-22", "2026-11-23", "x", None], [0, 1, 1, 1]),
        ({"in_past": "999999y"}, ["0001-01-02", "2026-11-23"], [1, 0]),
        ({"starts_with": "go"}, ["gold", "Gold", "ego", "", None], [1, 0, 0, 0, 0]),
        ({"ends_with": "LD", "ignore_case": True}, ["gold", "old!", None], [1, 0, 0]),
        ({"not_ends_with": "ld"}, ["gold", "x", None], [0, 1, 1]),
        ({"matches": "^[a-z]+[0-9]$"}, ["gold1", "Gold1", "x1\n", "", None], [1, 0, 0, 0, 0]),
        ({"matches": "^GOLD", "ignore_case": True}, ["gold1", "old"], [1, 0]),
        ({"matches": r"^\S+$", "ignore_case": True}, ["gold", "a b"], [1, 0]),
        ({"matches": ".*"}, ["x", "", None], [1, 0, 0]),
        ({"not_matches": "^g"}, ["gold", "x", None], [0, 1, 1]),
        ({"matches": r"^\d{2}$"}, [42.0, 4.2, None], [1, 0, 0]),
        ({"between": [5, 6.5]}, ["5", "6.5", "6.51", "x", None], [1, 1, 0, 0, 0]),
        ({"not_between": [5, 6.5]}, ["5", "7", "x", None], [0, 1, 1, 1]),
        (
            {"on_day": "2026-11-22"},
            ["2026-11-22", "2026-11-22T23:59:59", "2026-11-23", "2026-11-21T23:59", None],
            [1, 1, 0, 0, 0],
        ),
        ({"on_day": "2026-07-01"}, ["2026-06-30T23:30:00Z", "2026-07-01T23:30:00Z"], [1, 0]),
        ({"not_on_day": "2026-11-22"}, ["2026-11-22", "x", None], [0, 1, 1]),
        ({"in_next": "1d"}, ["2026-11-23", "2026-11-23T23:59", "2026-11-24", None], [1, 1, 0, 0]),
        ({"not_in_next": "1d"}, ["2026-11-23", "2026-11-22", None], [0, 1, 1]),
        ({"in_next": "999999y"}, ["9999-12-31", "2026-11-22"], [1, 0]),
        (
            {"anniversary_in_next": "7d"},
            ["1990-11-23", "2030-11-29T23:00", "1990-11-30", "1990-11-22", "x", None],
            [1, 1, 0, 0, 0, 0],
        ),
        ({"anniversary_in_next": "2mo"}, ["1990-01-22", "1990-01-23", "2024-02-29"], [1, 0, 0]),
        ({"anniversary_in_next": "4mo"}, ["1990-02-28", "2024-02-29"], [1, 1]),
        ({"anniversary_in_next": "5y"}, ["1990-11-22", "2024-02-29", None], [1, 1, 0]),
    ],
)
def test_what_an_operator_holds_for(leaf, values, expected):
    people = fields(value=values)
    assert verdicts({"field": "value", **leaf}, people) == [bool(verdict) for verdict in expected]


def test_days_are_calendar_steps_and_hours_are_exact_where_the_clock_changes():
    as_of = datetime(2026, 10, 26, tzinfo=UTC)  # the 25th of October has 25 hours
    contacts = pd.DataFrame({"contact_id": ["a"], "seen": ["2026-10-25T00:00"]})
    people = Population(contacts, as_of, LONDON)
    assert verdicts({"field": "seen", "in_past": "1d"}, people) == [True]
    assert verdicts({"field": "seen", "in_past": "24h"}, people) == [False]


def test_29_february_has_its_own_day_in_a_leap_year_only():
    contacts = pd.DataFrame({"contact_id": ["a", "b"], "born": ["2000-02-29", "2000-02-28"]})
    tomorrow = {"field": "born", "anniversary_in_next": "1d"}
    found = {}
    for as_of in ("2027-02-28", "2028-02-28", "2028-02-29"):
        people = Population(contacts, datetime.fromisoformat(f"{as_of}T00:00:00Z"), LONDON)
        found[as_of] = verdicts(tomorrow, people)
    assert found == {
        "2027-02-28": [True, True],
        "2028-02-28": [False, True],
        "2028-02-29": [True, False],
    }


def test_a_day_that_a_zone_never_had_is_nobodys():
    contacts = pd.DataFrame({"contact_id": ["a", "b"], "seen": ["2011-12-29T23:00", "2011-12-31"]})
    people = Population(contacts, AS_OF, ZoneInfo("Pacific/Apia"))
    assert verdicts({"field": "seen", "on_day": "2011-12-30"}, people) == [False, False]
    assert verdicts({"field": "seen", "on_day": "2011-12-31"}, people) == [False, True]


def test_groups_and_negation():
    people = fields(a=[1, 1, 0, 0], b=[1, 0, 1, 0])
    one, two = {"field": "a", "equals": 1}, {"field": "b", "equals": 1}
    assert verdicts({"all": [one, two]}, people) == [True, False, False, False]
    assert verdicts({"any": [one, two]}, people) == [True, True, True, False]
    assert verdicts({"not": {"any": [one, two]}}, people) == [False, False, False, True]


SALES = {
    "contact_id": ["a", "a", "a", "b", "stranger", None, "a", "b"],
    "date": [
        *["2026-11-22T23:59:59", "2026-11-01", "2026-11-23T00:00:00", "2026-01-01"],
        *["2026-11-22", "2026-11-22", None, "no date"],
    ],
    "amount": ["1.10", "2.2", "100", "x", "100", "100", "100", "100"],
    "type": ["call", "sale", "call", "call", "call", "call", "call", "call"],
}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"transactions": {}, "count": {"equals": 2}}, [1, 0, 0]),
        ({"transactions": None, "count": {"at_most": 1}}, [0, 1, 1]),
        ({"transactions": {}, "count": {"equals": 0}}, [0, 0, 1]),
        ({"transactions": {"in_past": "1d"}, "count": {"equals": 1}}, [1, 0, 0]),
        (
            {
                "transactions": {"where": {"field": "type", "equals": "call"}},
                "count": {"equals": 1},
            },
            [1, 1, 0],
        ),
        ({"transactions": {}, "sum": {"field": "amount", "equals": 3.3}}, [1, 0, 0]),
        ({"transactions": {}, "sum": {"field": "amount", "equals": 0}}, [0, 1, 1]),
        ({"transactions": {}, "sum": {"field": "amount", "equals": "3.3"}}, [1, 0, 0]),
        ({"transactions": {}, "mean": {"field": "amount", "equals": 1.65}}, [1, 0, 0]),
        ({"transactions": {}, "mean": {"field": "amount", "is_empty": True}}, [0, 1, 1]),
        ({"transactions": {}, "min": {"field": "amount", "equals": 1.1}}, [1, 0, 0]),
        ({"transactions": {}, "max": {"field": "amount", "between": [2, 3]}}, [1, 0, 0]),
        ({"transactions": {}, "max": {"field": "amount", "not_between": [2, 3]}}, [0, 1, 1]),
        ({"transactions": {}, "earliest": {"field": "date", "on_day": "2026-11-01"}}, [1, 0, 0]),
        ({"transactions": {}, "earliest": {"field": "date", "is_set": True}}, [1, 1, 0]),
        ({"transactions": {}, "latest": {"field": "date", "in_past": "1d"}}, [1, 0, 0]),
        ({"transactions": {}, "latest": {"field": "date", "not_in_past": "1d"}}, [0, 1, 1]),
        ({"transactions": {}, "latest": {"field": "date", "is_empty": True}}, [0, 0, 1]),
        ({"transactions": {}, "latest": {"field": "amount", "is_set": True}}, [0, 0, 0]),
    ],
)
def test_transactions(data, expected):
    people = population(transactions=SALES)
    assert verdicts(data, people) == [bool(verdict) for verdict in expected]


def test_a_number_stored_in_a_transaction_field_is_the_other_way_to_count_calls():
    rows = {
        "contact_id": ["a", "b"],
        "date": ["2026-11-20", "2026-11-20"],
        "support_calls": [5, 4],
    }
    where = {"field": "support_calls", "at_least": 5}
    data = {"transactions": {"where": where, "in_past": "30d"}, "count": {"at_least": 1}}
    assert verdicts(data, population(transactions=rows)) == [True, False, False]


@pytest.mark.parametrize(
    "amounts",
    [
        pd.Series([0.1] * 10 + [1.0]),
        pd.Series(["0.1"] * 10 + ["1"]),
        pd.Series([Decimal("0.1")] * 10 + [Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
        pd.Series([Decimal("0.1")] * 10 + [1], dtype=object),
    ],
    ids=["floats", "text", "decimals", "objects"],
)
def test_sums_do_not_drift(amounts):
    rows = {"contact_id": ["a"] * 10 + ["b"], "date": ["2026-11-01"] * 11, "amount": amounts}
    data = {"transactions": {}, "sum": {"field": "amount", "equals": 1}}
    assert verdicts(data, population(transactions=rows)) == [True, True, False]


def test_no_contacts_and_no_rows_are_fine():
    nobody = Population(
        pd.DataFrame({"contact_id": pd.Series([], dtype="str")}), AS_OF, LONDON,
        pd.DataFrame({"contact_id": [], "date": [], "amount": []}, dtype="str"),
    )  # fmt: skip
    data = {"transactions": {}, "sum": {"field": "amount", "at_least": 1}}
    assert verdicts(data, nobody) == []
    somebody = population(transactions={"contact_id": [], "date": [], "amount": []})
    assert verdicts(data, somebody) == [False] * 3


def test_the_kind_of_change_is_a_condition():
    changes = pd.Series(["added", "removed", "opted_in"])
    condition = parse_workflow_condition({"change": {"one_of": ["added", "opted_in"]}})
    people = population(changes=changes)
    assert evaluate(condition, people).tolist() == [True, False, True]
    assert evaluate(condition, people.with_change("removed")).tolist() == [False] * 3


def test_what_is_not_there_is_named():
    with pytest.raises(DataError, match="contacts has no column 'tier'"):
        verdicts({"field": "tier", "equals": 1}, population())
    with pytest.raises(DataError, match="no transactions"):
        verdicts({"transactions": {}, "count": {"at_least": 1}}, population())
    with pytest.raises(DataError, match="no changes"):
        condition = parse_workflow_condition({"change": {"equals": "added"}})
        evaluate(condition, population())


def test_an_explanation_shows_value_and_verdict_at_each_node():
    people = population(
        {"contact_id": ["a", "b", "c"], "tier": ["gold", "silver", None]}, transactions=SALES
    )
    match = {
        "all": [
            {"field": "tier", "equals": "gold"},
            {"not": {"transactions": {"in_past": "30d"}, "count": {"at_least": 5}}},
        ]
    }
    segment = SegmentDefinition(segment="few", directory="customers", match=match)
    tree = explain_segment(segment, people, "a")
    assert (tree.text, tree.holds, tree.value) == ("all of", True, None)
    tier, negation = tree.children
    assert (tier.text, tier.value, tier.holds) == ("tier: equals gold", "gold", True)
    assert (negation.text, negation.holds) == ("not", True)
    (count,) = negation.children
    assert count.text == "count of transactions (in_past 30d): at_least 5"
    assert (count.value, count.holds) == (2, False)
    assert explain_segment(segment, people, "c").children[0].value is None


def test_explaining_somebody_unknown_is_a_key_error():
    match = {"field": "contact_id", "is_set": True}
    segment = SegmentDefinition(segment="all_of_them", directory="customers", match=match)
    with pytest.raises(KeyError):
        explain_segment(segment, population(), "x")
