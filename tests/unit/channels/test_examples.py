"""What docs/channels.md shows of each channel: its example is sent, its limits are looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from segue.contracts.channel import BUILT_IN, Channel, channel_class
from segue.documents import parse_document
from segue.sandbox.server import Sandbox
from tests.channels.case import Servers
from tests.channels.cases import CASES
from tests.unit.channels.support import KEY, deliver, variables

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "channels.md").read_text()
TEMPLATES = {"templates": ROOT / "include" / "templates"}
UNITS = {1: "second", 60: "minute", 3600: "hour"}


def section(heading: str) -> str:
    found = re.search(rf"(?ms)^## {heading}$(.*?)(?=^## |\Z)", PAGE)
    assert found, heading
    return found[1]


def examples(name: str) -> list[Mapping[str, Any]]:
    """Return the fields of every action of this channel in the YAML of its section."""
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```$", section(name))
    data = [parse_document(block, name).data for block in blocks]
    actions = [action for one in data for action in one.get("actions", [one])]
    return [action[name] for action in actions if name in action]


def connected(name: str, fields: Mapping[str, Any], sandbox: Sandbox, monkeypatch) -> Channel:
    """Return the channel of an example, whose connection leads to the sandbox."""
    channel = channel_class(name).model_validate(dict(fields), context=TEMPLATES)
    servers = Servers(sandbox.url, sandbox.host, sandbox.smtp_port)
    variable = f"AIRFLOW_CONN_{channel.connection.upper()}"
    monkeypatch.setenv(variable, CASES[name].connection_json(servers))
    return channel


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_example_of_a_channel_is_sent(name, sandbox: Sandbox, monkeypatch):
    """The server has one message more, with the delivery's mark in it."""
    case, shown = CASES[name], examples(name)
    assert shown, f"docs/channels.md has no example of {name}"
    for fields in shown:
        sandbox.clear()
        deliver(connected(name, fields, sandbox, monkeypatch))
        [message] = sandbox.messages(service=case.service)
        mark = case.mark_of(KEY, "c-1")
        # every API has a place of its own for it
        assert case.marks_in(message) == [mark] or (name == "http_request" and mark in str(message))


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_limits_that_a_channel_counts_by_are_listed(name, sandbox: Sandbox, monkeypatch):
    """In the table of limits: ``300 a minute`` and so on, or ``none``."""
    found = set()
    for fields in examples(name):
        channel = connected(name, fields, sandbox, monkeypatch)
        with channel.connect() as sender:
            limits = sender.limits(channel.render(variables()))
        found |= {f"{limit.count} a {UNITS[int(limit.seconds)]}" for limit in limits}
    rows = re.search(rf"(?m)^\| `{name}` \|.*$(\n\| \|.*$)*", section("Limits"))
    assert rows is not None, f"docs/channels.md has no limit of {name}"
    listed = [line.split("|")[2].partition(",")[0].strip() for line in rows[0].splitlines()]
    assert found <= set(listed)
    assert listed[0] in (found or {"none"})
