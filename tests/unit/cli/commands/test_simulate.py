"""``segue simulate``: a workflow over every snapshot of a period, and nothing done."""

from __future__ import annotations

import csv
import io
import json
import sys
from xml.etree import ElementTree as ET

import pytest

from segue.cli.commands.simulate import _bars
from tests.unit.cli.conftest import SECOND, WORKFLOW

GUARDED = WORKFLOW.replace("policies:", "guard: {at_most: 4}\npolicies:")
# c1 is silver again, c2 was deleted, c9 is new and gold; who else is gold stays so
THIRD = SECOND.replace("c1,Ann,ann@example.com,+1,gold", "c1,Ann,ann@example.com,+1,silver")
THIRD = "\n".join(line for line in THIRD.splitlines() if not line.startswith("c2,"))
THIRD += "\nc9,Ida,ida@example.com,+9,gold,us,no\n"


@pytest.fixture(autouse=True)
def third_day(home):
    """A third snapshot."""
    home.snapshot("2026-11-23", THIRD)


def simulated(segue, *options: str) -> dict:
    answer = segue("simulate", "welcome", "--format", "json", *options)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def rows(segue, *options: str) -> list[dict[str, str]]:
    answer = segue("simulate", "welcome", "--format", "csv", *options)
    assert answer.code == 0, answer.err
    return list(csv.DictReader(io.StringIO(answer.out)))


def test_changes_per_kind_and_day(segue):
    found = simulated(segue)
    assert [(day["snapshot"], day["members"], day["changes"]) for day in found["days"]] == [
        ("2026-11-22", 7, {"added": 5, "removed": 1, "opted_out": 1}),
        ("2026-11-23", 6, {"added": 1, "removed": 2, "opted_out": 0}),
    ]
    assert found["changes"] == {"added": 6, "removed": 3, "opted_out": 1}
    assert found["largest_day"] == "2026-11-22"


def test_a_contact_that_changes_twice_is_touched_once(segue):
    """c2 was added on the 22nd and deleted on the 23rd."""
    found = simulated(segue)
    assert sum(found["changes"].values()) == 10
    assert found["contacts"] == 9


def test_each_day_has_the_changes_that_the_command_for_one_pair_lists(segue):
    for day in simulated(segue)["days"]:
        span = ("--from", day["previous"], "--to", day["snapshot"])
        answer = segue("changes", "gold", *span, "--format", "csv")
        kinds = [row["change"] for row in csv.DictReader(io.StringIO(answer.out))]
        assert {kind: kinds.count(kind) for kind in day["changes"]} == day["changes"]


def test_a_period_ends_with_its_keys(segue):
    assert [row["snapshot"] for row in rows(segue, "--from", "2026-11-22")] == ["2026-11-23"]
    assert [row["snapshot"] for row in rows(segue, "--to", "2026-11-22")] == ["2026-11-22"]


def test_one_snapshot_or_a_period_that_runs_backwards_is_an_error(segue):
    answer = segue("simulate", "welcome", "--from", "2026-11-23")
    assert answer.code == 2
    assert "nothing to compare: there is no complete snapshot but 2026-11-23" in answer.err
    answer = segue("simulate", "welcome", "--from", "2026-11-23", "--to", "2026-11-21")
    assert answer.code == 2
    assert "--from 2026-11-23 must be earlier than 2026-11-21" in answer.err


def test_what_the_guard_would_have_stopped(segue, home):
    home.define("workflows", "welcome", GUARDED)
    found = simulated(segue)
    assert found["stopped_days"] == ["2026-11-22"]
    assert found["days"][0]["stopped"] == ["5 contacts added, guard.at_most is 4"]
    assert found["contacts_reached"] == 3
    answer = segue("simulate", "welcome")
    assert "the guard would have stopped 1 day with 7 changes; 3 contacts on the" in answer.err


def test_messages_are_judged_as_a_plan_judges_them(segue):
    """With the plan of the last day: its consent is the same."""
    planned = json.loads(segue("plan", "welcome", "--format", "json").out)
    wanted = [action["outcome"] for change in planned for action in change["actions"]]
    days = simulated(segue, "--messages")["days"]
    outcomes = days[-1]["actions"].values()
    for name in ("send", "skipped", "failed"):
        assert sum(each.get(name, 0) for each in outcomes) == wanted.count(name)
    assert days[0]["actions"]["mail"] == {"send": 2, "skipped": 4, "failed": 1}


def test_csv_has_a_column_per_kind_action_and_outcome(segue, home):
    home.define("workflows", "welcome", GUARDED)
    first, second = rows(segue, "--messages")
    assert first["remark"].startswith("stopped by the guard: 5 contacts added")
    assert (first["mail.send"], second["added"], second["ticket.send"]) == ("0", "1", "3")


def test_a_table_has_bars_and_a_summary(segue):
    answer = segue("simulate", "welcome")
    assert answer.lines[0].split() == [
        *("snapshot", "members", "added", "removed", "opted_out", "changes")
    ]
    assert answer.lines[2].endswith("█" * 40)
    assert answer.lines[3].endswith("  " + "█" * 17 + "▏")
    assert "10 changes (6 added, 3 removed, 1 opted_out) of 9 contacts on 2 days" in answer.err
    assert "the largest day: 2026-11-22, 7 changes" in answer.err


def test_bars_need_room_and_something_to_show():
    assert _bars([1, 2], room=4) == []
    assert _bars([0, 0], room=40) == []
    assert _bars([0, 1, 1000], room=10) == ["", "▏", "█" * 10]


def test_a_day_that_lacks_a_column_is_a_failed_run_and_the_next_a_baseline(segue, home):
    home.snapshot("2026-11-24", "c1,Ann\n", columns="contact_id,name")
    home.snapshot("2026-11-25", SECOND)
    failed, baseline = simulated(segue)["days"][2:]
    assert "lacks contacts.tier" in failed["error"]
    assert baseline["baseline"] == "new column: 2026-11-24 lacks contacts.tier"
    answer = segue("simulate", "welcome", "--from", "2026-11-23", "--to", "2026-11-24")
    assert answer.code == 2
    assert "snapshot 2026-11-24 of customers lacks contacts.tier" in answer.err


def test_a_draft_stands_in_for_the_definition_of_its_name(segue, tmp_path):
    draft = tmp_path / "any_name.yaml"
    draft.write_text("segment: gold\ndirectory: customers\nmatch: {field: tier, equals: silver}\n")
    kinds = simulated(segue, "--draft", str(draft))["days"][0]["changes"]
    assert (kinds["added"], kinds["removed"]) == (0, 5)


def test_a_new_workflow_may_be_a_draft(segue, tmp_path):
    draft = tmp_path / "draft.yaml"
    draft.write_text(WORKFLOW.lstrip().replace("workflow: welcome", "workflow: brand_new"))
    answer = segue("simulate", "brand_new", "--draft", str(draft), "--format", "json")
    assert json.loads(answer.out)["contacts"] == 9
    draft.write_text("name: what\n")
    answer = segue("simulate", "brand_new", "--draft", str(draft))
    assert answer.code == 2
    assert "draft.yaml:1:1: is no definition; expected one of the keys" in answer.err


def test_it_leaves_no_trace(segue, home):
    before = home.files()
    simulated(segue, "--messages")
    assert home.files() == before


def test_every_membership_is_computed_once(segue, monkeypatch):
    from segue.preview import simulation

    computed = []
    compute = simulation.membership

    def counting(segment, directory, snapshot):
        computed.append(snapshot.key)
        return compute(segment, directory, snapshot)

    monkeypatch.setattr(simulation, "membership", counting)
    simulated(segue)
    assert computed == ["2026-11-21", "2026-11-22", "2026-11-23"]


def test_an_svg_has_a_bar_per_kind_and_day_and_marks_what_was_stopped(segue, home, tmp_path):
    home.define("workflows", "welcome", GUARDED)
    path = tmp_path / "changes.svg"
    assert segue("simulate", "welcome", "--plot", str(path)).code == 0
    texts = [text for text in ET.parse(path).getroot().itertext() if text.strip()]
    assert {"2026-11-22: 5 added", "2026-11-22: 1 removed", "2026-11-23: 1 added"} <= set(texts)
    assert texts.count("stopped") == 1
    assert {"2026-11-22", "2026-11-23", "Changes of welcome (gold)"} <= set(texts)


def test_a_png_is_drawn_by_matplotlib(segue, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "changes.png"
    assert segue("simulate", "welcome", "--plot", str(path)).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_png_says_how_to_get_it(segue, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    answer = segue("simulate", "welcome", "--plot", str(tmp_path / "changes.png"))
    assert answer.code == 2
    assert "pip install matplotlib, or name the file .svg" in " ".join(answer.err.split())


@pytest.mark.parametrize("name", ["changes.pdf", "nowhere/changes.svg"])
def test_a_plot_that_cannot_be_written_is_an_error_before_any_work(segue, tmp_path, name):
    answer = segue("simulate", "welcome", "--plot", str(tmp_path / name))
    assert answer.code == 2
    assert answer.out == ""


def test_where_blocks_cannot_be_shown_bars_are_of_number_signs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert _bars([1, 2], room=8) == ["####", "########"]
