"""``schedule: on_snapshot``: what it is taken for, what it is not, and what is remarked."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from segue.cli.editor_schema import definition_schema
from segue.directory.definition import DirectoryDefinition
from segue.directory.take_definition import Take
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.validation import find_remarks
from tests.unit.runs.test_bridges import found, workflow

TAKE = {
    "connection": "shop",
    "schedule": "30 0 * * *",
    "start": "2026-11-01",
    "tables": {"contacts": "SELECT id FROM people WHERE since < :as_of"},
}


def with_take(resolved: ResolvedWorkflow) -> ResolvedWorkflow:
    directory = DirectoryDefinition.model_validate(
        {"directory": "customers", "snapshots": "/nowhere", "take": TAKE}
    )
    return ResolvedWorkflow(resolved.definition, resolved.segment, directory, {})


def test_it_is_no_cron_and_by_nobodys_hand():
    definition = workflow("on_snapshot").definition
    assert (definition.cron, definition.follows_snapshots) == (None, True)
    by_hand, daily = workflow(None).definition, workflow("0 6 * * *").definition
    assert (by_hand.cron, by_hand.follows_snapshots) == (None, False)
    assert (daily.cron, daily.follows_snapshots) == ("0 6 * * *", False)


@pytest.mark.parametrize("value", ["on_snapshots", "onSnapshot", "on-snapshot", "snapshot"])
def test_what_is_nearly_so_is_an_error_that_asks(value):
    with pytest.raises(ValidationError, match="did you mean 'on_snapshot'"):
        workflow(value)


def test_a_take_is_by_the_clock_or_by_hand():
    """A directory cannot follow its own snapshots."""
    with pytest.raises(ValidationError, match="not a cron expression"):
        Take.model_validate({**TAKE, "schedule": "on_snapshot"})


def test_a_bridge_is_told_where_the_directorys_take_says_when_snapshots_are_due():
    """Of one that somebody else announces nobody can tell what is missing."""
    assert found(workflow("on_snapshot"), "2026-11-26", "2026-11-28") == []
    [bridge] = found(with_take(workflow("on_snapshot")), "2026-11-26", "2026-11-28")
    assert bridge.missing == ["2026-11-27"]
    assert bridge.windows
    assert found(with_take(workflow("on_snapshot")), "2026-11-26", "2026-11-27") == []


def test_editors_are_told_of_it():
    schedule = definition_schema("workflow")["properties"]["schedule"]
    assert "on_snapshot" in str(schedule)


def test_where_nobody_takes_snapshots_it_is_said_who_is_to_tell_of_them(tmp_path):
    """A remark, and no problem: a DAG of a team's own may."""
    files = {
        "directories/people.yaml": {"directory": "people", "snapshots": "/nowhere"},
        "segments/gold.yaml": {
            "segment": "gold",
            "directory": "people",
            "match": {"field": "tier", "equals": "gold"},
        },
        "workflows/greet.yaml": {
            "workflow": "greet",
            "segment": "gold",
            "changes": ["added"],
            "schedule": "on_snapshot",
            "start": "2026-11-01",
            "actions": [{"id": "alert", "slack_message": {"channel": "#team", "text": "hello"}}],
        },
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content))
    [remark] = [
        each for each in find_remarks(Catalog(tmp_path)) if "segue_snapshots_people" in str(each)
    ]
    assert "no `take:`" in str(remark)
    files["directories/people.yaml"]["take"] = TAKE
    (tmp_path / "directories/people.yaml").write_text(
        yaml.safe_dump(files["directories/people.yaml"])
    )
    assert "segue_snapshots_people" not in str(find_remarks(Catalog(tmp_path)))
