"""Plain data to a condition; every problem is collected, with its place and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.directory.column_kinds import ColumnKind
from segue.documents import Location, ProblemsFound, did_you_mean
from segue.durations import Duration
from segue.segments.conditions.aggregates import aggregate_names, find_aggregate
from segue.segments.conditions.fit import aggregate_misfit, operator_misfits
from segue.segments.conditions.nodes import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    MailingListLeaf,
    Not,
    SampleLeaf,
    SegmentLeaf,
    StateLeaf,
    SubscriptionLeaf,
    Test,
    TransactionsLeaf,
)
from segue.segments.conditions.operands import Flag, Share, Span, Text, shape
from segue.segments.conditions.registry import Reading, Registered, find_operator, operator_names
from segue.segments.kinds import ChangeKind

IGNORE_CASE = "ignore_case"
CHANGE_OPERATORS = ("equals", "not_equals", "one_of", "none_of")

_ROWS = ("all", "any", "not", "field")
_SEGMENT = (*_ROWS, "transactions", "mailing_list", "subscription", "segment", "sample")
_WORKFLOW = (*_SEGMENT, "change")
_REFUSED = {
    **{
        name: f"`{name}` is about a contact, and `where` is about one transaction"
        for name in ("mailing_list", "subscription", "segment", "sample")
    },
    "transactions": "transactions cannot be nested in the `where` of transactions",
    "change": "`change` is allowed only in the conditions of a workflow",
}
_DATES = (
    "; a window on the dates of transactions is `in_past` inside `transactions`, and the date of "
    "the last one is `latest: {field: date, …}`"
)
STATE_LEAVES: dict[str, type[StateLeaf]] = {
    leaf.KEY: leaf for leaf in (MailingListLeaf, SubscriptionLeaf, SegmentLeaf)
}


def parse_condition(data: object, change_allowed: bool = False) -> Condition:
    """Return ``data`` as a condition; raise ProblemsFound with every problem in it.

    Locations are relative to ``data``. ``change_allowed`` admits ``{change: …}``, which only the
    conditions of a workflow have.
    """
    parser = _Parser()
    condition = parser.condition(data, (), _WORKFLOW if change_allowed else _SEGMENT)
    if parser.problems or condition is None:
        raise ProblemsFound(parser.problems)
    return condition


def parse_workflow_condition(data: object) -> Condition:
    """Return ``data`` as a condition that may also ask for the kind of change."""
    return parse_condition(data, change_allowed=True)


def _as_comparison(data: Mapping[str, Any]) -> str:
    """Return how a field's name with its value would be written; nothing for what is no such."""
    values = [value for value in data.values() if isinstance(value, str | int | float)]
    if len(data) != 1 or not values:
        return ""
    return f"; of a field, write {{field: {next(iter(data))}, equals: {shape(values[0])}}}"


@dataclass
class _Parser:
    problems: list[tuple[Location, str]] = field(default_factory=list)

    def condition(self, data: object, place: Location, shapes: tuple[str, ...]) -> Condition | None:
        if not isinstance(data, Mapping):
            self._complain(place, f"expected a condition with {_or(shapes)}, found {shape(data)}")
            return None
        kind = self._kind(data, place, shapes)
        if kind is None:
            return None
        if kind in ("all", "any"):
            return self._group(kind, data, place, shapes)
        if kind == "not":
            self._only(data, place, ("not",))
            part = self.condition(data["not"], (*place, "not"), shapes)
            return None if part is None else Not(part, place)
        if kind in STATE_LEAVES:
            return self._state(kind, data, place)
        leaves = {
            "field": self._field,
            "transactions": self._transactions,
            "sample": self._sample,
            "change": self._change,
        }
        return leaves[kind](data, place)

    def _kind(
        self, data: Mapping[str, Any], place: Location, shapes: tuple[str, ...]
    ) -> str | None:
        keys = [key for key in _WORKFLOW if key in data]
        if len(keys) > 1:
            message = f"found {' and '.join(keys)} together; expected exactly one of them"
            self._complain(place, message)
            return None
        if not keys:
            hint = next((text for key in data if (text := did_you_mean(key, shapes))), "")
            hint = hint or _as_comparison(data)
            names = ", ".join(data) or "an empty mapping"
            self._complain(place, f"expected a condition with {_or(shapes)}, found {names}{hint}")
            return None
        if keys[0] not in shapes:
            self._complain((*place, keys[0]), f"{_REFUSED[keys[0]]}; allowed: {', '.join(shapes)}")
            return None
        return keys[0]

    def _group(
        self, kind: str, data: Mapping[str, Any], place: Location, shapes: tuple[str, ...]
    ) -> Condition | None:
        self._only(data, place, (kind,))
        parts = data[kind]
        if not isinstance(parts, list | tuple) or not parts:
            what = "an empty list" if parts in ([], ()) else shape(parts)
            message = f"expected a list of at least one condition, found {what}"
            self._complain((*place, kind), message)
            return None
        children = [self.condition(p, (*place, kind, i), shapes) for i, p in enumerate(parts)]
        nodes = tuple(node for node in children if node is not None)
        if len(nodes) < len(children):
            return None
        return AllOf(nodes, place) if kind == "all" else AnyOf(nodes, place)

    def _field(self, data: Mapping[str, Any], place: Location) -> Condition | None:
        name = self._name(data["field"], (*place, "field"))
        comparison = self._comparison(data, place, other_keys=("field",), field=name)
        return None if name is None or comparison is None else FieldLeaf(name, comparison, place)

    def _transactions(self, data: Mapping[str, Any], place: Location) -> Condition | None:
        where, in_past = self._filter(data["transactions"], (*place, "transactions"))
        aggregate = self._aggregate(data, place)
        if aggregate is None:
            return None
        inside = (*place, aggregate)
        details = data[aggregate]
        if not isinstance(details, Mapping):
            message = f"expected operators such as {{at_least: 5}}, found {shape(details)}"
            self._complain(inside, message)
            return None
        name = self._aggregated_field(aggregate, details, inside)
        other_keys = ("field",) if find_aggregate(aggregate).needs_field else ()
        comparison = self._comparison(details, inside, other_keys=other_keys)
        if comparison is None:
            return None
        self._check_aggregate(aggregate, name, comparison, inside)
        return TransactionsLeaf(aggregate, comparison, name, where, in_past, place)

    def _filter(self, data: object, place: Location) -> tuple[Condition | None, Duration | None]:
        if data is None:
            return None, None
        if not isinstance(data, Mapping):
            message = f"expected a mapping with where and in_past, or {{}}, found {shape(data)}"
            self._complain(place, message)
            return None, None
        self._only(data, place, ("where", "in_past"))
        where = None
        if "where" in data:
            where = self.condition(data["where"], (*place, "where"), _ROWS)
        in_past = None
        if "in_past" in data:
            try:
                in_past = Span().parse(data["in_past"])
            except ValueError as error:
                self._complain((*place, "in_past"), str(error))
        return where, in_past

    def _aggregate(self, data: Mapping[str, Any], place: Location) -> str | None:
        choices = aggregate_names()
        self._only(data, place, ("transactions", *choices), what="aggregate", offers=choices)
        names = [name for name in choices if name in data]
        if len(names) == 1:
            return names[0]
        if names:
            message = f"found {' and '.join(names)} together; expected exactly one of them"
            self._complain((*place, names[1]), message)
        elif len(data) == 1:
            message = f"expected an aggregate beside transactions: {_or(choices)}"
            self._complain((*place, "transactions"), message)
        return None

    def _aggregated_field(
        self, aggregate: str, data: Mapping[str, Any], place: Location
    ) -> str | None:
        if not find_aggregate(aggregate).needs_field:
            return None
        if "field" not in data:
            self._complain(place, f"{aggregate} needs the key 'field': what it is made of")
            return None
        return self._name(data["field"], (*place, "field"))

    def _check_aggregate(
        self, aggregate: str, field: str | None, comparison: Comparison, place: Location
    ) -> None:
        """Complain where an aggregate cannot be made of its field, or its value not be asked."""
        definition = find_aggregate(aggregate)
        message = aggregate_misfit(definition, ColumnKind.DATE) if field == "date" else None
        if message is not None:
            self._complain((*place, "field"), f"transactions.date {message}")
        for test, message in (
            operator_misfits(comparison, definition.kind) if definition.kind else ()
        ):
            dates = find_operator(test.operator).operator.reads is Reading.INSTANT
            self._complain(test.location, f"{aggregate} {message}{_DATES if dates else ''}")

    def _state(self, kind: str, data: Mapping[str, Any], place: Location) -> Condition | None:
        """Parse ``{mailing_list: NAME, is: STATE}`` and its like."""
        leaf = STATE_LEAVES[kind]
        self._only(data, place, (kind, "is"))
        name = self._name(data[kind], (*place, kind), f"the name of a {kind.replace('_', ' ')}")
        state = data.get("is")
        if "is" not in data:
            self._complain(place, f"the key 'is' is missing; allowed: is: {_or(leaf.STATES)}")
        elif state not in leaf.STATES:
            message = f"found {shape(state)}; allowed: {', '.join(leaf.STATES)}"
            self._complain((*place, "is"), message + did_you_mean(str(state), leaf.STATES))
        if name is None or state not in leaf.STATES:
            return None
        return leaf(name, str(state), place)

    def _sample(self, data: Mapping[str, Any], place: Location) -> Condition | None:
        self._only(data, place, ("sample", "salt"))
        limit = salt = None
        try:
            limit = Share().parse(data["sample"])
        except ValueError as error:
            self._complain((*place, "sample"), str(error))
        if "salt" not in data:
            message = "the key 'salt' is missing: a word of this sample's own, such as spring-test"
            self._complain(place, f"{message}; samples with the same salt draw the same contacts")
        else:
            try:
                salt = Text().parse(data["salt"])
            except ValueError as error:
                self._complain((*place, "salt"), f"salt: {error}")
        if limit is None or salt is None:
            return None
        return SampleLeaf(data["sample"], salt, limit, place)

    def _change(self, data: Mapping[str, Any], place: Location) -> Condition | None:
        self._only(data, place, ("change",))
        details, inside = data["change"], (*place, "change")
        if not isinstance(details, Mapping):
            message = f"expected a mapping such as {{one_of: [added]}}, found {shape(details)}"
            self._complain(inside, message)
            return None
        self._only(details, inside, CHANGE_OPERATORS, what="operator")
        operators = {key: value for key, value in details.items() if key in CHANGE_OPERATORS}
        if not operators and details:
            return None
        comparison = self._comparison(operators, inside)
        if comparison is None:
            return None
        for test in comparison.tests:
            self._check_kinds(test)
        return ChangeLeaf(comparison, place)

    def _check_kinds(self, test: Test) -> None:
        choices = [kind.value for kind in ChangeKind]
        is_list = isinstance(test.operand, tuple)
        for index, kind in enumerate(test.operand if is_list else (test.operand,)):
            if kind not in choices:
                location = (*test.location, index) if is_list else test.location
                hint = did_you_mean(str(kind), choices)
                message = f"unknown kind of change {kind!r}; allowed: {', '.join(choices)}{hint}"
                self._complain(location, message)

    def _comparison(
        self,
        data: Mapping[str, Any],
        place: Location,
        *,
        other_keys: tuple[str, ...] = (),
        field: str | None = None,
    ) -> Comparison | None:
        """Parse the operators of one leaf; ``other_keys`` are those that are not operators."""
        keys = [key for key in data if key not in (*other_keys, IGNORE_CASE)]
        if not keys:
            message = f"expected at least one operator; allowed: {', '.join(operator_names())}"
            self._complain(place, message)
        tests_or_none = [self._test(key, data[key], (*place, key), field) for key in keys]
        sound = (test for test in tests_or_none if test is not None)
        tests = tuple(sorted(sound, key=lambda test: test.operator))
        ignore_case = self._ignore_case(data, place, tests, complete=len(tests) == len(keys))
        return Comparison(tests, ignore_case) if tests and len(tests) == len(keys) else None

    def _test(self, name: str, data: object, place: Location, field: str | None) -> Test | None:
        choices = operator_names()
        if name not in choices:
            message = f"unknown operator {name!r}{_hint(name, choices)}; allowed: "
            self._complain(place, message + ", ".join(choices))
            return None
        entry = find_operator(name)
        try:
            operand = entry.operator.takes.parse(data)
            _refuse_numbers_as_ids(field, operand)
        except ValueError as error:
            self._complain(place, _explain(name, entry, data, error))
            return None
        return Test(name, operand, tuple(data) if isinstance(data, list) else data, place)

    def _ignore_case(
        self, data: Mapping[str, Any], place: Location, tests: tuple[Test, ...], *, complete: bool
    ) -> bool:
        flag = data.get(IGNORE_CASE, False)
        if not isinstance(flag, bool):
            self._complain((*place, IGNORE_CASE), f"expected true or false, found {shape(flag)}")
        elif flag and complete and not any(_has_text(test.operand) for test in tests):
            message = "ignore_case needs an operator with a text operand beside it"
            self._complain((*place, IGNORE_CASE), message)
        return flag is True

    def _name(self, data: object, place: Location, what: str = "the name of a field") -> str | None:
        if isinstance(data, str) and data:
            return data
        self._complain(place, f"expected {what}, found {shape(data)}")
        return None

    def _only(
        self,
        data: Mapping[str, Any],
        place: Location,
        names: Iterable[str],
        *,
        what: str = "key",
        offers: Iterable[str] | None = None,
    ) -> None:
        """Complain about every key that is not allowed; ``offers`` are the ones to offer."""
        choices = tuple(names if offers is None else offers)
        for key in data:
            if key not in names:
                hint = did_you_mean(str(key), choices)
                message = f"unknown {what} {key!r}; allowed: {', '.join(choices)}{hint}"
                self._complain((*place, key), message)

    def _complain(self, place: Location, message: str) -> None:
        self.problems.append((place, message))


def _hint(name: str, names: Iterable[str]) -> str:
    """Return what was probably meant by an operator's name that there is not."""
    positive = name.removeprefix("is_").removeprefix("not_")
    if name.endswith(f"not_{positive}") and positive in names:
        return f"; to negate {positive} write not: {{…, {positive}: …}}"
    if name.isdecimal():
        return "; a comma begins the next key, so a number is written without: 1000"
    return did_you_mean(name, names)


def _explain(name: str, entry: Registered, data: object, error: ValueError) -> str:
    if data is False and isinstance(entry.operator.takes, Flag) and entry.other:
        return f"{name}: false is not allowed; write {entry.other}: true"
    return f"{name}: {error}"


def _refuse_numbers_as_ids(field: str | None, operand: object) -> None:
    elements = operand if isinstance(operand, tuple) else (operand,)
    numbers = [element for element in elements if isinstance(element, int | float)]
    # is_empty and the like take true, which is no number to compare ids with
    if field == "contact_id" and any(number is not True for number in numbers):
        raise ValueError(f'contact ids are text; quote it: "{numbers[0]}"')


def _has_text(operand: object) -> bool:
    return any(isinstance(e, str) for e in (operand if isinstance(operand, tuple) else (operand,)))


def _or(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
