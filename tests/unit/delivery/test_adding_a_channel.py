"""The channel of docs/adding-a-channel.md: installed as a package would be, and sent through."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import installed as installed_packages
from segue.contracts import channel as channels
from segue.contracts.channel import Channel, channel_class, channel_names
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.documents import parse_document
from segue.errors import ContactFailure, OutcomeUnknown
from segue.sandbox.server import Sandbox
from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems
from tests.unit.channels.conftest import (  # noqa: F401 - fixtures
    running_sandbox,
    sandbox,
    set_connection,
)
from tests.unit.channels.support import KEY, deliver, http, vendor
from tests.unit.delivery.test_door import candidate, outcome, released

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-channel.md").read_text()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's module and its entry point, as an installed distribution."""
    groups = tomllib.loads(block("toml"))["project"]["entry-points"]
    lines = [f"[{group}]" for group in groups]
    lines += [f"{name} = {value}" for name, value in groups["segue.channels"].items()]
    information = tmp_path / "site" / "pager_alert-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pager-alert\nVersion: 1.0\n"
    )
    (information / "entry_points.txt").write_text("\n".join(lines))
    (information.parent / "pager_alert.py").write_text(block("python"))
    monkeypatch.syspath_prepend(information.parent)
    installed_packages.installed.cache_clear()
    yield
    installed_packages.installed.cache_clear()
    sys.modules.pop("pager_alert", None)


@pytest.fixture
def pager(installed, sandbox: Sandbox, set_connection) -> Channel:  # noqa: F811 - fixtures
    """The page's action, behind a connection to the sandbox."""
    extra = {"Authorization": "Bearer sandbox", "timeout": 10}
    set_connection("pager_default", conn_type="http", host=f"{sandbox.url}/http", extra=extra)
    action = parse_document(block("yaml"), "page").data
    return channel_class("pager_alert").model_validate(action["pager_alert"])


def alerts(sandbox: Sandbox) -> list[dict[str, str]]:  # noqa: F811 - a fixture's name
    return [json.loads(message.raw["body"]) for message in sandbox.messages(service="http")]


def test_it_is_a_channel_like_the_others(installed):
    assert "pager_alert" in channel_names()
    assert channel_class("pager_alert").name == "pager_alert"


def test_its_fields_and_templates_are_validated(installed, tmp_path):
    """The page's action is right; with a wrong severity and an unknown name it is not."""
    for folder in ("directories", "segments", "workflows"):
        (tmp_path / folder).mkdir()
    (tmp_path / "directories/d.yaml").write_text("directory: d\nsnapshots: .\n")
    segment = "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n"
    (tmp_path / "segments/s.yaml").write_text(segment)
    action = parse_document(block("yaml"), "page").data
    workflow = {"segment": "s", "changes": ["added"], "start": "2026-11-01"}
    for name, change in (("good", {}), ("bad", {"severity": "high", "summary": "{{ nobody }}"})):
        changed = {**action, "pager_alert": {**action["pager_alert"], **change}}
        data = {"workflow": name, **workflow, "actions": [changed]}
        (tmp_path / f"workflows/{name}.yaml").write_text(json.dumps(data))
    found = [(Path(item.file).stem, item.path) for item in find_problems(Catalog(tmp_path))]
    assert sorted(found) == [
        ("bad", "actions[0].pager_alert.severity"),
        ("bad", "actions[0].pager_alert.summary"),
    ]


@pytest.mark.parametrize("fault", [None, "reset_after_effect", "malformed_answer"])
def test_the_door_sends_it_once(ledger, pager, sandbox, fault):  # noqa: F811
    """Also where the answer is lost: it is looked up under its key."""
    [one] = released(ledger, "a")
    if fault:
        sandbox.fault("http", fault)
    for owner in ("one", "two"):
        door = Door(ledger, pager, Terms("welcome"), owner=owner)
        assert door.deliver([candidate(ledger, "a")]).is_complete
    assert outcome(ledger, "a") == "delivered"
    assert alerts(sandbox) == [
        {"summary": "a is at risk", "severity": "critical", "external_id": one.key}
    ]
    assert set(ledger.deliveries.rows([one.key])[one.key].results) == {"id", "url"}


def test_its_errors_are_those_the_page_names(pager, set_connection):  # noqa: F811
    """A refusal is of the contact and shows its code; an answer of another shape is unknown."""
    answers = {
        http("422 X", '{"error": {"code": "too_loud"}}'): ContactFailure,
        http("201 Created", '{"id": 7}'): OutcomeUnknown,
    }
    for answer, expected in answers.items():
        with vendor(answer) as url, pytest.raises(expected):
            set_connection("pager_default", conn_type="http", host=url)
            deliver(pager, key=KEY)


def test_every_error_in_the_pages_table_is_one_that_the_door_knows():
    from segue import errors

    named = re.findall(r"(?m)^\| `(\w+)` \|", PAGE)
    assert {"ContactFailure", "NoAddress", "OptedOut", "OutcomeUnknown"} <= set(named)
    assert all(hasattr(errors, name) or hasattr(channels, name) for name in named)
