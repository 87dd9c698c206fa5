"""A URL, a login or a token in place of a connection's id is refused, and not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems

WORKFLOW = "workflow: w\nsegment: s\nchanges: [added]\nstart: 2026-11-01\n"
HOOK = "actions:\n  - id: note\n    slack_webhook:\n      text: x\n      connection: CONNECTION\n"
LIVE = """\
actions:
  - id: note
    slack_message: {channel: "#c", text: x}
load:
  http: {connection: CONNECTION, path: '/{{ contact.a }}', fields: [b]}
"""
PLACES = [(HOOK, "actions[0].slack_webhook.connection"), (LIVE, "load.http.connection")]
SECRETS = [
    "https://hooks.slack.com/services/T00000000/B00000000/hunter2",
    "https://agent:hunter2@shop.zendesk.com",
    "postgresql://segue:hunter2@db/segue",
    "agent@example.com/token=hunter2",
    '\'{"conn_type": "http", "password": "hunter2"}\'',
    "Bearer hunter2",
    "'{{ hunter2'",
    "''",
]
IDS = ["crm", "crm_default", "team/crm", "crm.eu-1", "crm(eu)#2", "team:crm"]


def problems(home: Path, definition: str, connection: str) -> list[tuple[str, str]]:
    """Return place and text of what is wrong with a workflow that names a connection so."""
    files = {
        "directories/d": "directory: d\nsnapshots: .\n",
        "segments/s": "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n",
        "workflows/w": WORKFLOW + definition.replace("CONNECTION", connection),
    }
    for file, text in files.items():
        path = home / f"{file}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [(each.path, each.message) for each in find_problems(Catalog(home))]


@pytest.mark.parametrize("connection", SECRETS)
@pytest.mark.parametrize(("definition", "place"), PLACES)
def test_what_is_no_id_is_refused_without_its_text(
    tmp_path: Path, definition: str, place: str, connection: str
):
    ((path, message),) = problems(tmp_path, definition, connection)
    assert path == place
    assert message.startswith("is not the id of an Airflow connection")
    assert "hunter2" not in message


@pytest.mark.parametrize("connection", IDS)
@pytest.mark.parametrize(("definition", "_place"), PLACES)
def test_whatever_airflow_takes_for_an_id_is_taken(
    tmp_path: Path, definition: str, _place: str, connection: str
):
    assert problems(tmp_path, definition, f"'{connection}'") == []
