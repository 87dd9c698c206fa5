"""A second opinion: random conditions, and the same conditions in SQL for DuckDB.

The SQL is written from docs/conditions.md. Calendar steps, days and the order of text are DuckDB's
own; nothing of the engine is used.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

UNITS = {"h": "hours", "d": "days", "w": "weeks", "mo": "months", "y": "years"}
COMPLEMENTS = {
    "not_equals": "equals",
    "none_of": "one_of",
    "is_set": "is_empty",
    "not_contains": "contains",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_matches": "matches",
    "not_between": "between",
    "not_on_day": "on_day",
    "not_in_past": "in_past",
    "not_in_next": "in_next",
    "is_false": "is_true",
}
POSITIVES = {positive: complement for complement, positive in COMPLEMENTS.items()}


@dataclass(frozen=True)
class Schema:
    """The columns of contacts and of transactions: text, number, boolean, day or instant."""

    contacts: Mapping[str, str]
    transactions: Mapping[str, str]
    words: Mapping[str, Sequence[str]]  # text columns: texts worth trying
    numbers: Mapping[str, Sequence[float]]  # number columns: numbers worth trying
    days: Sequence[date]  # days worth trying
    segments: Mapping[str, Any] = field(default_factory=dict)  # name: its condition
    lists: Sequence[str] = ()


class Conditions:
    """Draws conditions that say something about the data of a schema."""

    def __init__(self, schema: Schema, seed: int) -> None:
        self.schema = schema
        self.random = random.Random(seed)

    def draw(self, depth: int = 2) -> dict[str, Any]:
        choice = self.random.random()
        if depth and choice < 0.5:
            several = [self.draw(depth - 1) for _ in range(self.random.randint(1, 3))]
            group = self.random.choice(["all", "any", "not"])
            return {group: several[0] if group == "not" else several}
        return self.random.choice(self._leaves())()

    def _leaves(self) -> list[Any]:
        leaves = [self._field, self._field, self._transactions, self._transactions, self._sample]
        if self.schema.segments:
            leaves += [self._segment, self._subscription]
        return leaves + ([self._mailing_list] if self.schema.lists else [])

    def _field(self, columns: Mapping[str, str] | None = None) -> dict[str, Any]:
        name = self.random.choice(sorted(columns or self.schema.contacts))
        return {"field": name, **self._test(name, (columns or self.schema.contacts)[name])}

    def _test(self, name: str, kind: str) -> dict[str, Any]:
        operator, operand, more = {
            "text": self._text,
            "number": self._number,
            "boolean": self._boolean,
            "day": self._dated,
            "instant": self._dated,
        }[kind](name)
        if operator in POSITIVES and self.random.random() < 0.4:
            operator = POSITIVES[operator]
        return {operator: operand, **more}

    def _text(self, name: str) -> tuple[str, Any, dict[str, Any]]:
        word = self.random.choice(self.schema.words[name])
        start, end = sorted(self.random.sample(range(len(word) + 1), 2))
        operand, operator = self.random.choice(
            [
                (word, "equals"),
                (self.random.choices(self.schema.words[name], k=2), "one_of"),
                (word[start:end], "contains"),
                (word[: end or 1], "starts_with"),
                (word[start:], "ends_with"),
                (
                    self.random.choice(["^[A-M]", "[0-9]{2}", "(a|e).$", r"\s|-", "^.{4,6}$"]),
                    "matches",
                ),
                (True, "is_empty"),
            ]
        )
        folded = operator != "is_empty" and self.random.random() < 0.3
        if folded and isinstance(operand, str) and operator != "matches":
            operand = operand.upper()
        return operator, operand, {"ignore_case": True} if folded else {}

    def _number(self, name: str) -> tuple[str, Any, dict[str, Any]]:
        known = self.schema.numbers[name]
        one, other = sorted(self.random.choices(known, k=2))
        operator = self.random.choice(
            ["equals", "greater_than", "at_least", "less_than", "at_most", "between", "is_empty"]
        )
        operand: Any = {"between": [one, other], "is_empty": True}.get(operator, one)
        return operator, operand, {}

    def _boolean(self, name: str) -> tuple[str, Any, dict[str, Any]]:
        operand = self.random.choice([True, False])
        return self.random.choice([("is_true", True, {}), ("equals", operand, {})])

    def _dated(self, name: str) -> tuple[str, Any, dict[str, Any]]:
        day = self.random.choice(self.schema.days).isoformat()
        instant = self.random.choice([day, f"{day}T06:30", f"{day}T23:59:59Z"])
        span = self.random.choice(["36h", "1d", "10d", "6w", "1mo", "5mo", "1y", "3y"])
        operator = self.random.choice(
            ["before", "after", "on_day", "in_past", "in_next", "anniversary_in_next", "is_empty"]
        )
        operand = {"before": instant, "after": instant, "on_day": day, "is_empty": True}
        return operator, operand.get(operator, span), {}

    def _transactions(self) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        columns = self.schema.transactions
        if self.random.random() < 0.5:
            rows["where"] = self._field(columns)
        if self.random.random() < 0.5:
            rows["in_past"] = self.random.choice(["36h", "7d", "1mo", "90d", "1y"])
        aggregate = self.random.choice(["count", "sum", "mean", "min", "max", "earliest", "latest"])
        if aggregate == "count":
            test = {
                self.random.choice(["equals", "at_least", "at_most"]): self.random.randint(0, 6)
            }
            return {"transactions": rows, "count": test}
        kind = "instant" if aggregate in ("earliest", "latest") else "number"
        found = [n for n, k in columns.items() if k == kind or (k, kind) == ("day", "instant")]
        name = self.random.choice(sorted(found))
        return {"transactions": rows, aggregate: {"field": name, **self._test(name, kind)}}

    def _sample(self) -> dict[str, Any]:
        share = self.random.choice(["5%", "33.3%", "50%", "90%"])
        return {"sample": share, "salt": self.random.choice(["spring", "é"])}

    def _segment(self) -> dict[str, Any]:
        name = self.random.choice(sorted(self.schema.segments))
        return {"segment": name, "is": self.random.choice(["member", "not_member"])}

    def _subscription(self) -> dict[str, Any]:
        name = self.random.choice(["directory", *sorted(self.schema.segments)])
        return {"subscription": name, "is": self.random.choice(["opted_in", "opted_out"])}

    def _mailing_list(self) -> dict[str, Any]:
        states = ["member", "not_member", "opted_in", "opted_out"]
        name = self.random.choice(self.schema.lists)
        return {"mailing_list": name, "is": self.random.choice(states)}


class Sql:
    """Conditions as SQL over the tables contacts, transactions, mailing_lists, subscriptions."""

    def __init__(self, schema: Schema, as_of: datetime, zone: ZoneInfo) -> None:
        self.schema, self.zone = schema, zone
        self.as_of_instant = as_of
        self.as_of = f"timestamptz '{as_of.isoformat()}'"

    def of(self, data: Mapping[str, Any]) -> str:
        """Return an expression that is true or false, never null, for a row ``c`` of contacts."""
        match data:
            case {"all": parts}:
                return f"({' and '.join(map(self.of, parts))})"
            case {"any": parts}:
                return f"({' or '.join(map(self.of, parts))})"
            case {"not": part}:
                return f"(not {self.of(part)})"
            case {"field": name, **tests}:
                return self.tests(f'c."{name}"', self.schema.contacts[name], tests)
            case {"transactions": rows, **aggregate}:
                ((name, tests),) = aggregate.items()
                return self.aggregate(name, rows, tests)
            case {"mailing_list": name, "is": state}:
                return self.on_list(name, state)
            case {"subscription": name, "is": state}:
                held = self.opted_out(name)
                return held if state == "opted_out" else f"(not {held})"
            case {"segment": name, "is": state}:
                held = self.of(self.schema.segments[name])
                return held if state == "member" else f"(not {held})"
            case {"sample": share, "salt": salt}:
                digest = f"sha256({quoted(salt)} || chr(0) || c.contact_id)"
                bound = Fraction(share.rstrip("%")) / 100 * 2**64
                return f"(('0x' || substr({digest}, 1, 16))::ubigint::hugeint < {-(-bound // 1)})"
        raise AssertionError(data)

    def on_list(self, name: str, state: str) -> str:
        on_it = f"l.contact_id = c.contact_id and mailing_list = {quoted(name)}"
        rows = f"from mailing_lists l where {on_it}"
        member, out = f"exists (select 1 {rows})", f"exists (select 1 {rows} and not l.opted_in)"
        return {
            "member": member,
            "not_member": f"(not {member})",
            "opted_in": f"({member} and not {out})",
            "opted_out": out,
        }[state]

    def opted_out(self, name: str) -> str:
        scopes = "'directory'" if name == "directory" else f"'directory', 'segment:{name}'"
        rows = f"from subscriptions s where s.contact_id = c.contact_id and scope in ({scopes})"
        return f"(coalesce(c.unsubscribed, false) or exists (select 1 {rows} and not s.opted_in))"

    def aggregate(self, name: str, rows: Mapping[str, Any], tests: Mapping[str, Any]) -> str:
        kinds = self.schema.transactions
        seen = [f"{self.instant('t.date', kinds['date'])} < {self.as_of}"]
        if "in_past" in rows:
            seen.append(
                f"{self.instant('t.date', kinds['date'])} >= {self.step(rows['in_past'], '-')}"
            )
        if "where" in rows:
            column = rows["where"]["field"]
            where = {key: value for key, value in rows["where"].items() if key != "field"}
            seen.append(self.tests(f't."{column}"', kinds[column], where))
        source = f"from transactions t where t.contact_id = c.contact_id and {' and '.join(seen)}"
        if name == "count":
            return self.tests(f"(select count(*) {source})", "number", tests)
        column, kind = f't."{tests["field"]}"', kinds[tests["field"]]
        tests = {key: value for key, value in tests.items() if key != "field"}
        if name == "mean":  # compared without dividing, which might round
            total, count = f"(select sum({column}) {source})", f"(select count({column}) {source})"
            return self.tests(total, "number", tests, per=f" * {count}")
        made = {
            "sum": f"coalesce(sum({column}), 0)",
            "min": f"min({column})",
            "max": f"max({column})",
            "earliest": f"min({column})",
            "latest": f"max({column})",
        }[name]
        return self.tests(f"(select {made} {source})", kind, tests)

    def tests(self, value: str, kind: str, tests: Mapping[str, Any], per: str = "") -> str:
        fold = bool(tests.get("ignore_case"))
        parts = [
            self.test(value, kind, name, operand, fold, per)
            for name, operand in tests.items()
            if name != "ignore_case"
        ]
        return f"({' and '.join(parts)})"

    def test(self, value: str, kind: str, name: str, operand: Any, fold: bool, per: str) -> str:
        if name in COMPLEMENTS:
            return f"(not {self.test(value, kind, COMPLEMENTS[name], operand, fold, per)})"
        if name == "is_empty":
            return f"({value} is null or {value}::varchar = '')"
        if kind == "text":
            found = self.text(f"nullif({value}, '')", name, operand, fold)
        elif kind == "boolean":
            found = value if operand is True else f"not {value}"
        elif kind == "number":
            found = self.number(value, name, operand, per)
        else:
            found = self.dated(self.instant(value, kind), name, operand)
        return f"coalesce({found}, false)"

    def text(self, value: str, name: str, operand: Any, fold: bool) -> str:
        if name == "matches":
            return f"regexp_matches({value}, {quoted(operand)}{', ' + quoted('i') if fold else ''})"
        value = f"lower({value})" if fold else value

        def literal(text: str) -> str:
            return f"lower({quoted(text)})" if fold else quoted(text)

        if name == "one_of":
            return f"{value} in ({', '.join(map(literal, operand))})"
        return {
            "equals": f"{value} = {literal(operand)}",
            "contains": f"contains({value}, {literal(operand)})",
            "starts_with": f"starts_with({value}, {literal(operand)})",
            "ends_with": f"ends_with({value}, {literal(operand)})",
        }[name]

    def number(self, value: str, name: str, operand: Any, per: str) -> str:
        if name == "between":
            least, greatest = operand
            return f"({value} >= {least}{per} and {value} <= {greatest}{per})"
        sign = {
            "equals": "=",
            "greater_than": ">",
            "at_least": ">=",
            "less_than": "<",
            "at_most": "<=",
        }[name]
        return f"{value} {sign} {operand}{per}"

    def instant(self, value: str, kind: str) -> str:
        return f"timezone('{self.zone}', {value}::timestamp)" if kind == "day" else value

    def step(self, span: str, sign: str) -> str:
        amount, unit = int(span.rstrip("hdwmoy")), UNITS[span.lstrip("0123456789")]
        if unit == "hours":
            return f"({self.as_of} {sign} interval '{amount} hours')"
        wall = f"timezone('{self.zone}', {self.as_of})"
        return f"timezone('{self.zone}', {wall} {sign} interval '{amount} {unit}')"

    def dated(self, value: str, name: str, operand: str) -> str:
        local = f"timezone('{self.zone}', {value})"
        if name == "on_day":
            return f"{local}::date = date '{operand}'"
        if name == "in_past":
            return f"({value} >= {self.step(operand, '-')} and {value} < {self.as_of})"
        if name == "in_next":
            return f"({value} < {self.step(operand, '+')} and {value} >= {self.as_of})"
        if name == "anniversary_in_next":
            return self.comes_round(local, operand)
        aware = operand.endswith("Z")
        literal = f"timestamp '{operand.replace('T', ' ').rstrip('Z')}'"
        bound = f"timezone('{'UTC' if aware else self.zone}', {literal})"
        return f"{value} {'<' if name == 'before' else '>'} {bound}"

    def comes_round(self, local: str, span: str) -> str:
        """A midnight of that day and month is in the window: any of the next years' will do."""
        born = f"{local}::date"
        first = self.as_of_instant.astimezone(self.zone).year
        candidates = []
        for year in range(first, first + 5):
            leap = (date(year, 3, 1) - timedelta(days=1)).day == 29
            day = "least(day({0}), 28)" if not leap else "day({0})"
            day = f"case when month({born}) = 2 then {day.format(born)} else day({born}) end"
            midnight = (
                f"timezone('{self.zone}', make_timestamp({year}, month({born}), {day}, 0, 0, 0.0))"
            )
            candidates.append(
                f"({midnight} >= {self.as_of} and {midnight} < {self.step(span, '+')})"
            )
        return f"({' or '.join(candidates)})"


def quoted(text: str) -> str:
    """Return a text literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def at(day: date, hours: float, zone: str) -> datetime:
    """An as-of: so many hours after the midnight of a day in a zone."""
    wall = datetime.combine(day, time.min, ZoneInfo(zone))
    return (wall.astimezone(ZoneInfo("UTC"))) + timedelta(hours=hours)
