"""One contact's values, whatever they are, never keep another contact's message from being sent."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.clock import Clock
from segue.contacts.change import Change, changes_of_span
from segue.contacts.conditions import holds
from segue.contacts.fields import contact_fields, load_details
from segue.contacts.live_look_up import Desk
from segue.contacts.recheck import recheck
from segue.contracts.printing import Kind
from segue.contracts.template_values import Fields
from segue.contracts.templates import Template, render
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.directory.python_values import python_values
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import ContactFailure, DataError
from segue.ledger import Ledger
from segue.ledger.facts import Run, Wishes
from segue.preview.plan import plan
from segue.runs.areas import RunArea
from segue.runs.branches import cut
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.segments.conditions import registry
from segue.segments.conditions.operands import Text
from segue.segments.conditions.parsing import parse_condition
from segue.segments.conditions.registry import Operator, register
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import evaluate
from segue.segments.explanation import contact_verdict
from segue.segments.membership.store import MembershipStore
from segue.segments.population import Population
from segue.testing import RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Branches
from segue.workflows.resolved import ResolvedWorkflow

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
PEOPLE = [f"c{number}" for number in range(9)]
HOSTILE = 5
ODD = "gold of another kind"  # a text that one operator does not bear
MOST, LEAST = 2**63 - 1, -(2**63) + 1
DEFINITIONS = {
    "directories/people": (
        "directory: people\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: people\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-01
actions:
  - {id: mail, slack_message: {channel: c, text: x}}
""",
}


def of_integers(kind: pa.DataType, usual: int, extreme: int) -> pa.Array:
    """Nine values of a type that is stored as integers, one of them extreme."""
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    values = [extreme if row == HOSTILE else usual for row in range(len(PEOPLE))]
    return pa.array(values, width).view(kind)


def listed(values: pa.Array) -> pa.Array:
    """Each value in a list of its own."""
    return pa.ListArray.from_arrays(pa.array(range(len(values) + 1), pa.int32()), values)


def keyed(values: pa.Array) -> pa.Array:
    """Each value in a map of its own."""
    offsets = pa.array(range(len(values) + 1), pa.int32())
    return pa.MapArray.from_arrays(offsets, pa.array(["k"] * len(values)), values)


def text_that_is_none() -> pa.Array:
    """Text, of which one is not UTF-8, as a writer that does not look leaves it."""
    parts = [b"\xff\xfe" if row == HOSTILE else b"ok" for row in range(len(PEOPLE))]
    binary = pa.array(parts, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(parts), binary.buffers())


def of(usual: object, extreme: object, kind: pa.DataType | None = None) -> pa.Array:
    """Nine Python values, one of them extreme."""
    return pa.array([extreme if row == HOSTILE else usual for row in range(len(PEOPLE))], kind)


TIMES = [
    (kind, usual, extreme)
    for usual, kind in [
        *((10**9, pa.timestamp("s", zone)) for zone in (None, "UTC", "Europe/London")),
        *((10**12, pa.timestamp("ms", zone)) for zone in (None, "UTC", "Europe/London")),
        *((10**15, pa.timestamp("us", zone)) for zone in (None, "UTC", "Europe/London")),
        *((10**18, pa.timestamp("ns", zone)) for zone in (None, "UTC", "Europe/London")),
        *((10**5, pa.duration(unit)) for unit in ("s", "ms", "us", "ns")),
    ]
    for extreme in (MOST, LEAST)
    if kind.unit != "s" or not pa.types.is_timestamp(kind)  # Parquet has no such seconds
]
TIMES += [(pa.timestamp("s"), 10**9, 10**14), (pa.timestamp("s", "Asia/Tokyo"), 0, 253402300799)]
TIMES += [(pa.date32(), 20_000, end) for end in (2**31 - 1, -(2**31))]
TIMES += [(pa.date64(), 86_400_000, end - end % 86_400_000) for end in (MOST, LEAST // 2)]
COLUMNS = {
    **{f"{kind} {extreme}": of_integers(kind, usual, extreme) for kind, usual, extreme in TIMES},
    "list of times": listed(of_integers(pa.timestamp("us"), 10**15, MOST)),
    "list of dates": listed(of_integers(pa.date32(), 20_000, 2**31 - 1)),
    "struct": pa.StructArray.from_arrays([of_integers(pa.timestamp("us"), 0, MOST)], ["until"]),
    "map": keyed(of_integers(pa.timestamp("us"), 0, LEAST)),
    "text that is none": text_that_is_none(),
    "long text": of("x", "x" * 1_000_000),
    "controls": of("x", "\x00\x1b[2J\u202e"),
    "integers": of(1, MOST),
    "unsigned": of(1, 2**64 - 1, pa.uint64()),
    "doubles": of(1.5, float("-inf")),
    "not a number": of(1.5, float("nan")),
    "huge": of(1.5, 1.7e308),
    "floats": of(1.5, float("inf"), pa.float32()),
    "decimals": of(Decimal("1.50"), Decimal("9" * 36 + ".99"), pa.decimal128(38, 2)),
    "large decimals": of(Decimal("1.50"), Decimal("9" * 70 + ".99"), pa.decimal256(76, 2)),
    "booleans": of(True, None),
    "bytes": of(b"gold", b"\xff\x00"),
    "bytes of no text": of(b"\xff", b"\xfe"),
    "fixed bytes": of(b"gold", b"\xff\x00\xff\x00", pa.binary(4)),
    "clock": of(time(1, 2, 3), time(23, 59, 59, 999_999)),
    "empty list": of(["vip"], []),
    "missing list": of(["vip"], None),
    "nested": of([{"a": [1]}], [{"a": [MOST]}]),
    "years": of(date(2026, 1, 1), date(1, 1, 1)),
    "nothing": pa.nulls(len(PEOPLE)),
}


WHOLE = ("struct", "map", "nested", "bytes of no text")  # which no message can print
NAMES = {name: f"f{number}" for number, name in enumerate(COLUMNS)}  # as columns are called


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Definitions over two days: nine contacts turn gold, and one is extreme in every column."""
    root = tmp_path_factory.mktemp("hostile")
    for name, body in DEFINITIONS.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    values = {NAMES[name]: column for name, column in COLUMNS.items()}
    for key, tier in (("2026-11-21", "silver"), ("2026-11-22", "gold")):
        folder = root / "snapshots" / key
        folder.mkdir(parents=True)
        table = {"contact_id": PEOPLE, "tier": [tier] * len(PEOPLE), **values}
        pq.write_table(pa.table(table), folder / "contacts.parquet")
        (folder / "_SUCCESS").touch()
    return root


def resolve(home: Path, text: str) -> ResolvedWorkflow:
    """The workflow, with a recording channel that sends this text."""
    channel = RecordingChannel(text=Template(text, Kind.TEXT))
    return dataclasses.replace(Catalog(home).resolve("welcome"), channels={"mail": channel})


def tables_of(home: Path) -> SnapshotTables:
    directory = Catalog(home).directory("people")
    return SnapshotTables(directory, find_snapshot(directory, "2026-11-22", now=NOW))


def run(resolved: ResolvedWorkflow, root: Path) -> dict[str, str]:
    """Run the workflow as one slice; returns each contact's outcome."""
    return {row.contact_id: row.outcome for row in deliveries(resolved, root)}


def deliveries(resolved: ResolvedWorkflow, root: Path) -> list[dict[str, str]]:
    """Run the workflow as one slice; returns its deliveries."""
    ledger = Ledger.open(f"sqlite:///{root / 'segue.db'}", "test")
    wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
    store = MembershipStore(str(root / "state"))
    once = Run("welcome", "run-1")
    [span] = detect(RunContext(resolved, once, ledger, NOW, wishes), store).spans
    ledger.runs.release([span.id], NOW)
    area = RunArea(str(root / "area"))
    area.write_audience(resolved.audience)
    changes = changes_of_span(span.stretch, ledger.queries.changes_to_handle(span.id))
    [ref] = area.write_slices(cut(changes, Branches(max=1)))
    load_branch(resolved, ref, Desk(ledger, Clock(lambda: NOW)))
    check_branch(resolved, ref, ledger, NOW)
    action = resolved.definition.action("mail")
    deliver(resolved, action, [ref], ledger, owner="me", clear_number=0)
    rows = ledger.queries.list_deliveries()
    ledger.engine.dispose()
    return rows


def planned(resolved: ResolvedWorkflow) -> dict[str, str]:
    """Return what the plan says of each contact."""
    ends = [find_snapshot(resolved.directory, key, now=NOW) for key in ("2026-11-21", "2026-11-22")]
    changes = plan(resolved, *ends, namespace="test", now=NOW).changes
    return {change.contact_id: change.actions[0].outcome for change in changes}


def test_eight_are_served_whatever_the_ninth_has(home, tmp_path):
    """In one slice, with a message that names every column; the plan says the same."""
    named = [f"{{{{ contact.{NAMES[name]} | default('-') }}}}" for name in COLUMNS]
    printable = [text for name, text in zip(COLUMNS, named, strict=True) if name not in WHOLE]
    resolved = resolve(home, " ".join(["{{ contact.contact_id }}", *printable]))
    outcomes = run(resolved, tmp_path)
    others = {contact: outcome for contact, outcome in outcomes.items() if contact != "c5"}
    assert others == dict.fromkeys(set(PEOPLE) - {"c5"}, "delivered")
    assert outcomes["c5"] == "failed"  # some of what it has is no text
    sent = {"send": "delivered"}
    assert {who: sent.get(what, what) for who, what in planned(resolved).items()} == outcomes


def test_columns_that_no_message_names_cost_nobody_a_message(home, tmp_path):
    resolved = resolve(home, "Hello {{ contact.contact_id }}")
    assert run(resolved, tmp_path) == dict.fromkeys(PEOPLE, "delivered")


PLACES = {
    "conditions": ("slack_message", "conditions: {field: tier, fits: gold}\n"),
    "if": ("if: {field: tier, fits: gold}, slack_message", ""),
}


@pytest.mark.parametrize("place", PLACES)
def test_who_cannot_be_judged_fails_alone(place, hostile_home, tmp_path, caplog):
    """A condition that raises for one contact's value is judged for the others."""
    resolved = resolve(hostile_home(*PLACES[place]), "Hello")
    rows = {row.contact_id: row for row in deliveries(resolved, tmp_path)}
    outcomes = {who: row.outcome for who, row in rows.items()}
    assert outcomes == {who: "failed" if who == "c5" else "delivered" for who in PEOPLE}
    reason = "conditions: they cannot be judged of this contact (OverflowError)"
    assert rows["c5"].reason == reason
    sent = {"send": "delivered"}
    assert {who: sent.get(what, what) for who, what in planned(resolved).items()} == outcomes
    assert "OverflowError in a condition, of contact c5" in caplog.text
    assert ODD not in caplog.text


def test_whose_conditions_cannot_be_judged_any_more_is_withdrawn_alone(hostile_home):
    resolved = resolve(hostile_home(*PLACES["conditions"]), "Hello")
    changes = [Change(who, "added", "", "2026-11-21", "2026-11-21") for who in PEOPLE]
    withdrawn = {change.contact_id: why for change, why in recheck(resolved, changes, NOW).items()}
    assert withdrawn == {"c5": "conditions: they cannot be judged of this contact (OverflowError)"}


def test_who_cannot_be_judged_by_the_segment_any_more_is_withdrawn_alone(hostile_home):
    """It does not bear one contact's value; the others stand."""
    root = hostile_home("slack_message", "")
    text = (root / "segments/gold.yaml").read_text()
    (root / "segments/gold.yaml").write_text(text.replace("starts_with", "fits"))
    changes = [Change(who, "added", "", "2026-11-21", "2026-11-21") for who in PEOPLE]
    withdrawn = recheck(resolve(root, "Hello"), changes, NOW)
    reason = "it cannot be judged of this contact (OverflowError)"
    assert {change.contact_id: why for change, why in withdrawn.items()} == {"c5": reason}


@pytest.fixture
def hostile_home(home: Path, tmp_path: Path, monkeypatch) -> Callable[[str, str], Path]:
    """Definitions with an operator that raises for what one contact has."""
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    register(Fits)

    def make(action: str, conditions: str) -> Path:
        root = tmp_path / "home"
        shutil.copytree(home, root)
        text = DEFINITIONS["workflows/welcome"].replace("slack_message", action)
        (root / "workflows/welcome.yaml").write_text(text + conditions)
        match = "match: {field: tier, starts_with: gold}\n"
        (root / "segments/gold.yaml").write_text(f"segment: gold\ndirectory: people\n{match}")
        tiers = [ODD if who == "c5" else "gold" for who in PEOPLE]
        rows = pa.table({"contact_id": PEOPLE, "tier": tiers})
        pq.write_table(rows, root / "snapshots/2026-11-22/contacts.parquet")
        return root

    return make


def test_a_condition_on_what_is_not_there_concerns_everybody():
    contacts = pd.DataFrame({"contact_id": PEOPLE}, dtype="str")
    population = Population(contacts, NOW, ZoneInfo("UTC"))
    changes = [Change(who, "added", "", "2026-11-22", "2026-11-22") for who in PEOPLE]
    with pytest.raises(DataError, match="no column 'tier'"):
        holds(parse_condition({"field": "tier", "equals": "gold"}), population, changes)


class Fits(Operator[str]):
    """A team's own operator, with a defect that one contact's value brings out."""

    name, complement, takes = "fits", "not_fits", Text()

    def holds(self, column, operand, moment):
        if column.texts.equal(ODD).any():
            raise OverflowError(ODD)
        return column.texts.equal(operand)


@pytest.fixture(scope="module")
def fields(home: Path) -> dict[str, dict[str, object]]:
    """What templates see of each contact."""
    workflow = Catalog(home).workflow("welcome")
    tables = tables_of(home)
    loaded = load_details(workflow, tables.directory, tables.snapshot, PEOPLE)
    return contact_fields(workflow, loaded)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in WHOLE])
def test_each_value_is_printed_or_missing_or_a_clear_failure(name, fields):
    template = Template(f"{{{{ contact.{NAMES[name]} | default('-') }}}}", Kind.TEXT)
    for contact, values in fields.items():
        with suppress(ContactFailure) if contact == "c5" else nullcontext():
            assert render(template, {"contact": Fields("contact", values)}) != ""


@pytest.mark.parametrize("name", COLUMNS)
def test_everybody_can_be_explained(name, home):
    match = {"field": NAMES[name], "is_set": True}
    written = {"segment": "set", "directory": "people", "match": match}
    segment, tables = SegmentDefinition.model_validate(written), tables_of(home)
    for contact in ("c4", "c5"):
        tree = contact_verdict(segment, tables, contact).tree
        assert tree.holds or tree.value in (None, [])
        if tree.holds and contact == "c4":
            assert tree.value is not None  # what is set has a value to be shown


OPERATORS = {
    "equals": "gold",
    "contains": "o",
    "at_least": 1,
    "after": "2026-11-22",
    "on_day": "2026-11-22",
    "in_past": "30d",
    "in_next": "30d",
    "anniversary_in_next": "7d",
    "is_true": True,
    "is_empty": True,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_eight_are_judged_as_if_the_ninth_were_not_there(name):
    values = COLUMNS[name]
    kept = [row for row in range(len(PEOPLE)) if row != HOSTILE]
    for operator, operand in OPERATORS.items():
        leaf = {"field": "f", operator: operand}
        with suppress(DataError):  # of a type that this operator never reads, whoever has what
            with_it = verdicts(leaf, values)
            assert [with_it[row] for row in kept] == verdicts(leaf, values.take(pa.array(kept)))


def verdicts(leaf: dict[str, object], values: pa.Array) -> list[bool]:
    """Judge a condition over a column, as a workflow's conditions are."""
    table = pa.table({"contact_id": [str(row) for row in range(len(values))], "f": values})
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    population = Population(frame, moment, ZoneInfo("Europe/London"))
    return list(map(bool, evaluate(parse_condition(leaf), population)))


BEYOND = [
    (of_integers(pa.timestamp("us"), 10**15, MOST), None),
    (of_integers(pa.timestamp("us", "UTC"), 10**15, LEAST), None),
    (of_integers(pa.date32(), 20_000, 2**31 - 1), None),
    (listed(of_integers(pa.timestamp("us"), 0, MOST)), [None]),
    (text_that_is_none(), None),
    (of(timedelta(hours=5), timedelta(hours=6)), timedelta(hours=6)),
    (
        of_integers(pa.timestamp("s", "Asia/Tokyo"), 0, 253402300799),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
]


@pytest.mark.parametrize(("column", "expected"), BEYOND)
def test_what_python_cannot_hold_is_missing_alone(column, expected):
    values = python_values(column)
    assert values[HOSTILE] == expected
    assert all(value is not None for row, value in enumerate(values) if row != HOSTILE)
