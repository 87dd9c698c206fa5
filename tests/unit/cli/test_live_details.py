"""What the command line says of a workflow that looks its contacts up: it never does, itself."""

from __future__ import annotations

import json

import jsonschema
import pytest

from segue.cli.editor_schema import definition_schema
from segue.ledger import Ledger
from tests.unit.cli.conftest import WORKFLOW

LOAD = """load:
  http:
    connection: crm
    path: "/v2/{{ contact.contact_id }}"
    fields: {name: full_name, nickname: nick, unsubscribed: out}
"""
LIVE = (WORKFLOW + LOAD).replace(
    "Dear {{ contact.name }}", "{{ contact.nickname or contact.name }}"
)
NOT_LOOKED_UP = "not looked up in http here, which only Airflow's tasks can"


@pytest.fixture
def live(home):
    path = home.root / "include" / "workflows" / "welcome.yaml"
    assert path.exists()
    path.write_text(LIVE)
    return path


def test_plan_takes_the_snapshots_fields_and_says_so(segue, live):
    """Where it has none, a message shows that one would be looked up, not that it fails."""
    answer = segue("plan", "welcome", "--at", "2026-11-22", "--format", "json")

    assert answer.code == 0, answer.err
    planned = {change["contact_id"]: change for change in json.loads(answer.out)}
    mail = next(one for one in planned["c2"]["actions"] if one["action"] == "mail")
    assert mail["message"]["text"] == "‹contact.nickname›"  # the snapshot has none
    assert NOT_LOOKED_UP in answer.err


def test_simulate_says_so_where_it_judges_messages(segue, live):
    quiet = segue("simulate", "welcome")
    loud = segue("simulate", "welcome", "--messages")

    assert (quiet.code, loud.code) == (0, 0), loud.err
    assert NOT_LOOKED_UP not in quiet.err
    assert NOT_LOOKED_UP in loud.err


def test_a_plan_without_live_details_says_nothing(segue):
    assert "looked up" not in segue("plan", "welcome", "--at", "2026-11-22").err


def test_an_example_states_what_would_be_looked_up(segue, live):
    live.write_text(
        LIVE
        + """tests:
  - name: by nickname
    change: added
    as_of: 2026-11-23
    contact: {nickname: Al, email: a@example.com, phone: "+1", name: Ann}
    expect: {mail: {send: {text: Al}}}
"""
    )
    assert segue("test", "welcome").code == 0
    assert segue("validate").code == 0


@pytest.mark.parametrize(
    ("written", "instead", "problem"),
    [
        ("  http:", "  htp:", "load.htp: unknown live source 'htp'; allowed: http, qualtrics, sql"),
        ("nickname or", "nikname or", "contact has no field 'nikname'"),
        (
            'contact.contact_id }}"\n    f',
            'contact.fone }}"\n    f',
            "load.http.path: the snapshot's",
        ),
        (
            'contact.contact_id }}"\n    f',
            'contact.nickname }}"\n    f',
            "have no field 'nickname'",
        ),
        ("    connection: crm\n", "", "load.http.connection: "),
        ("    connection: crm\n", "    connection: crm\n    cache: 5\n", "load.http.cache"),
        ("full_name", "']'", "load.http.fields.name"),
        (LOAD, "load: snapshop\n", "allowed: snapshot, none, or a live source with its fields"),
        (LOAD, "load: {http: {}, sql: {}}\n", "exactly one source; found http, sql"),
        (LOAD, "load: {http: 5}\n", "load.http: expected a mapping of fields, found 5"),
        (LOAD, "load: 5\n", "load: found 5; allowed"),
    ],
)
def test_validate_finds_what_is_wrong(segue, live, written, instead, problem):
    assert segue("validate").code == 0
    assert written in LIVE
    live.write_text(LIVE.replace(written, instead))
    answer = segue("validate")

    assert answer.code == 2
    assert problem in answer.out + answer.err
    assert "welcome.yaml:" in answer.out + answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("load", "fits"),
    [
        ("none", True),
        ({"sql": {"connection": "w", "query": "q", "fields": ["a"]}}, True),
        ({"http": {"connection": "w", "path": "/x", "fields": {"a": "b"}}}, True),
        ({"qualtrics": {"directory": "POOL_1"}}, True),
        ({"qualtrics": {}}, False),
        ({"qualtrix": {"directory": "POOL_1"}}, False),
        ("live", False),
    ],
)
def test_editors_know_the_sources(load, fits):
    action = {"id": "a", "slack_message": {"channel": "c", "text": "t"}}
    workflow = {
        "workflow": "w",
        "segment": "s",
        "changes": ["added"],
        "start": "2026-11-01",
        "load": load,
        "actions": [action],
    }
    validator = jsonschema.Draft202012Validator(definition_schema("workflow"))
    assert validator.is_valid(workflow) is fits


@pytest.mark.parametrize("load", ["live", "snapshot"])
def test_a_test_message_is_looked_at_in_airflow(segue, live, home, load):
    """The request is filed without a look at the contact: only a task could look it up."""
    Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test").engine.dispose()
    if load == "snapshot":
        live.write_text(LIVE.replace(LOAD, ""))
    answer = segue(
        *("send-test", "welcome", "--action", "mail", "--contact", "nobody"),
        *("--to", "me@example.com", "--no-wait"),
    )

    assert answer.code == (0 if load == "live" else 2)
    assert ("there is no contact 'nobody'" in answer.err) == (load == "snapshot")
