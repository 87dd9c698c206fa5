"""Every operator over every kind of column: it can tell contacts apart, or it is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.column_kinds import ColumnKind
from segue.documents import ProblemsFound
from segue.errors import DataError
from segue.segments.conditions.aggregates import aggregate_names, find_aggregate
from segue.segments.conditions.fit import misfits
from segue.segments.conditions.parsing import parse_condition
from segue.segments.conditions.registry import Reading, find_operator, operator_names
from segue.segments.evaluation import evaluate
from segue.segments.fitness import require_fit
from segue.segments.population import Population
from tests.unit.segments.home import Home

ZONE = ZoneInfo("Europe/London")
AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
BOTH = {  # of each kind, values that its own operators tell apart, and one that is missing
    "text": pa.array(
        ["gold", "5", "0", "2026-11-20", "2020-11-24", "2026-11-25", "yes", "no", None]
    ),
    "number": pa.array([5, 0, 1, 77, None, 30], pa.int64()),
    "float": pa.array([5.0, 0.0, 1.0, 7.5, None, 30.0], pa.float64()),
    "decimal": pa.array([Decimal("5.00"), Decimal(0), Decimal(1), Decimal("7.5"), None, None]),
    "boolean": pa.array([True, False, None]),
    "date": pa.array([date(2026, 11, 20), date(2020, 11, 24), date(2026, 11, 25), None]),
    "instant": pa.array(
        [
            datetime(2026, 11, 20, 9, tzinfo=UTC),
            datetime(2020, 11, 24, tzinfo=UTC),
            None,
            datetime(2026, 11, 25, 8, tzinfo=UTC),
        ]
    ),
    "time": pa.array([time(9, 30), time(10), None]),
    "duration": pa.array([timedelta(days=1), timedelta(days=30), None]),
    "list": pa.array([["gold"], ["5", "x"], None]),
    "struct": pa.array([{"a": 5}, {"a": 1}, None]),
}
KIND = {"float": ColumnKind.NUMBER, "decimal": ColumnKind.NUMBER}
OPERANDS = {
    Reading.TEXT: ["gold", "5", "2026-11-20", "0"],
    Reading.NUMBER: [5, 1, [0, 5]],
    Reading.INSTANT: ["2026-11-20", "2026-11-21", "30d", "7d"],
    Reading.BOOLEAN: [True],
    Reading.OPERAND: ["gold", "yes", 5, True, "2026-11-20", "x", ["gold"], ["yes"], [5], [True]],
    None: [True],
}
CASES = [(name, operator) for name in BOTH for operator in operator_names()]


def kind_of(name: str) -> ColumnKind:
    return KIND.get(name) or ColumnKind(name)


def population(name: str) -> Population:
    values = BOTH[name]
    ids = pd.Series([f"c{row}" for row in range(len(values))], dtype="str")
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([values])))
    return Population(pd.DataFrame({"contact_id": ids, "v": column}), AS_OF, ZONE)


def parsed(operator: str):
    """Every operand of the table that the operator takes, as a condition."""
    for operand in OPERANDS[find_operator(operator).operator.reads]:
        try:
            yield operand, parse_condition({"field": "v", operator: operand})
        except ProblemsFound:
            continue


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_an_operator_tells_values_apart_or_is_refused(name, operator):
    kinds = {"contacts": {"v": kind_of(name)}}
    people = population(name)
    accepted = []
    for operand, condition in parsed(operator):
        problems = [message for _, message in misfits(condition, kinds)]
        if problems:
            assert len(answers_of(condition, people)) < 2  # nobody, or everybody; or refused, too
            assert "contacts.v holds" in problems[0]
            assert "allowed: " in problems[0] or "; write " in problems[0]
        else:
            accepted.append((operand, set(evaluate(condition, people).tolist())))
    if accepted:  # of what is accepted, some operand has both answers
        assert {True, False} in [answers for _, answers in accepted], accepted


def answers_of(condition, people):
    """Return the answers that a condition gives; none where its column is one that none reads."""
    try:
        return set(evaluate(condition, people).tolist())
    except DataError:
        return set()


@pytest.mark.parametrize(
    ("name", "condition", "write"),
    [
        ("boolean", {"equals": "yes"}, "write equals: true, or is_true: true"),
        ("boolean", {"not_equals": "N"}, "write not_equals: false, or is_false: true"),
        ("boolean", {"one_of": ["yes", "1"]}, "write one_of: [true]"),
        ("boolean", {"at_least": 1}, "allowed: equals, not_equals, one_of"),
        ("boolean", {"contains": "t"}, "allowed: equals"),
        ("number", {"equals": "007"}, "write the number without quotes"),
        ("number", {"in_past": "30d"}, "at_least"),
        ("number", {"one_of": [5, "gold"]}, "none of them is 'gold'"),
        ("instant", {"equals": "2026-11-20"}, "write on_day: 2026-11-20"),
        ("instant", {"not_equals": "2026-11-20T09:00"}, "write not_on_day: 2026-11-20"),
        ("date", {"equals": "2026-11-20T09:00"}, "write on_day: 2026-11-20"),
        ("date", {"greater_than": 5}, "before, after, on_day"),
        ("date", {"is_true": True}, "before, after, on_day"),
        ("list", {"not_contains": "gold"}, "allowed: is_empty, is_set"),
        ("struct", {"equals": "x"}, "allowed: is_empty, is_set"),
        ("time", {"equals": "09:30"}, "allowed: is_empty, is_set"),
        ("duration", {"at_least": 1}, "allowed: is_empty, is_set"),
    ],
)
def test_what_is_refused_names_what_to_write(name, condition, write):
    leaf = parse_condition({"field": "v", **condition})
    (problem,) = misfits(leaf, {"contacts": {"v": kind_of(name)}})
    assert write in problem[1]


@pytest.mark.parametrize("aggregate", aggregate_names())
@pytest.mark.parametrize("operator", operator_names())
def test_an_aggregate_is_asked_only_what_its_value_is(aggregate, operator):
    found = find_aggregate(aggregate)
    field = {"field": "seen" if found.kind is ColumnKind.INSTANT else "amount"}
    reads = find_operator(operator).operator.reads
    fits = {
        ColumnKind.NUMBER: (None, Reading.NUMBER, Reading.TEXT, Reading.BOOLEAN, Reading.OPERAND),
        ColumnKind.INSTANT: (None, Reading.INSTANT, Reading.TEXT),
    }[found.kind]
    seen = 0
    for operand in OPERANDS[reads]:
        data = {
            "transactions": {},
            aggregate: {**(field if found.needs_field else {}), operator: operand},
        }
        try:
            condition = parse_condition(data)
        except ProblemsFound as error:
            seen += f"{aggregate} holds" in str(error)
        else:
            assert reads in (*fits, Reading.OPERAND)
            seen += any(f"{aggregate} holds" in message for _, message in misfits(condition, {}))
    assert seen or reads in fits


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"count": {"not_in_past": "30d"}}, "latest: {field: date, …}"),
        ({"sum": {"field": "date", "at_least": 1}}, "allowed: earliest, latest, count"),
        ({"latest": {"field": "date", "at_least": 5}}, "reads numbers"),
    ],
)
def test_an_aggregate_that_is_asked_something_else_is_an_error_of_the_parser(data, expected):
    with pytest.raises(ProblemsFound) as raised:
        parse_condition({"transactions": {}, **data})
    assert expected in str(raised.value)


def test_the_date_of_a_transaction_is_a_date_whatever_a_file_says():
    where = {"field": "date", "at_least": 5}
    leaf = parse_condition({"transactions": {"where": where}, "count": {"at_least": 1}})
    (problem,) = misfits(leaf, {"transactions": {"date": ColumnKind.TEXT}})
    assert "transactions.date holds dates with a time, and at_least reads numbers" in problem[1]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("aggregate", [a for a in aggregate_names() if a != "count"])
def test_an_aggregate_is_made_of_what_it_can_be_made_of(aggregate, name):
    kind = kind_of(name)
    reads_numbers = find_aggregate(aggregate).reads is Reading.NUMBER
    operator = {"at_least": 1} if reads_numbers else {"after": "2020-01-01"}
    condition = parse_condition({"transactions": {}, aggregate: {"field": "v", **operator}})
    problems = list(misfits(condition, {"transactions": {"v": kind}}))
    dates = kind in (ColumnKind.DATE, ColumnKind.INSTANT)
    fits = kind is ColumnKind.TEXT or (kind is ColumnKind.NUMBER if reads_numbers else dates)
    assert (not problems) == fits


def test_columns_that_segue_reads_in_one_way_are_that_whatever_a_file_says():
    text = {"contacts": {"unsubscribed": ColumnKind.TEXT, "contact_id": ColumnKind.NUMBER}}
    refused = parse_condition({"field": "unsubscribed", "equals": "yes"})
    assert [message for _, message in misfits(refused, text)]
    fine = parse_condition({"field": "contact_id", "one_of": ["gold"]})
    assert list(misfits(fine, text)) == []


def test_a_run_and_the_commands_refuse_what_validate_refuses(tmp_path):
    home = Home(tmp_path)
    home.segment("vips", "match: {field: vip, equals: yes}")
    home.segment("others", "match: {segment: vips, is: not_member}")
    folder = tmp_path / "snapshots" / "2026-11-22"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"contact_id": ["a"], "vip": [True]}), folder / "contacts.parquet")
    tables = home.tables("2026-11-22")
    for name in ("vips", "others"):
        with pytest.raises(DataError) as raised:
            require_fit(home.catalog.segment(name), tables)
        assert str(raised.value) == (
            "snapshot 2026-11-22 of customers cannot answer what is asked of it: segment vips, "
            "match.equals: contacts.vip holds booleans, and none of them is 'yes'; write equals: "
            "true, or is_true: true"
        )
    late = [(("conditions",), parse_condition({"field": "vip", "at_least": 1}))]
    home.segment("vips", "match: {field: vip, equals: true}")
    with pytest.raises(DataError, match=r"conditions\.at_least: contacts\.vip holds booleans"):
        require_fit(home.catalog.segment("vips"), tables, late)
    require_fit(home.catalog.segment("vips"), tables, late, besides=["vip"])  # a look-up gives it
