"""Laws of conditions and changes, on hostile data.

``Reference`` below judges one contact at a time in plain Python, written from docs/conditions.md
and nothing else; the engine must agree with it on whole frames.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations_with_replacement
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.durations import localize, parse_duration
from segue.segments.conditions.aggregates import aggregate_names
from segue.segments.conditions.parsing import parse_condition
from segue.segments.conditions.registry import Reading, find_operator, operator_names
from segue.segments.evaluation import evaluate
from segue.segments.population import Population
from tests.unit.segments.home import membership_changes

ZONES = [ZoneInfo("UTC"), ZoneInfo("Europe/London"), ZoneInfo("America/St_Johns")]
AS_OF = datetime(2026, 11, 23, tzinfo=UTC)
BIG = 2**53
COMPLEMENTS = [
    n for n in operator_names() if find_operator(n).other and not find_operator(n).negated
]

# Values

TEXT_VALUES = [
    *["", " ", "gold", "Gold", "GOLD", "gol", "straße", "İstanbul", "e\u0301", "é", "金", "😀"],
    *["5", " 5 ", "5.0", "+5", "-5", ".5", "5.", "007", "1e3", "1E999", "inf", "nan", "NaN"],
    *[
        "1_000",
        "0x1F",
        "12,5",
        "true",
        "TRUE",
        "no",
        "1",
        "0",
        "yes",
        "yes\n",
        "\t5\n",
        str(BIG + 1),
        "0.1",
    ],
    *[
        "2026-11-22",
        "2026-11-22T23:30",
        "2026-10-25T01:30",
        "2026-03-29 01:30:00",
        "2026-02-30",
        "2024-02-29",
        "1999-11-25T23:59:59-08:00",
    ],
    *[
        "2026-11-23T00:00:00Z",
        "2026-11-22T19:00:00.5-05:00",
        "1795305600",
        "0.30000000000000004",
    ],
]
INTEGER_VALUES = [0, 1, -1, 5, 7, BIG, BIG + 1, -BIG - 1, 2**63 - 1]
FLOAT_VALUES = [0.0, -0.0, 1.0, 5.0, 0.1, 0.5, -7.25, float(BIG), 1e20, 1e-7, math.inf]
DECIMAL_VALUES = [Decimal(t) for t in ("0", "5.00", "0.10", "19.99", "-7.25", "0.01")]
DAY_VALUES = [
    date(2024, 2, 29),
    date(1990, 11, 23),
    date(2026, 11, 21),
    date(2026, 11, 22),
    date(2026, 11, 23),
    date(2026, 10, 25),
]
TIME_VALUES = [
    datetime.fromisoformat(text)
    for text in ("2026-11-22T00:00", "2026-11-23T00:00", "2026-10-25T01:30", "2026-11-22T23:30")
]
TEXTS, INTEGERS, FLOATS, DECIMALS = map(
    st.sampled_from, (TEXT_VALUES, INTEGER_VALUES, FLOAT_VALUES, DECIMAL_VALUES)
)
DATES = st.dates(date(2026, 10, 20), date(2026, 11, 24))
TIMES = st.datetimes(datetime(2026, 10, 24), datetime(2026, 11, 24)).map(  # noqa: DTZ001
    lambda time: time.replace(second=0, microsecond=0)
)
MISSING = st.none()

COLUMNS = {  # name: one value, the type it is stored as
    "text": (TEXTS | MISSING, "str"),
    "integer": (INTEGERS | MISSING, "Int64"),
    "float": (FLOATS | MISSING, "float64"),
    "decimal": (DECIMALS | MISSING, pd.ArrowDtype(pa.decimal128(12, 2))),
    "boolean": (st.booleans() | MISSING, "boolean"),
    "day": (DATES | MISSING, pd.ArrowDtype(pa.date32())),
    "time": (TIMES | MISSING, "datetime64[us]"),
    "mixed": (TEXTS | INTEGERS | FLOATS | DECIMALS | st.booleans() | DATES | MISSING, "object"),
}
VALUES = {  # name: every value worth trying
    "text": TEXT_VALUES,
    "integer": INTEGER_VALUES,
    "float": FLOAT_VALUES,
    "decimal": DECIMAL_VALUES,
    "boolean": [True, False],
    "day": DAY_VALUES,
    "time": TIME_VALUES,
    "mixed": [*TEXT_VALUES, *INTEGER_VALUES, *FLOAT_VALUES, *DECIMAL_VALUES, True, *DAY_VALUES],
}
ROW_COLUMNS = {
    "type": COLUMNS["text"],
    "amount": (st.sampled_from(["0.1", "0.2", "5", "x", "1e3", None]), "str"),
    "price": (st.sampled_from([0.1, 0.2, 0.3, 1e16, -1e16, 1.0, None]), "float64"),
    "dollars": COLUMNS["decimal"],
}


@st.composite
def populations(draw, most=8):
    size = draw(st.integers(1, most))
    ids = [f"c{number}" for number in range(size)]
    contacts = {"contact_id": pd.Series(ids, dtype="str")}
    for name, (values, dtype) in COLUMNS.items():
        contacts[name] = pd.Series(
            draw(st.lists(values, min_size=size, max_size=size)), dtype=dtype
        )
    rows = draw(st.integers(0, 3 * size))
    owners = st.sampled_from([*ids, "stranger"])
    transactions = {
        "contact_id": pd.Series(draw(st.lists(owners, min_size=rows, max_size=rows)), dtype="str")
    }
    dates = st.lists(TIMES | MISSING, min_size=rows, max_size=rows)
    transactions["date"] = pd.Series(draw(dates), dtype="datetime64[us]")
    for name, (values, dtype) in ROW_COLUMNS.items():
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        transactions[name] = pd.Series(drawn, dtype=dtype)
    zone = draw(st.sampled_from(ZONES))
    flags = st.lists(st.booleans(), min_size=size, max_size=size)
    contacts["unsubscribed"] = pd.Series(draw(flags), dtype="bool")
    lists = draw(st.lists(st.tuples(owners, LISTS, st.booleans()), max_size=6))
    scopes = st.sampled_from(["directory", "segment:this", "segment:other", "segment:third"])
    records = draw(st.lists(st.tuples(owners, scopes, st.booleans()), max_size=4))
    return Population(
        pd.DataFrame(contacts),
        AS_OF,
        zone,
        pd.DataFrame(transactions),
        pd.DataFrame(lists, columns=["contact_id", "mailing_list", "opted_in"]),
        pd.DataFrame(records, columns=["contact_id", "scope", "opted_in"]),
        segments=pd.DataFrame({"other": draw(flags)}),
        this_segment="this",
    )


# Conditions

TEXT_OPERANDS_TRIED = ["gold", "GOLD", "5", "true", "é", "o", "2026-11-22", "i"]
TEXT_OPERANDS = st.sampled_from(TEXT_OPERANDS_TRIED)
NUMBERS_TRIED = [0, 5, 0.1, 0.3, 5.0, 7, BIG, BIG + 1, -7.25, 1000, 19.99]
NUMBERS = st.sampled_from(NUMBERS_TRIED)
SCALARS = TEXT_OPERANDS | NUMBERS | st.booleans()
INSTANTS_TRIED = ["2026-11-22", "2026-10-25T01:30", "2026-11-22T06:00:00Z"]
INSTANTS = st.sampled_from(INSTANTS_TRIED)
SPANS_TRIED = ["1d", "24h", "30d", "1mo", "90m", "2w"]
SPANS = st.sampled_from(SPANS_TRIED)
PATTERNS_TRIED = ["^gold$", "[0-9]+", "o.d", "(?i)GOLD", "é|金", r"^\s*5", "(g|o)+l", "^[^a-z]*$"]
PATTERNS = st.sampled_from(PATTERNS_TRIED)
RANGES_TRIED = [[0, 5], [5, 5], [-7.25, 0.1], [0.1, BIG], [BIG + 1, 2**63]]
RANGES = st.sampled_from(RANGES_TRIED)
DAYS_TRIED = ["2026-11-22", "2026-10-25", "2026-11-23", "9999-12-31", "0001-01-01"]
DAYS = st.sampled_from(DAYS_TRIED)
OPERANDS = {
    "equals": SCALARS,
    "one_of": st.lists(SCALARS, min_size=1, max_size=3),
    "is_empty": st.just(True),
    **dict.fromkeys(["contains", "starts_with", "ends_with"], TEXT_OPERANDS),
    "matches": PATTERNS,
    "between": RANGES,
    "on_day": DAYS,
    **dict.fromkeys(["in_next", "anniversary_in_next"], SPANS),
    **dict.fromkeys(["greater_than", "at_least", "less_than", "at_most"], NUMBERS),
    **dict.fromkeys(["before", "after"], INSTANTS),
    "in_past": SPANS,
    "is_true": st.just(True),
}


SCALARS_TRIED = [*TEXT_OPERANDS_TRIED, *NUMBERS_TRIED, True, False]
TRIED = {
    "equals": SCALARS_TRIED,
    "one_of": [[scalar] for scalar in SCALARS_TRIED] + [["gold", 5], [7, 0.1, True]],
    "is_empty": [True],
    **dict.fromkeys(["contains", "starts_with", "ends_with"], TEXT_OPERANDS_TRIED),
    "matches": PATTERNS_TRIED,
    "between": RANGES_TRIED,
    "on_day": DAYS_TRIED,
    "in_next": [*SPANS_TRIED, "9000y"],
    "anniversary_in_next": [*SPANS_TRIED, "5y", "9000y"],
    **dict.fromkeys(["greater_than", "at_least", "less_than", "at_most"], NUMBERS_TRIED),
    **dict.fromkeys(["before", "after"], INSTANTS_TRIED),
    "in_past": SPANS_TRIED,
    "is_true": [True],
}


@st.composite
def operator_tests(draw, *, positive):
    """One operator with an operand, and perhaps ``ignore_case``."""
    names = [name for name in operator_names() if not (positive and find_operator(name).negated)]
    name = draw(st.sampled_from(names))
    operand = draw(OPERANDS[find_operator(name).operator.name])
    return {name: operand, **draw(st.sampled_from(options(name, operand)))}


def leaves(columns):
    return st.builds(
        lambda name, test: {"field": name, **test},
        st.sampled_from(columns),
        operator_tests(positive=False),
    )


def nested(leaf):
    def groups(inner):
        several = st.lists(inner, min_size=1, max_size=3)
        return (
            several.map(lambda parts: {"all": parts})
            | several.map(lambda parts: {"any": parts})
            | inner.map(lambda part: {"not": part})
        )

    return st.recursive(leaf, groups, max_leaves=4)


@st.composite
def transaction_leaves(draw):
    rows = {}
    if draw(st.booleans()):
        rows["where"] = draw(nested(leaves([*ROW_COLUMNS, "date"])))
    if draw(st.booleans()):
        rows["in_past"] = draw(SPANS)
    aggregate = draw(st.sampled_from(aggregate_names()))
    numeric, dated = ["amount", "price", "dollars", "type"], ["date", "type"]
    fields = dict.fromkeys(["sum", "mean", "min", "max"], numeric)
    fields |= dict.fromkeys(["earliest", "latest"], dated)
    field = {"field": draw(st.sampled_from(fields[aggregate]))} if aggregate in fields else {}
    test = draw(operator_tests(positive=False).filter(lambda found: can_answer(aggregate, found)))
    return {"transactions": rows, aggregate: {**field, **test}}


def can_answer(aggregate, test):
    """Numbers are not asked for dates, nor dates for numbers: the parser refuses that."""
    reads = {find_operator(name).operator.reads for name in test if name != "ignore_case"}
    dated = aggregate in ("earliest", "latest")
    return not reads & ({Reading.NUMBER, Reading.BOOLEAN} if dated else {Reading.INSTANT})


LISTS = st.sampled_from(["News", "news", "Offers"])
STATE_LEAVES = (
    st.builds(
        lambda name, state: {"mailing_list": name, "is": state},
        LISTS,
        st.sampled_from(["member", "not_member", "opted_in", "opted_out"]),
    )
    | st.builds(
        lambda name, state: {"subscription": name, "is": state},
        st.sampled_from(["this_segment", "directory", "other"]),
        st.sampled_from(["opted_in", "opted_out"]),
    )
    | st.builds(
        lambda state: {"segment": "other", "is": state}, st.sampled_from(["member", "not_member"])
    )
    | st.builds(
        lambda share, salt: {"sample": share, "salt": salt},
        st.sampled_from(["0%", "0.5%", "50%", "99.9%", "100%"]),
        st.sampled_from(["a", "spring-test", "é"]),
    )
)
CONDITIONS = nested(leaves(list(COLUMNS)) | transaction_leaves() | STATE_LEAVES)


# The reference


class Reference:
    """Judges one contact at a time."""

    def __init__(self, population: Population) -> None:
        self.as_of, self.zone = population.as_of, population.zone
        rows = population.transactions
        self.rows = [] if rows is None else records(rows)
        self.lists, self.scopes, self.others = set(), set(), set()
        if population.mailing_lists is not None:
            self.lists = set(population.mailing_lists.itertuples(index=False, name=None))
            self.scopes = set(population.subscriptions.itertuples(index=False, name=None))
            known = zip(
                population.contacts["contact_id"], population.segments["other"], strict=True
            )
            self.others = {contact for contact, member in known if member}

    def holds(self, data, row):
        match data:
            case {"all": parts}:
                return all(self.holds(part, row) for part in parts)
            case {"any": parts}:
                return any(self.holds(part, row) for part in parts)
            case {"not": part}:
                return not self.holds(part, row)
            case {"mailing_list": name, "is": state}:
                return self.on_list(row["contact_id"], name, state)
            case {"subscription": name, "is": state}:
                return self.opted_in(row, name) == (state == "opted_in")
            case {"segment": "other", "is": state}:
                return (row["contact_id"] in self.others) == (state == "member")
            case {"sample": share, "salt": salt}:
                digest = hashlib.sha256(f"{salt}\0{row['contact_id']}".encode()).digest()
                drawn = Fraction(int.from_bytes(digest[:8], "big"), 2**64)
                return drawn < Fraction(share.rstrip("%")) / 100
            case {"field": name, **operators}:
                return self.compare(row[name], operators)
            case {"transactions": rows, **aggregate}:
                ((name, operators),) = aggregate.items()
                field = operators.get("field")
                tests = {key: value for key, value in operators.items() if key != "field"}
                value = self.aggregate(name, field, self.matching(rows, row["contact_id"]))
                return self.compare(value, tests)

    def on_list(self, contact_id, name, state):
        found = {opted_in for who, on, opted_in in self.lists if (who, on) == (contact_id, name)}
        return {
            "member": bool(found),
            "not_member": not found,
            "opted_in": found == {True},
            "opted_out": False in found,
        }[state]

    def opted_in(self, row, name):
        scopes = {"directory", f"segment:{'this' if name == 'this_segment' else name}"}
        if name == "directory":
            scopes = {"directory"}
        refused = any((row["contact_id"], scope, False) in self.scopes for scope in scopes)
        return not refused and not row["unsubscribed"]

    def matching(self, data, contact_id):
        for row in self.rows:
            when = self.instant(row["date"])
            if row["contact_id"] != contact_id or when is None or when >= self.as_of:
                continue
            if "in_past" in data and when < self.start(data["in_past"]):
                continue
            if "where" not in data or self.holds(data["where"], row):
                yield row

    def aggregate(self, name, field, rows):
        values = [row[field] if field else None for row in rows]
        if name == "count":
            return len(values)
        if name in ("earliest", "latest"):
            choose = max if name == "latest" else min
            return choose((i for v in values if (i := self.instant(v)) is not None), default=None)
        numbers = [n for value in values if (n := number(value)) is not None]
        if name in ("min", "max"):
            return (min if name == "min" else max)(numbers, default=None)
        if name == "mean":
            return mean(total(numbers), len(numbers)) if numbers else None
        return total(numbers)

    def compare(self, value, operators):
        fold = lower if operators.get("ignore_case") else str
        return all(
            self.test(name, operand, value, fold)
            for name, operand in operators.items()
            if name != "ignore_case"
        )

    def test(self, name, operand, value, fold):
        entry = find_operator(name)
        held = self.positive(entry.operator.name, operand, value, fold)
        return not held if entry.negated else held

    def positive(self, name, operand, value, fold):
        if name == "is_empty":
            return missing(value)
        if name == "one_of":
            return any(self.positive("equals", item, value, fold) for item in operand)
        if name == "is_true" or isinstance(operand, bool):
            return boolean(value) is operand
        if name == "between":
            least, greatest = operand
            found = number(value)
            return compared("at_least", found, least) and compared("at_most", found, greatest)
        if name in ("before", "after", "in_past", "in_next", "on_day", "anniversary_in_next"):
            return self.dated(name, operand, self.instant(value))
        if isinstance(operand, str):
            text = shown(value, self.zone)
            if text is None:
                return False
            if name == "matches":
                flags = 0 if fold is str else re.IGNORECASE
                return bool(re.search(operand.replace("$", r"\Z"), text, flags | re.ASCII))
            text, operand = fold(text), fold(operand)
            return {
                "equals": text == operand,
                "contains": operand in text,
                "starts_with": text.startswith(operand),
                "ends_with": text.endswith(operand),
            }[name]
        return compared(name, number(value), operand)

    def dated(self, name, operand, instant):
        if instant is None:
            return False
        if name == "in_past":
            return self.start(operand) <= instant < self.as_of
        if name == "in_next":
            return self.as_of <= instant < self.end(operand)
        local = instant.astimezone(self.zone).date()
        if name == "on_day":
            return local == date.fromisoformat(operand)
        if name == "anniversary_in_next":
            return self.comes_round(local, self.end(operand))
        return (
            instant < self.instant(operand) if name == "before" else instant > self.instant(operand)
        )

    def comes_round(self, day, end):
        for year in range(self.as_of.year - 1, self.as_of.year + 6):
            try:
                anniversary = day.replace(year=year)
            except ValueError:
                anniversary = date(year, 2, 28)
            if self.as_of <= self.instant(anniversary) < end:
                return True
        return False

    def end(self, duration):
        try:
            return parse_duration(duration).after(self.as_of, self.zone)
        except (ValueError, OverflowError):
            return datetime.max.replace(tzinfo=UTC)

    def start(self, duration):
        return parse_duration(duration).before(self.as_of, self.zone)

    def instant(self, value):
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?", value):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001
        if not isinstance(value, datetime):
            return None
        return localize(value, self.zone) if value.tzinfo is None else value.astimezone(UTC)


def records(frame):
    """Return rows of plain Python values; missing is None, or the empty text."""
    return [
        {name: plain(value) for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def plain(value):
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def missing(value):
    return value is None or value == ""


def number(value):
    """Return an exact number: a Fraction for what is exact, the float itself for a float."""
    if isinstance(value, str):
        text = value.strip(" \t\n\v\f\r")
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            return None
        return float(text) if math.isinf(float(text)) else Fraction(text)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        return None
    return value if isinstance(value, float) else Fraction(value)


def total(numbers):
    if any(n in (math.inf, -math.inf) for n in numbers):
        return sum(map(float, numbers))
    exact = sum((Fraction(n) for n in numbers), Fraction(0))
    if abs(exact) >= 2**1024:
        return math.inf if exact > 0 else -math.inf
    return float(exact) if any(isinstance(n, float) for n in numbers) else exact


def mean(added, count):
    return float(added / count)


def compared(name, value, operand):
    if value is None:
        return False
    wanted = operand if isinstance(value, float) else Fraction(repr(operand))
    return {
        "equals": value == wanted,
        "greater_than": value > wanted,
        "at_least": value >= wanted,
        "less_than": value < wanted,
        "at_most": value <= wanted,
    }[name]


def boolean(value):
    if isinstance(value, str):
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            value.lower()
        )
    return (
        {1: True, 0: False}.get(value)
        if isinstance(value, int | float | Decimal | Fraction)
        else None
    )


def shown(value, zone):
    if missing(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < BIG else repr(value)
    if isinstance(value, int | Decimal | Fraction):
        text = f"{Decimal(Fraction(value).numerator) / Fraction(value).denominator:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        aware = value if value.tzinfo else localize(value, zone)
        return aware.astimezone(zone).isoformat()
    return value if isinstance(value, str) else value.isoformat()


def lower(text):
    return "".join(char.lower()[:1] for char in text)


# Laws of conditions


def verdicts(data, population):
    return evaluate(parse_condition(data), population).tolist()


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_operator_agrees_on_every_value_with_every_operand(column, zone):
    values = [*VALUES[column], None]
    contacts = {
        "contact_id": [f"c{number}" for number in range(len(values))],
        column: pd.Series(values, dtype=COLUMNS[column][1]),
    }
    population = Population(pd.DataFrame(contacts), AS_OF, zone)
    reference = Reference(population)
    rows = records(population.contacts)
    for operator in operator_names():
        for operand in TRIED[find_operator(operator).operator.name]:
            for option in options(operator, operand):
                data = {"field": column, operator: operand, **option}
                expected = [reference.holds(data, row) for row in rows]
                assert verdicts(data, population) == expected, data


def test_sums_agree_for_every_three_amounts():
    groups = list(combinations_with_replacement([0.1, 0.2, 0.3, 1e16, -1e16, 1.0, 1e308], 3))
    rows = [(f"c{number}", amount) for number, group in enumerate(groups) for amount in group]
    transactions = pd.DataFrame(rows, columns=["contact_id", "amount"])
    transactions["date"] = "2026-11-01"
    contacts = pd.DataFrame({"contact_id": [f"c{number}" for number in range(len(groups))]})
    population = Population(contacts, AS_OF, ZONES[0], transactions)
    reference = Reference(population)
    for amount in [0.3, 0.6, 0.6000000000000001, 0.4, 1.0, 1.2, 0.1]:
        for operator in ("equals", "less_than", "at_most"):
            data = {"transactions": {}, "sum": {"field": "amount", operator: amount}}
            expected = [reference.holds(data, row) for row in records(contacts)]
            assert verdicts(data, population) == expected, data


def options(operator, operand):
    """Return the further keys that a leaf with this operator may have."""
    elements = operand if isinstance(operand, list) else [operand]
    takes_text = find_operator(operator).operator.name in (
        *("equals", "one_of", "contains", "starts_with", "ends_with", "matches"),
    )
    textual = takes_text and any(isinstance(element, str) for element in elements)
    return [{}, {"ignore_case": True}] if textual else [{}]


@settings(max_examples=150)
@given(populations(), CONDITIONS)
def test_the_engine_agrees_with_a_plain_reference(population, data):
    reference = Reference(population)
    expected = [reference.holds(data, row) for row in records(population.contacts)]
    assert verdicts(data, population) == expected


@settings(max_examples=100)
@given(populations(), st.sampled_from(list(COLUMNS)), st.sampled_from(COMPLEMENTS), st.data())
def test_a_complement_is_exactly_not_its_positive(population, column, positive, data):
    operand = data.draw(OPERANDS[positive])
    complement = find_operator(positive).other
    held = verdicts({"field": column, positive: operand}, population)
    assert verdicts({"field": column, complement: operand}, population) == [not v for v in held]


@settings(max_examples=100)
@given(populations(), st.sampled_from(list(COLUMNS)), operator_tests(positive=True))
def test_missing_makes_every_positive_operator_false_except_is_empty(population, column, test):
    empty = verdicts({"field": column, "is_empty": True}, population)
    held = verdicts({"field": column, **test}, population)
    for is_missing, verdict in zip(empty, held, strict=True):
        if is_missing:
            assert verdict is ("is_empty" in test)


@settings(max_examples=50)
@given(populations(), st.lists(CONDITIONS, min_size=1, max_size=3))
def test_de_morgan(population, parts):
    negated = [{"not": part} for part in parts]
    none_fails = verdicts({"not": {"any": negated}}, population)
    assert verdicts({"all": parts}, population) == none_fails


@settings(max_examples=60)
@given(populations(), CONDITIONS)
def test_one_contact_alone_has_the_verdict_it_has_among_all(population, data):
    together = verdicts(data, population)
    alone = [verdicts(data, population.only(i)) for i in population.contacts["contact_id"]]
    assert [[verdict] for verdict in together] == alone


@settings(max_examples=60)
@given(populations(), CONDITIONS, st.randoms(use_true_random=False))
def test_order_of_rows_and_further_columns_change_nothing(population, data, random):
    order = list(range(len(population.contacts)))
    random.shuffle(order)
    contacts = population.contacts.iloc[order].reset_index(drop=True)
    other = replace(
        population,
        contacts=contacts.assign(further=1),
        transactions=shuffled(population.transactions, random).assign(further="x"),
        mailing_lists=shuffled(population.mailing_lists, random),
        subscriptions=shuffled(population.subscriptions, random),
        segments=population.segments.iloc[order].reset_index(drop=True),
    )
    expected = dict(zip(population.contacts["contact_id"], verdicts(data, population), strict=True))
    assert dict(zip(contacts["contact_id"], verdicts(data, other), strict=True)) == expected


@settings(max_examples=60)
@given(populations(), CONDITIONS)
def test_what_happens_later_is_not_seen(population, data):
    when = population.as_of.astimezone(population.zone).replace(tzinfo=None)
    rows = population.transactions
    later = rows.assign(
        date=pd.Series(when + timedelta(0), index=rows.index, dtype="datetime64[us]")
    )
    other = replace(population, transactions=pd.concat([rows, later]))
    assert verdicts(data, other) == verdicts(data, population)


def shuffled(frame, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    return frame.iloc[order].reset_index(drop=True)


# Laws of changes

MEMBERS = st.dictionaries(
    st.sampled_from(["007", "7", "A", "a", "NA", "é", "😀", "b c"]), st.booleans()
)


def members(states):
    ids = pd.Series(sorted(states), dtype="str")
    states = pd.Series([states[i] for i in ids], dtype="bool")
    return pd.DataFrame({"contact_id": ids, "opted_in": states})


def changes(previous, current, there=()):
    found = membership_changes(members(previous), members(current), current_contact_ids=there)
    return {row.contact_id: (row.change, row.reason) for row in found.itertuples()}


def of_kind(found, kind):
    return {contact for contact, (change, _) in found.items() if change == kind}


@given(MEMBERS)
def test_nothing_changes_between_a_membership_and_itself(a):
    assert changes(a, a) == {}


@given(MEMBERS, MEMBERS)
def test_who_is_added_one_way_is_removed_the_other(a, b):
    there, back = changes(a, b), changes(b, a)
    assert of_kind(there, "added") == of_kind(back, "removed")
    assert of_kind(there, "opted_in") == of_kind(back, "opted_out")


@given(MEMBERS, MEMBERS, st.sets(st.sampled_from(["007", "A", "NA"])))
def test_applying_the_changes_to_previous_gives_current(a, b, there):
    found = changes(a, b, there)
    after = dict(a)
    for contact, (change, reason) in found.items():
        if change == "removed":
            del after[contact]
            assert reason == ("no_longer_matches" if contact in there else "deleted")
        else:
            after[contact] = b[contact] if change == "added" else change == "opted_in"
            assert reason == ""
    assert after == b


@given(MEMBERS, MEMBERS)
def test_changes_are_sorted_by_the_bytes_of_the_id(a, b):
    found = membership_changes(members(a), members(b), current_contact_ids=[])[
        "contact_id"
    ].tolist()
    assert found == sorted(found, key=str.encode)
