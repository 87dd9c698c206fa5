"""Whether a condition can be met at all, against the engine that judges it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations, product
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest

from segue.segments.conditions.contradictions import contradictions
from segue.segments.conditions.parsing import parse_condition
from segue.segments.evaluation import evaluate
from segue.segments.population import Population

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
NUMBERS = [{name: n} for name in ("at_least", "greater_than", "at_most", "less_than", "equals")
           for n in (1, 2)]  # fmt: skip
NUMBERS += [{"between": [1, 2]}, {"between": [2, 2]}, {"one_of": [0, 3]}, {"not_equals": 1}]
NUMBERS += [{"not_between": [1, 3]}, {"none_of": [0, 1]}]
OTHERS: list = [
    {"equals": "gold"},
    {"equals": "2"},
    {"one_of": ["gold", "x"]},
    {"none_of": ["gold", "x"]},
]
OTHERS += [{"not_equals": "gold"}, {"contains": "o"}, {"not_contains": "o"}, {"is_empty": True}]
OTHERS += [{"is_set": True}, {"is_true": True}, {"is_false": True}, {"equals": True}]
OTHERS += [{"equals": False}, {"one_of": ["2", 2]}, {"not_equals": True}]
DATES = [{name: day} for name in ("before", "after", "on_day", "not_on_day")
         for day in ("2026-11-21", "2026-11-22")]  # fmt: skip
DATES += [{"after": "2026-11-21T13:00:00Z"}, {"before": "2026-11-21T02:00:00Z"}]
DATES += [{name: span} for name in ("in_past", "not_in_past", "in_next", "not_in_next")
          for span in ("12h", "2d", "1w", "1mo", "40d")]  # fmt: skip


def held(tests) -> bool:
    """Tell whether any value meets all of some tests."""
    condition = parse_condition({"all": [{"field": "v", **test} for test in tests]})
    return bool(evaluate(condition, population()).any())


def population() -> Population:
    texts = [None, "gold", "x", "GOLD", "true", "no", "foo"]
    texts += [str(half / 2) for half in range(-2, 9)] + list(map(str, range(5)))
    days = [f"2026-{month}-{day:02}" for month in (10, 11, 12) for day in range(1, 31)]
    texts += [f"{day}T{hour}:30:00Z" for day in days for hour in ("01", "13", "23")]
    ids = pd.Series([f"c{row}" for row in range(len(texts))], dtype="str")
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([texts])))
    return Population(
        pd.DataFrame({"contact_id": ids, "v": column}), AS_OF, ZoneInfo("Europe/London")
    )


def told(condition) -> list[str]:
    return [message for _, message in contradictions(parse_condition(condition))]


@pytest.mark.parametrize("several", [NUMBERS, OTHERS, DATES], ids=["numbers", "others", "dates"])
def test_what_is_told_holds_for_nobody_and_what_holds_for_nobody_is_told(several):
    """Of every two; where the calendar has a say, and of text and number in one, less is told."""
    judged = {index: evaluate(parse_condition({"field": "v", **test}), population())
              for index, test in enumerate(several)}  # fmt: skip
    for one, other in combinations(range(len(several)), 2):
        pair = several[one], several[other]
        meets = bool((judged[one] & judged[other]).any())
        found = told({"all": [{"field": "v", **test} for test in pair]})
        assert not (found and meets), (pair, found)
        assert found or meets or _takes_more_to_say(*pair), pair


def _takes_more_to_say(*pair) -> bool:
    """Tell whether it takes the zone, the calendar or a spelling to say that nobody meets two."""
    operands = [test[name] for test in pair for name in test]
    lists = [operand if isinstance(operand, list) else [operand] for operand in operands]
    names = {name for test in pair for name in test}
    is_mixed = len({type(element) for elements in lists for element in elements}) > 1
    has_zones = len({str(operand).endswith("Z") for operand in operands}) > 1
    says_more = names & {"contains", "not_contains"} or any("_in_" in f"_{name}" for name in names)
    return is_mixed or has_zones or bool(says_more)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"field": "v", "at_least": 5, "at_most": 3}, "`at_least: 5` and `at_most: 3` of v"),
        ({"field": "v", "one_of": [1, 9], "between": [3, 6], "at_least": 0}, "`one_of: [1, 9]`"),
        ({"field": "v", "between": [3, 4], "not_between": [1, 9]}, "`between: [3, 4]`"),
        ({"field": "v", "between": [3, 4], "not_between": [4, 9]}, None),
        ({"field": "v", "equals": 3, "not_between": [1, 9]}, "`not_between: [1, 9]`"),
        ({"all": [{"field": "v", "after": "2026-11-22"},
                  {"all": [{"field": "v", "before": "2026-11-22"}]}]}, "never hold together"),
        ({"any": [{"field": "v", "after": "2026-11-22"},
                  {"field": "v", "before": "2026-11-22"}]}, None),
        ({"not": {"field": "v", "in_past": "1mo", "not_in_past": "2mo"}}, "`in_past: 1mo`"),
        ({"all": [{"field": "v", "contains": "A", "ignore_case": True},
                  {"field": "v", "not_contains": "A"}]}, None),
        ({"transactions": {}, "count": {"less_than": 0}}, "`less_than: 0` of count never holds"),
        ({"transactions": {}, "sum": {"field": "v", "less_than": 0}}, None),
        ({"transactions": {}, "latest": {"field": "v", "after": "2026-01-02",
                                         "before": "2026-01-01"}}, "of latest of v"),
        ({"transactions": {"in_past": "30d", "where": {"field": "date", "not_in_past": "5w"}},
          "count": {"at_least": 1}}, "`in_past: 30d` and `not_in_past: 5w` of date"),
        ({"transactions": {"in_past": "9w", "where": {"field": "date", "not_in_past": "5w"}},
          "count": {"at_least": 1}}, None),
        ({"all": [{"transactions": {"in_past": "30d"}, "count": {"at_least": 5}},
                  {"transactions": {"in_past": "90d"}, "count": {"at_most": 4}}]}, None),
        ({"all": [{"transactions": {"in_past": "30d"}, "count": {"at_least": 5}},
                  {"transactions": {"in_past": "30d"}, "count": {"at_most": 4}}]}, "of count"),
    ],
)  # fmt: skip
def test_what_must_hold_at_once_is_looked_at_together(condition, said):
    assert (said is None and not told(condition)) or said in " ".join(told(condition))


def test_three_tests_of_numbers_leave_room_or_are_told():
    """A closed and an open bound on one number, and a list of numbers, in any order."""
    for tests in product(NUMBERS[:8], NUMBERS[:8], [{"one_of": [0, 3]}, {"between": [1, 2]}]):
        found = told({"all": [{"field": "v", **test} for test in tests]})
        assert bool(found) is not held(tests), tests
