"""An id that no ledger can keep stops nobody else's message, and is not lost in silence."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.ledger import Ledger
from segue.ledger.facts import Run, Wishes
from segue.preview.plan import plan
from segue.runs.context import RunContext
from segue.runs.guard_question import question
from segue.runs.report import report_run
from segue.runs.span_detection import detect
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.store import MembershipStore
from segue.testing import RecordingChannel
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow

NOW = datetime(2026, 11, 10, 7, tzinfo=UTC)
UNFIT = ["n\0l", "x" * 2001, "é" * 1001]
CANNOT = "of contacts whose id cannot be kept (contacts of 2026-11-09: row 2, row 3, row 4"
ALLOWED = "); allowed: up to 2,000 bytes, without a NUL character"


def write(folder: Path, table: str, header: str, rows: list[list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture
def resolved(tmp_path: Path) -> ResolvedWorkflow:
    """Yesterday an unfit contact that is gone today; today others, with rows in every table."""
    root = tmp_path / "snapshots"
    yesterday, today = root / "2026-11-08", root / "2026-11-09"
    others = [[f"s{number}", "silver"] for number in range(9)]
    before = [["a", "gold"], ["g\0ne", "gold"], *others]
    write(yesterday, "contacts", "contact_id,tier", before)
    members = [["b", "gold"], *([unfit, "gold"] for unfit in UNFIT), ["c", "gold"]]
    write(today, "contacts", "contact_id,tier", [*members, *others])
    for folder, contacts in ((yesterday, before), (today, [*members, *others])):
        rows = [["c", "directory", "no"], ["n\0l", "directory", "no"]]
        write(folder, "subscriptions", "contact_id,scope,opted_in", rows)
        bought = [[contact, "2026-11-07"] for contact, _ in [*contacts, ["nob\0dy", ""]]]
        write(folder, "transactions", "contact_id,date", bought)
        (folder / "_SUCCESS").touch()
    directory = {"directory": "people", "snapshots": str(root), "complete_marker": "_SUCCESS"}
    match = {
        "all": [
            {"field": "tier", "equals": "gold"},
            {"transactions": {}, "count": {"at_least": 0}},
        ]
    }
    definition = {
        "workflow": "greet",
        "segment": "gold",
        "changes": ["added", "removed"],
        "start": "2026-11-01",
        "conditions": {"field": "tier", "equals": "gold"},
        "actions": [{"id": "mail", "recording": {"text": "hi {{ contact.tier }}"}}],
        "guard": {"share": None, "shrunk_to": None},
    }
    return ResolvedWorkflow(
        WorkflowDefinition.model_validate(definition),
        SegmentDefinition.model_validate(
            {"segment": "gold", "directory": "people", "match": match}
        ),
        DirectoryDefinition.model_validate(directory),
        {"mail": RecordingChannel.model_validate({"text": "hi {{ contact.tier }}"})},
    )


def lines(resolved: ResolvedWorkflow, ledger: Ledger, folder: Path, name: str, **wishes) -> list:
    """What is planned, and what the run's report says of the others, twice the same."""
    run, store = Run("greet", name), MembershipStore(str(folder / "state"))
    for _ in range(2):
        found = detect(RunContext(resolved, run, ledger, NOW, Wishes(**wishes)), store)
        planned = [
            (contact, change)
            for span in found.spans
            for contact, change, _ in ledger.queries.changes_to_handle(span.id)
        ]
        assert all(span.findings == [] for span in found.spans)
    report = report_run(resolved, ledger.runs.find_run("greet", name), ledger)
    lost = [problem for problem in report.problems if problem.startswith("left out")]
    assert not any(unfit in line for unfit in UNFIT for line in report.lines())
    return [sorted(planned), *lost]


def test_everybody_else_is_acted_on_and_the_report_fails(resolved, ledger, tmp_path):
    """SQLite and PostgreSQL alike; the guard does not ask for it."""
    found = lines(resolved, ledger, tmp_path, "r1", previous="2026-11-08", current="2026-11-09")
    assert found == [
        [("a", "removed"), ("b", "added"), ("c", "added")],
        f"left out: 4 changes {CANNOT}; contacts of 2026-11-08: row 2{ALLOWED}",
    ]
    context = RunContext(resolved, Run("greet", "r1"), ledger, NOW)
    assert question(context, context.record()) is None


def test_an_enrolment_leaves_them_out_too(resolved, ledger, tmp_path):
    found = lines(resolved, ledger, tmp_path, "e1", enroll_current_members=True)
    assert found == [
        [("b", "enrolled"), ("c", "enrolled")],
        f"left out: 3 changes {CANNOT}{ALLOWED}",
    ]


def test_the_plan_says_whom_a_run_leaves_out(resolved):
    pair = [find_snapshot(resolved.directory, key, now=NOW) for key in ("2026-11-08", "2026-11-09")]
    planned = plan(resolved, *pair, namespace="test", now=NOW)
    assert [change.contact_id for change in planned.changes] == ["a", "b", "c"]
    assert [text[:19] for text in planned.left_out] == ["left out: 4 changes"]
    assert planned.beyond_guard == []
