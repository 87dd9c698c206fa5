"""``segue schema``: what editors are told is what Segue accepts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from segue.cli.editor_schema import definition_schema
from segue.contracts.channel import channel_names
from segue.documents import parse_document, read_document
from tests.unit.cli.conftest import WORKFLOW

INCLUDE = Path(__file__).parents[4] / "include"
FOLDERS = {"directories": "directory", "segments": "segment", "workflows": "workflow"}
KINDS = ["directory", "segment", "action", "workflow", "project"]
SAMPLES = [path for folder in FOLDERS for path in sorted((INCLUDE / folder).glob("*.yaml"))]


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(definition_schema(kind))


def complaints(kind: str, data: object) -> list[str]:
    """Return what a validator says about a definition."""
    return [error.message for error in validator(kind).iter_errors(data)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one(kind):
    Draft202012Validator.check_schema(definition_schema(kind))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_sample_s_definitions_are_accepted(path):
    assert complaints(FOLDERS[path.parent.name], read_document(path).data) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("owner: me", "ownr: me"),
        ("zendesk_ticket:", "zendesk_tickt:"),
        ("subject: Welcome", "subjet: Welcome"),
        ("after: ticket", "after: 5"),
        ("max_age: null", "max_age: 2 days"),
        ("is_set: true", "is_set: false"),
        ("changes: [added,", "changes: [joined,"),
    ],
)
def test_a_mistake_is_not_accepted(old, new):
    text = WORKFLOW.replace("start:", "owner: me\nstart:")
    assert complaints("workflow", parse_document(text, "w.yaml").data) == []
    assert complaints("workflow", parse_document(text.replace(old, new), "w.yaml").data) != []


def test_every_channel_has_its_form_of_action():
    actions = definition_schema("workflow")["properties"]["actions"]["items"]["anyOf"]
    names = [action["$ref"].rpartition("/")[2] for action in actions]
    assert names == ["_UsedAction", *(f"{name}_action" for name in channel_names())]


@pytest.mark.parametrize(
    ("kind", "text", "is_right"),
    [
        ("workflow", WORKFLOW + "guard: {at_most: '${most}'}\n", True),
        ("workflow", WORKFLOW + "guard: {at_most: most}\n", False),
        ("workflow", WORKFLOW + "changes: '${kinds}'\nnotify: null\n", True),
        ("workflow", WORKFLOW + "digest: true\n", False),
        ("workflow", WORKFLOW.replace("id: mail", "id: mail\n    digest: true"), True),
        ("workflow", WORKFLOW.replace("start: 2026-11-21\n", ""), True),
        ("workflow", WORKFLOW.replace("segment: gold\n", ""), False),
        ("workflow", WORKFLOW + "  - {id: x, use: tell, with: {a: 1}, if: null}\n", True),
        ("workflow", WORKFLOW + "  - {id: x, with: {a: 1}}\n", False),
        ("segment", "segment: a\ndirectory: b\nmatch: {field: x, is_true: '${on}'}\n", True),
        ("action", "action: a\nemail: {from: a@b.c, subject: s, text: t}\n", True),
        ("action", "action: a\nid: b\nemail: {from: a@b.c, subject: s, text: t}\n", False),
        ("action", "action: a\nparameters: {x: {type: text}}\n", False),
        ("project", "variables: {x: {type: text}}\ndefaults: {owner: me}\n", True),
        ("project", "variables: {x: {type: txt}}\n", False),
        ("project", "defaults: {ownr: me}\n", False),
        ("project", "profiles: {dev: {defaults: {guard: {share: 5%}}}}\n", True),
        ("project", "profiles: {dev: {defaults: {guard: {shar: 5%}}}}\n", False),
    ],
)
def test_what_an_editor_takes_of_a_projects_settings(kind, text, is_right):
    own = "policies: {max_age: null}\n"
    if kind == "workflow" and "  - {id: x" in text:
        text = text.replace(own, "") + own
    if "changes: '" in text:
        text = text.replace("changes: [added, removed, opted_out]\n", "")
    assert (complaints(kind, parse_document(text, "x.yaml").data) == []) is is_right


def test_defaults_are_shown_as_one_writes_them():
    properties = definition_schema("workflow")["properties"]
    assert properties["policies"]["default"]["max_age"] == "2d"
    assert definition_schema("directory")["properties"]["settle"]["default"] == "60s"


def test_one_kind_or_all_go_to_stdout(segue):
    assert json.loads(segue("schema", "segment").out) == definition_schema("segment")
    assert list(json.loads(segue("schema").out)) == KINDS


def test_a_folder_gets_a_file_per_kind(segue, tmp_path):
    answer = segue("schema", "--folder", str(tmp_path / "schemas"))
    assert (answer.code, answer.out) == (0, "")
    written = sorted(path.name for path in (tmp_path / "schemas").iterdir())
    assert written == [f"{kind}.schema.json" for kind in sorted(KINDS)]


def test_a_folder_that_cannot_be_written_is_one_message(segue, tmp_path):
    (tmp_path / "file").touch()
    answer = segue("schema", "--folder", str(tmp_path / "file"))
    assert answer.code == 2
    assert answer.err.startswith(f"Error: {tmp_path / 'file'}: ")


def test_a_workflows_schema_shows_what_the_guard_and_notify_take(segue):
    """Shares as YAML has them; one notifier, or a list."""
    schema = json.loads(segue("schema", "workflow").out)
    limits = schema["$defs"]["GuardLimits"]["properties"]
    assert {
        key: limits[key]["default"] for key in ("at_most", "share", "shrunk_to", "deadline")
    } == {
        "at_most": 1000,
        "share": "20%",
        "shrunk_to": "50%",
        "deadline": "24h",
    }
    shapes = schema["$defs"]["Notify"]["properties"]["on_failure"]["anyOf"]
    assert [shape.get("type", "a notifier") for shape in shapes] == ["a notifier", "array"]
