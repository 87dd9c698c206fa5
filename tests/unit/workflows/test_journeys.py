"""What `wait`, `leave_when`, `split` and `only` allow, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems

FILES = {
    "directories/customers": "directory: customers\nsnapshots: ../snapshots\n",
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
}
COLUMNS = {"customers": {"contacts": ("contact_id", "first_name", "tier", "zone")}}
TO = 'slack_message: {channel: "#a", text: x}'


def problems(home: Path, more: str, *actions: str) -> list[str]:
    """Return what is wrong with a workflow, with its places."""
    listed = "\n".join(f"  - {{id: {action}, {TO}}}" for action in actions)
    workflow = (
        "workflow: greet\nsegment: gold\nchanges: [added]\nstart: 2026-11-01\n"
        f"{more}\nactions:\n{listed}\n"
    )
    for name, text in {**FILES, "workflows/greet": workflow}.items():
        path = home / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [str(each) for each in find_problems(Catalog(home), COLUMNS)]


@pytest.mark.parametrize(
    ("more", "actions"),
    [
        ("", ["a, wait: 3d"]),
        ("", ['a, wait: {at: "09:00", on: [mon, sun], timezone: Europe/London}']),
        ("", ["a", "b, after: a, wait: {for: 2h, on: [tue], timezone_field: zone}"]),
        ("leave_when: {segment: gold, is: not_member}", ["a, wait: 1mo"]),
        ("", ["a, pace: 5000 per hour", "b, pace: 1 per day"]),
        ("split: {x: 50%, y: 50%}", ["a, only: x", "b, only: [x, y]", "c"]),
        ("split: {x: 33.3%, y: 33.3%, z: 33.4%}", ["a, only: [x, y]", "b, after: a, only: y"]),
    ],
)
def test_a_journey_is_valid(tmp_path, more, actions):
    assert problems(tmp_path, more, *actions) == []


@pytest.mark.parametrize(
    ("more", "actions", "problem"),
    [
        ("", ["a, wait: 3"], "actions[0].wait: found 3"),
        ("", ["a, wait: {for: 3d, timezone: UTC}"], "actions[0].wait: a time zone is read for"),
        ("", ["a, wait: {at: 9}"], "actions[0].wait.at: found 9; allowed: a time of day"),
        ("", ["a, wait: {on: [monday]}"], "actions[0].wait.on[0]"),
        ("", ["a, wait: {on: [mon], timezone_field: zoen}"], "did you mean 'zone'?"),
        ("", ["a, digest: true, wait: 3d"], "actions[0].wait: a digest goes out when its run"),
        (
            "",
            ["a, pace: 5000/hour"],
            "actions[0].pace: found '5000/hour'; allowed: a number per time",
        ),
        ("", ["a, pace: 0 per hour"], "such as 5000 per hour"),
        ("leave_when: {field: teir, is_set: true}", ["a"], "leave_when.field"),
        ("leave_when: {segment: silver, is: member}", ["a"], "leave_when.segment"),
        (
            "",
            ["a, only: x"],
            "actions[0].only: there is no arm 'x'; allowed: none, without `split`",
        ),
        ("split: {x: 50%, y: 50%}", ["a, only: z"], "there is no arm 'z'; allowed: x, y"),
        ("split: {x: 50%, y: 40%}", ["a"], "split: found 2 with 90%; allowed: two or more with"),
        ("split: {x: 100%}", ["a"], "split: found 1 with 100%; allowed: two or more with 100%"),
        ("split: {x: 50%, y: half}", ["a"], "split.y: found 'half'; allowed: a share"),
        (
            "split: {x: 50%, y: 50%}",
            ["a, only: x", "b, after: a"],
            "actions[1].only: it comes after 'a', which is not for all; allowed: arms of that one",
        ),
        ("split: {x: 50%, y: 50%}", ["a, only: x", "b, after: a, only: y"], "actions[1].only: it"),
    ],
)
def test_what_a_journey_gets_wrong_is_told_with_its_place(tmp_path, more, actions, problem):
    assert problem in "\n".join(problems(tmp_path, more, *actions))
