"""What the condition language accepts, refuses and says about it."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
from pydantic import ValidationError

from segue.documents import ProblemsFound, parse_document, validate
from segue.errors import DefinitionError
from segue.segments.columns.instant_spellings import parse_instant
from segue.segments.conditions import registry
from segue.segments.conditions.inspection import (
    needed_columns,
    operator_versions,
    to_data,
    unknown_fields,
)
from segue.segments.conditions.nodes import AllOf, Not
from segue.segments.conditions.operands import Number
from segue.segments.conditions.parsing import parse_condition, parse_workflow_condition
from segue.segments.conditions.registry import Operator, register
from segue.segments.definition import SegmentDefinition

CALLS = {
    "transactions": {"where": {"field": "type", "equals": "support_call"}, "in_past": "30d"},
    "count": {"at_least": 5},
}


def problems(data, **options):
    with pytest.raises(ProblemsFound) as raised:
        parse_condition(data, **options)
    return list(raised.value.problems)


def only_problem(data, **options):
    (problem,) = problems(data, **options)
    return problem


@pytest.mark.parametrize(
    "data",
    [
        {"field": "tier", "equals": "gold"},
        {"field": "age", "at_least": 18, "less_than": 65},
        {"field": "email", "contains": "@EXAMPLE", "ignore_case": True},
        {"field": "contact_id", "one_of": ["CID_6FDjfOLAQtB7T9z"]},
        {"field": "contact_id", "is_set": True},
        {"not": {"any": [{"field": "a", "is_empty": True}, {"field": "b", "is_true": True}]}},
        {"all": [{"field": "lifecycle", "equals": "customer"}, CALLS]},
        {"transactions": {}, "sum": {"field": "amount", "at_least": 1000.5}},
        {"transactions": {}, "latest": {"field": "date", "not_in_past": "90d"}},
        {"field": "date", "before": "2026-11-22", "after": "2026-01-01T06:00:00Z"},
        {"field": "email", "matches": r"^\S+@example\.com$", "ignore_case": True},
        {"field": "age", "between": [18, 65], "not_between": [20, 20.5]},
        {"field": "born", "on_day": "1990-02-28", "anniversary_in_next": "7d", "in_next": "1mo"},
        {"transactions": {}, "mean": {"field": "amount", "between": [1, 2]}},
        {"transactions": {}, "earliest": {"field": "date", "on_day": "2026-11-22"}},
        {"mailing_list": "Newsletter", "is": "opted_in"},
        {"subscription": "this_segment", "is": "opted_out"},
        {"segment": "high_value", "is": "not_member"},
        {"sample": "0.5%", "salt": "spring-test"},
    ],
)
def test_a_condition_survives_its_plain_form(data):
    condition = parse_condition(data)
    assert parse_condition(json.loads(json.dumps(to_data(condition)))) == condition


def test_the_plain_form_does_not_depend_on_the_order_of_keys():
    one = parse_condition({"field": "age", "at_least": 18, "less_than": 65})
    other = parse_condition({"less_than": 65, "at_least": 18, "field": "age"})
    assert json.dumps(to_data(one)) == json.dumps(to_data(other))


def test_nodes_know_where_they_stood_and_are_equal_wherever_that_was():
    leaf = {"field": "a", "equals": 1}
    condition = parse_condition({"all": [leaf, {"not": leaf}]})
    assert isinstance(condition, AllOf)
    negation = condition.parts[1]
    assert isinstance(negation, Not)
    assert negation.part.location == ("all", 1, "not")
    assert negation.part == condition.parts[0]


def test_all_problems_come_at_once_each_with_its_place():
    found = problems(
        {
            "all": [
                {"field": "a", "equal": 1},
                {"any": []},
                {"transactions": {"in_past": "30"}, "count": {"at_least": "5"}},
            ]
        }
    )
    assert [location for location, _ in found] == [
        ("all", 0, "equal"),
        ("all", 1, "any"),
        ("all", 2, "transactions", "in_past"),
        ("all", 2, "count", "at_least"),
    ]


@pytest.mark.parametrize(
    ("data", "location", "words"),
    [
        ([], (), ["expected a condition with all, any, not, field, transactions", "a list"]),
        ({}, (), ["an empty mapping"]),
        ({"fild": "a", "equals": 1}, (), ["found fild, equals", "did you mean 'field'?"]),
        ({"all": [], "any": []}, (), ["all and any together", "exactly one"]),
        ({"all": {"field": "a"}}, ("all",), ["a list of at least one condition", "a mapping"]),
        ({"not": {"field": "a", "is_set": True}, "x": 1}, ("x",), ["unknown key 'x'", "not"]),
        ({"field": "a"}, (), ["at least one operator", "equals"]),
        ({"field": 5, "equals": 1}, ("field",), ["the name of a field", "5"]),
        ({"field": "a", "eqals": 1}, ("eqals",), ["unknown operator", "did you mean 'equals'?"]),
        ({"field": "a", "equals": ""}, ("equals",), ["is_empty: true"]),
        ({"field": "a", "equals": None}, ("equals",), ["is_empty: true"]),
        ({"field": "a", "equals": [1]}, ("equals",), ["a list"]),
        ({"field": "a", "equals": float("nan")}, ("equals",), ["finite"]),
        ({"field": "a", "one_of": []}, ("one_of",), ["at least one element"]),
        ({"field": "a", "one_of": "gold"}, ("one_of",), ["a list such as", "'gold'"]),
        ({"field": "a", "one_of": ["x", ""]}, ("one_of",), ["is_empty"]),
        ({"field": "a", "is_empty": False}, ("is_empty",), ["write is_set: true"]),
        ({"field": "a", "is_set": False}, ("is_set",), ["write is_empty: true"]),
        ({"field": "a", "is_true": False}, ("is_true",), ["write is_false: true"]),
        ({"field": "a", "is_true": "yes"}, ("is_true",), ["expected true", "'yes'"]),
        ({"field": "a", "contains": 5}, ("contains",), ["expected text", "quote it"]),
        ({"field": "a", "contains": ""}, ("contains",), ["is_empty"]),
        ({"field": "a", "at_least": "5"}, ("at_least",), ["expected a number", "'5'"]),
        ({"field": "a", "at_least": True}, ("at_least",), ["expected a number", "true"]),
        ({"field": "a", "before": "2026-02-30"}, ("before",), ["date", "2026-02-30"]),
        ({"field": "a", "after": 20261122}, ("after",), ["date", "20261122"]),
        ({"field": "a", "in_past": "30"}, ("in_past",), ["'30' is not a duration", "30d"]),
        ({"field": "contact_id", "equals": 7}, ("equals",), ["contact ids are text", '"7"']),
        ({"field": "contact_id", "one_of": ["a", 7]}, ("one_of",), ["contact ids are text"]),
        ({"field": "contact_id", "at_least": 7}, ("at_least",), ["contact ids are text"]),
        ({"field": "a", "at_least": 1, "ignore_case": True}, ("ignore_case",), ["text operand"]),
        ({"field": "a", "equals": "x", "ignore_case": "y"}, ("ignore_case",), ["true or false"]),
        ({"transactions": {}}, ("transactions",), ["aggregate", "earliest or latest"]),
        ({"transactions": [], "count": {"at_least": 1}}, ("transactions",), ["a list"]),
        ({"transactions": {}, "count": 5}, ("count",), ["operators such as", "5"]),
        ({"transactions": {}, "count": {}}, ("count",), ["at least one operator"]),
        ({"transactions": {}, "sum": {"at_least": 5}}, ("sum",), ["'field'"]),
        ({"transactions": {}, "totl": {"at_least": 5}}, ("totl",), ["count, sum, mean"]),
        (
            {"transactions": {}, "count": {"at_least": 1}, "sum": {"field": "a", "at_least": 1}},
            ("sum",),
            ["count and sum together"],
        ),
        (
            {"transactions": {"were": 1}, "count": {"at_least": 1}},
            ("transactions", "were"),
            ["unknown key 'were'", "did you mean 'where'?"],
        ),
        (
            {"transactions": {"where": CALLS}, "count": {"at_least": 1}},
            ("transactions", "where", "transactions"),
            ["cannot be nested", "all, any, not, field"],
        ),
        ({"field": "a", "matches": "("}, ("matches",), ["not a regular expression", "missing )"]),
        ({"field": "a", "matches": r"(a)\1"}, ("matches",), ["no backreferences", "invalid"]),
        ({"field": "a", "not_matches": "a(?=b)"}, ("not_matches",), ["no look-around"]),
        ({"field": "a", "between": [5, 1]}, ("between",), ["nothing is between 5 and 1"]),
        ({"field": "a", "between": [1]}, ("between",), ["two numbers such as [18, 65]"]),
        ({"field": "a", "between": ["a", "b"]}, ("between",), ["expected a number, found 'a'"]),
        ({"field": "contact_id", "between": [1, 2]}, ("between",), ["contact ids are text"]),
        ({"field": "a", "on_day": "2026-11-22T06:00"}, ("on_day",), ["a day such as 2026-11-22"]),
        ({"field": "a", "in_next": "7"}, ("in_next",), ["'7' is not a duration"]),
        ({"mailing_list": "News"}, (), ["the key 'is' is missing", "member, not_member"]),
        ({"mailing_list": "News", "is": "on"}, ("is",), ["found 'on'; allowed: member"]),
        ({"mailing_list": 5, "is": "member"}, ("mailing_list",), ["the name of a mailing list"]),
        ({"subscription": "x", "is": "member"}, ("is",), ["allowed: opted_in, opted_out"]),
        ({"segment": "x", "is": "membr"}, ("is",), ["did you mean 'member'?"]),
        ({"segment": "x", "is": "member", "at": 1}, ("at",), ["unknown key 'at'"]),
        ({"sample": "10%"}, (), ["the key 'salt' is missing"]),
        ({"sample": "110%", "salt": "s"}, ("sample",), ["a share from 0% to 100%", "'110%'"]),
        ({"sample": 0.1, "salt": "s"}, ("sample",), ["such as 10%", "0.1"]),
        ({"sample": "10%", "salt": ""}, ("salt",), ["salt"]),
        (
            {"transactions": {"where": {"segment": "x", "is": "member"}}, "count": {"equals": 0}},
            ("transactions", "where", "segment"),
            ["is about a contact"],
        ),
        ({"change": {"one_of": ["added"]}}, ("change",), ["only in the conditions of a workflow"]),
    ],
)
def test_a_mistake_is_explained_where_it_stands(data, location, words):
    found, message = only_problem(data)
    assert found == location
    for word in words:
        assert word in message


def test_an_operator_that_is_not_there_lists_what_is():
    _, message = only_problem({"field": "a", "sounds_like": "x"})
    assert all(name in message for name in ("equals", "none_of", "not_in_past", "is_false"))


def test_a_workflow_condition_may_ask_for_the_kind_of_change():
    parse_workflow_condition({"change": {"one_of": ["added", "opted_in"]}})
    parse_workflow_condition({"not": {"change": {"equals": "removed"}}})


@pytest.mark.parametrize(
    ("data", "location", "words"),
    [
        ({"one_of": ["added", "remved"]}, ("one_of", 1), ["'remved'", "did you mean 'removed'?"]),
        ({"equals": 5}, ("equals",), ["unknown kind of change 5", "added"]),
        ({"at_least": 5}, ("at_least",), ["unknown operator", "one_of"]),
        (["added"], (), ["a list"]),
        ({}, (), ["at least one operator"]),
    ],
)
def test_a_wrong_kind_of_change_is_explained(data, location, words):
    found, message = only_problem({"change": data}, change_allowed=True)
    assert found == ("change", *location)
    for word in words:
        assert word in message


def test_needs_name_every_column_once():
    needs = needed_columns(
        parse_condition(
            {
                "any": [
                    {"field": "tier", "equals": "gold"},
                    {"field": "contact_id", "one_of": ["x"]},
                    {"not": CALLS},
                    {"transactions": {}, "sum": {"field": "amount", "at_least": 5}},
                ]
            }
        )
    )
    assert needs.contacts == {"tier"}
    assert needs.transactions == {"contact_id", "date", "type", "amount"}
    assert not needs.mailing_lists
    assert not needs.subscriptions


def test_a_condition_without_transactions_does_not_need_them():
    assert needed_columns(parse_condition({"field": "a", "is_set": True})).transactions is None


def test_unknown_fields_are_named_with_their_place_and_the_nearest():
    condition = parse_condition({"all": [{"field": "teir", "equals": "gold"}, CALLS]})
    columns = {"contacts": ["contact_id", "tier"], "transactions": ["contact_id", "date", "typ"]}
    (first, message), (second, other) = unknown_fields(condition, columns)
    assert first == ("all", 0, "field")
    assert "unknown field 'teir' in contacts" in message
    assert "did you mean 'tier'?" in message
    assert second == ("all", 1, "transactions", "where", "field")
    assert "did you mean 'typ'?" in other


def test_a_missing_table_is_one_problem():
    condition = parse_condition(CALLS)
    found = unknown_fields(condition, {"contacts": ["contact_id"]})
    assert {message for _, message in found} == {"the directory has no table transactions"}
    assert found[0][0] == ("transactions",)


def test_a_file_shows_line_and_column_of_a_mistake_in_a_condition():
    text = "segment: a\ndirectory: b\nmatch:\n  all:\n    - {field: x, eqals: 5}\n"
    with pytest.raises(DefinitionError) as raised:
        validate(SegmentDefinition, parse_document(text, "a.yaml"))
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (5, 18)
    assert problem.path == "match.all[0].eqals"


def test_the_schema_accepts_what_the_parser_does_and_refuses_a_misspelled_operator():
    schema = SegmentDefinition.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    more = [
        {"not": CALLS},
        {"mailing_list": "News", "is": "member"},
        {"sample": "10%", "salt": "s"},
        {"field": "x", "between": [1, 2], "matches": "a"},
        {"transactions": {}, "max": {"field": "amount", "at_least": 5}},
    ]
    good = {"segment": "a", "directory": "b", "match": {"all": more}}
    assert validator.is_valid(good)
    assert SegmentDefinition.model_validate(good).model_dump(exclude_none=True) == good
    bad = {**good, "match": {"all": [{"field": "x", "eqals": 1}]}}
    assert not validator.is_valid(bad)
    with pytest.raises(ValidationError):
        SegmentDefinition.model_validate(bad)


def test_a_teams_operator_is_registered_like_a_built_in_one(monkeypatch):
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

    @register
    class Exceeds(Operator[float]):
        name, complement, takes = "exceeds", "not_exceeds", Number()

        def holds(self, column, operand, moment):
            return column.numbers.above(operand)

    condition = parse_condition({"field": "a", "exceeds": 1, "not_exceeds": 5})
    assert operator_versions(condition) == {}
    Exceeds.version = 2
    assert operator_versions(condition) == {"exceeds": 2}
    with pytest.raises(ValueError, match="'exceeds' exists already"):
        register(Exceeds)


def test_operators_of_another_package_are_imported_by_their_entry_point(monkeypatch):
    imported = []

    class Entry:
        def load(self):
            imported.append("ours")

    def points(group):
        return [Entry()] if group == "segue.operators" else []

    monkeypatch.setattr(registry, "entry_points", points)
    registry._import_installed.cache_clear()
    parse_condition({"field": "a", "equals": 1})
    registry._import_installed.cache_clear()
    assert imported == ["ours"]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-22", "2026-11-22T00:00:00"),
        ("2024-02-29 06", "2024-02-29T06:00:00"),
        ("2026-11-22t06:05z", "2026-11-22T06:05:00+00:00"),
        ("2026-11-22T06:05:07,1234567+0530", "2026-11-22T06:05:07.123456+05:30"),
        ("2026-02-29", None),
        ("0000-01-01", None),
        ("20261122", None),
        ("2026-W47-7", None),
        ("2026-11-22T24:00", None),
        ("2026-11-22\n", None),
        ("2026-11-22Z", None),
    ],
)
def test_instants_are_iso_8601_in_the_extended_format(text, iso):
    found = parse_instant(text)
    assert (None if found is None else found.isoformat()) == iso


def test_parsing_a_condition_imports_no_dataframe_library():
    code = (
        "import sys; from segue.segments.definition import SegmentDefinition as S;"
        "S(segment='a', directory='b', match={'field': 'x', 'equals': 1});"
        "print([m for m in ('pandas', 'pyarrow', 'numpy', 'airflow') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
