"""Every connection is tried once, for all who share it, and what goes wrong hides nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from segue.contracts.channel import Channel, Finding, Receipt, Sender, Tried
from segue.errors import ConnectionFailure, DefinitionError, Problem, TransientFailure
from segue.upkeep.connection_checks import carry_out_check, check_connections
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.upkeep.test_tester_messages import DEFINITIONS


class Line(Channel):
    """A channel whose connection is tried as its name says."""

    name: ClassVar[str] = "line"
    number: str = "1"

    tried: ClassVar[list[tuple[str, frozenset[str]]]] = []

    @property
    def needs(self):
        return {self.number}

    def connect(self) -> Sender:
        if self.connection == "absent":
            raise ConnectionFailure("there is no 'absent'")
        return LineSender(self.connection)


class LineSender(Sender):
    def __init__(self, connection: str) -> None:
        self.connection = connection

    def send(self, message, *, key) -> Receipt:
        raise AssertionError("nothing is sent")

    def check(self, needs) -> Finding:
        Line.tried.append((self.connection, needs))
        if self.connection == "busy":
            raise TransientFailure("busy")
        if self.connection == "broken":
            raise KeyError(self.connection + "-secret")
        return Finding(Tried.LIMITED if self.connection == "lame" else Tried.OK, "well")


class Mute(Line):
    """A channel that cannot be tried."""

    name: ClassVar[str] = "mute"

    def connect(self) -> Sender:
        sender = LineSender(self.connection)
        sender.check = lambda needs: Sender.check(sender, needs)  # type: ignore[method-assign]
        return sender


@pytest.fixture
def workflow(tmp_path):
    for name, text in DEFINITIONS.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = Catalog(tmp_path).resolve("welcome")
    Line.tried.clear()

    def using(*channels: Channel) -> ResolvedWorkflow:
        named = {f"a{number}": channel for number, channel in enumerate(channels)}
        return ResolvedWorkflow(found.definition, found.segment, found.directory, named)

    return using


def line(connection: str, number: str = "1") -> Line:
    return Line.model_validate({"connection": connection, "number": number})


def test_a_connection_is_tried_once_for_all_who_share_it(workflow):
    [found] = check_connections(
        [workflow(line("one"), line("one", "2")), workflow(line("one", "3"))]
    )
    assert Line.tried == [("one", {"1", "2", "3"})]
    assert (found.connection, found.channel, found.result) == ("one", "line", "ok")
    assert found.used_by == ["welcome.a0", "welcome.a0", "welcome.a1"]


def test_a_connection_of_two_channels_is_tried_as_each(workflow):
    mute = Mute.model_validate({"connection": "one"})
    found = check_connections([workflow(line("one"), mute)])
    assert [(each.channel, each.result) for each in found] == [("line", "ok"), ("mute", "untried")]
    assert found[1].detail == "it opens, and cannot be tried without sending"


def test_what_goes_wrong_with_one_hides_no_other(workflow, caplog):
    names = ("absent", "broken", "busy", "fine", "lame")
    found = check_connections([workflow(*map(line, names))])
    assert {each.connection: (each.result, each.detail) for each in found} == {
        "absent": ("failed", "there is no 'absent'"),
        "broken": ("failed", "a defect in the channel: KeyError"),
        "busy": ("failed", "busy"),
        "fine": ("ok", "well"),
        "lame": ("limited", "well"),
    }
    assert "KeyError in the channel at" in caplog.text
    assert "broken-secret" not in caplog.text


@pytest.mark.parametrize(
    ("names", "result", "words"),
    [
        (["fine", "lame"], "ok", "1 ok, 1 limited"),
        (["busy", "fine"], "failed", "1 ok, 1 failed"),
        ([], "ok", "no connection"),
    ],
)
def test_what_was_found_is_kept_with_the_request(workflow, ledger, names, result, words):
    number = ledger.people.file_check([], "ann", datetime.now(UTC))
    [request] = ledger.people.open_trials()
    resolved = workflow(*map(line, names))
    said = carry_out_check(request, ["welcome"], lambda name: resolved, ledger, owner="w")
    done = ledger.people.find_request(number)
    assert (said, done.outcome, done.result) == (words, words, result)
    assert [row["connection"] for row in done.found] == names


def test_a_definition_that_is_wrong_is_found_too(workflow, ledger):
    number = ledger.people.file_check([], "ann", datetime.now(UTC))
    [request] = ledger.people.open_trials()

    def resolve(name):
        if name == "wrong":
            raise DefinitionError([Problem("f", 1, 1, "", "the key 'start' is missing")])
        return workflow(line("fine"))

    carry_out_check(request, ["wrong", "right"], resolve, ledger, owner="w")
    first, second = ledger.people.find_request(number).found
    assert (first["result"], first["used_by"]) == ("failed", ["wrong"])
    assert first["detail"].endswith("see segue validate: the key 'start' is missing")
    assert second["result"] == "ok"
