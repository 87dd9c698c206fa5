"""Hints offer what was meant, in whatever words, and never its opposite."""

from __future__ import annotations

from itertools import pairwise

import pytest

from segue.documents import ProblemsFound
from segue.hints import did_you_mean, probably_meant
from segue.segments.conditions.aggregates import aggregate_names
from segue.segments.conditions.nodes import MailingListLeaf
from segue.segments.conditions.parsing import parse_condition
from segue.segments.conditions.registry import operator_names
from segue.segments.kinds import ChangeKind
from segue.workflows.definition import WorkflowDefinition

OPERATORS = operator_names()
SHAPES = ("all", "any", "not", "field", "transactions", "mailing_list", "subscription", "segment")
KINDS = [kind.value for kind in ChangeKind]
WORKFLOW_KEYS = list(WorkflowDefinition.model_fields)
CONTEXTS = [OPERATORS, SHAPES, aggregate_names(), KINDS, MailingListLeaf.STATES, WORKFLOW_KEYS]

MEANT = {
    OPERATORS: {
        "=": "equals", "==": "equals", "eq": "equals", "is": "equals", "equal_to": "equals",
        "!=": "not_equals", "<>": "not_equals", "is_not": "not_equals", "notEquals": "not_equals",
        ">": "greater_than", "gt": "greater_than", "more_than": "greater_than",
        ">=": "at_least", "gte": "at_least", "min": "at_least",
        "<": "less_than", "lt": "less_than", "fewer_than": "less_than", "below": "less_than",
        "<=": "at_most", "lte": "at_most", "up_to": "at_most", "max": "at_most",
        "in": "one_of", "any_of": "one_of", "not_in": "none_of", "NOT IN": "none_of",
        "begins_with": "starts_with", "prefix": "starts_with", "suffix": "ends_with",
        "like": "contains", "includes": "contains", "excludes": "not_contains",
        "does_not_contain": "not_contains", "regex": "matches",
        "is_null": "is_empty", "missing": "is_empty", "is_not_set": "is_empty",
        "is_not_empty": "is_set", "not_empty": "is_set", "not_is_empty": "is_set",
        "is_not_null": "is_set", "exists": "is_set", "isNotNull": "is_set",
        "is_not_true": "is_false", "is_not_false": "is_true",
        "last": "in_past", "within_last": "in_past", "not_in_last": "not_in_past",
        "next": "in_next", "birthday_in_next": "anniversary_in_next",
        "greter_than": "greater_than", "At_Least": "at_least", "atleast": "at_least",
        "contians": "contains", "mot_in_past": "not_in_past", "starts": "starts_with",
    },
    SHAPES: {"and": "all", "or": "any", "column": "field", "events": "transactions", "AND": "all"},
    aggregate_names(): {
        "avg": "mean", "first": "earliest", "oldest": "earliest", "last": "latest",
        "newest": "latest", "total": "sum", "minimum": "min", "highest": "max",
    },
    tuple(KINDS): {
        "joined": "added", "left": "removed", "unsubscribed": "opted_out",
        "subscribed": "opted_in", "enroll": "enrolled",
    },
    MailingListLeaf.STATES: {
        "subscribed": "opted_in", "unsubscribed": "opted_out", "in": "member", "out": "not_member",
    },
}  # fmt: skip
NONE = {
    OPERATORS: [
        "not_before", "not_after", "not_at_least", "on_or_after", "older_than", "newer_than",
        "nequals", "unequals", "inequal", "since", "until", "not",
    ],
    SHAPES: ["nor", "none", "xor"],
    aggregate_names(): ["median", "distinct", "stddev"],
    tuple(KINDS): ["changed"],
    MailingListLeaf.STATES: [],
}  # fmt: skip
OPPOSITES = [
    ("starts_with", "ends_with"), ("greater_than", "less_than"), ("at_least", "at_most"),
    ("before", "after"), ("in_past", "in_next"), ("is_empty", "is_set"), ("is_true", "is_false"),
    ("one_of", "none_of"), ("all", "any"), ("min", "max"), ("earliest", "latest"),
    ("added", "removed"), ("opted_in", "opted_out"), ("member", "not_member"),
]  # fmt: skip


@pytest.mark.parametrize("allowed", MEANT, ids=lambda names: names[0])
def test_the_words_of_other_tools_are_translated(allowed):
    offered = {word: probably_meant(word, allowed) for word in MEANT[allowed]}
    assert offered == MEANT[allowed]


@pytest.mark.parametrize("allowed", NONE, ids=lambda names: names[0])
def test_what_has_no_name_here_gets_no_hint(allowed):
    assert {word: did_you_mean(word, allowed) for word in NONE[allowed]} == dict.fromkeys(
        NONE[allowed], ""
    )


def _slips(name: str) -> list[str]:
    """Every letter left out, doubled, replaced or swapped with the next."""
    places = range(len(name))
    return [
        *(name[:i] + name[i + 1 :] for i in places),
        *(name[:i] + name[i] + name[i:] for i in places),
        *(name[:i] + "x" + name[i + 1 :] for i in places),
        *(name[:i] + b + a + name[i + 2 :] for i, (a, b) in enumerate(pairwise(name))),
    ]


def test_no_slip_of_the_pen_is_answered_with_another_name_than_the_one_written():
    slips = [(slip, name, names) for names in CONTEXTS for name in names for slip in _slips(name)]
    answers = [(slip, name, probably_meant(slip, names)) for slip, name, names in slips[::2]]
    wrong = [(s, n, meant) for s, n, meant in answers if meant not in (None, n, s)]
    assert wrong == []
    unanswered = [slip for slip, _, meant in answers if meant is None]
    assert len(unanswered) < 0.1 * len(answers)


def test_a_negation_is_never_answered_with_what_it_negates():
    negations = ("not_", "non_", "no_", "un", "is_not_", "isnt_", "not", "does_not_", "!")
    wrong = [
        (prefix + slip, name)
        for names in CONTEXTS
        for name in names
        if not name.startswith("no")
        for prefix in negations
        for slip in (name, *_slips(name)[1::9])
        if prefix + slip not in names and probably_meant(prefix + slip, names) == name
    ]
    assert wrong == []


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_no_name_is_offered_for_its_opposite(one, other):
    for written, allowed in ((one, other), (other, one)):
        for slip in {written, *_slips(written)} - {allowed}:
            assert probably_meant(slip, [written, allowed]) != allowed, slip


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"and": [{"field": "a", "equals": 1}]}, "did you mean 'all'?"),
        ({"or": [{"field": "a", "equals": 1}]}, "did you mean 'any'?"),
        ({"field": "a", "not_before": "2026-11-20"}, "write not: {…, before: …}"),
        ({"field": "a", "is_not_at_least": 3}, "write not: {…, at_least: …}"),
        ({"field": "a", "is_greater_than": 3}, "did you mean 'greater_than'?"),
        ({"field": "a", "at_least": 1, "000": None}, "a comma begins the next key"),
        ({"transactions": {}, "avg": {"field": "a", "at_least": 1}}, "did you mean 'mean'?"),
    ],
)
def test_conditions_are_answered_with_what_was_meant(condition, expected):
    with pytest.raises(ProblemsFound) as raised:
        parse_condition(condition)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("written", "columns", "expected"),
    [
        ("EMAIL", ["email"], "email"),
        ("email", ["EMAIL"], "EMAIL"),
        ("firstName", ["first_name", "last_name"], "first_name"),
        ("fist_name", ["first_name", "last_name"], "first_name"),
        ("Contact ID", ["contact_id"], "contact_id"),
        ("subscribed", ["unsubscribed"], None),
        ("tier", ["age", "born"], None),
    ],
)
def test_columns_are_found_in_another_case_and_spelling(written, columns, expected):
    assert probably_meant(written, columns) == expected
