"""The door and a real HTTP API: what becomes of a call whose answer was lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from segue.channels.http.request import HttpRequest
from segue.clock import Clock
from segue.delivery.calls import Pass
from segue.delivery.door import Door
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Terms
from segue.ledger import Ledger
from segue.ledger.states import State
from segue.sandbox.server import Sandbox
from segue.workflows.definition import Policies
from tests.unit.channels.conftest import (  # noqa: F401 - fixtures
    running_sandbox,
    sandbox,
    set_connection,
)
from tests.unit.channels.support import http, vendor
from tests.unit.delivery.test_door import candidate, outcome, released

# An hour beyond what a lease and the longest call take.
LATER = LEASE + timedelta(seconds=HttpRequest.longest_call) + timedelta(hours=1)


def note(path: str = "/notes", **fields: object) -> HttpRequest:
    return HttpRequest.model_validate(
        {
            "connection": "crm",
            "path": path,
            "json": {"external_id": "{{ key }}", "text": "{{ contact.first_name }}"},
            "results": {"id": "id", "url": "links.self"},
            **fields,
        }
    )


def askable(path: str = "/notes") -> HttpRequest:
    return note(
        path,
        look_up={
            "path": path,
            "query": {"external_id": "{{ key }}"},
            "found": "items[?external_id == key()]",
            "results": {"id": "id", "url": "links.self"},
        },
    )


def deliver(
    ledger: Ledger,
    through: HttpRequest,
    owner: str = "one",
    after: timedelta = timedelta(0),
    **policies: object,
) -> Pass:
    """Pass contact ``a`` through the door, some time from now."""
    terms = Terms("welcome", Policies.model_validate(policies))
    clock = Clock(now=lambda: datetime.now(UTC) + after, sleep=lambda _: None)
    door = Door(ledger, through, terms, owner=owner, clock=clock)
    return door.deliver([candidate(ledger, "a")])


def row(ledger: Ledger):
    [candidate_] = [candidate(ledger, "a")]
    return ledger.deliveries.rows([candidate_.key])[candidate_.key]


def bodies(sandbox: Sandbox) -> list[str]:  # noqa: F811 - a fixture's name
    return [message.fields["fields"]["text"] for message in sandbox.messages(service="http")]


def test_a_request_goes_out_once_under_its_key(ledger, sandbox):  # noqa: F811
    """Three passes: one call, with the delivery's key in the header and in the body."""
    [one] = released(ledger, "a")
    for owner in ("one", "two", "three"):
        assert deliver(ledger, askable(), owner).is_complete
    [received] = sandbox.messages(service="http")
    assert received.fields["idempotency_key"] == one.key
    assert received.fields["fields"] == {"external_id": one.key, "text": "name of a"}
    assert row(ledger).results["url"].startswith(f"{sandbox.url}/http/notes/")


@pytest.mark.parametrize("fault", ["reset_after_effect", "reset_mid_answer"])
def test_a_lost_answer_is_looked_up_at_once(ledger, sandbox, fault):  # noqa: F811
    """Delivered in the same pass, with the results that the answer would have given."""
    released(ledger, "a")
    sandbox.fault("http", fault)
    deliver(ledger, askable())
    assert outcome(ledger, "a") == "delivered"
    assert set(row(ledger).results) == {"id", "url"}
    assert bodies(sandbox) == ["name of a"]


def test_a_call_that_never_arrived_is_sent_once_that_is_sure(ledger, sandbox):  # noqa: F811
    """In doubt until lease and longest call are over, then looked up, absent, and sent."""
    released(ledger, "a")
    sandbox.fault("http", "reset")
    assert deliver(ledger, askable()).standing == {State.SENDING: 1}
    assert deliver(ledger, askable(), "two").standing == {State.SENDING: 1}
    assert bodies(sandbox) == []
    deliver(ledger, askable(), "three", LATER)
    assert outcome(ledger, "a") == "delivered"
    assert bodies(sandbox) == ["name of a"]


def test_a_call_in_doubt_is_looked_up_where_it_was_made(ledger, sandbox):  # noqa: F811
    """The action has moved to another path since; asking there would find nothing."""
    released(ledger, "a")
    sandbox.fault("http", "reset_after_effect")
    sandbox.fault("http", "server_error")  # so it cannot be asked at once
    assert deliver(ledger, askable()).standing == {State.SENDING: 1}
    deliver(ledger, askable("/tasks"), "two", LATER)
    assert outcome(ledger, "a") == "delivered"
    assert bodies(sandbox) == ["name of a"]


def test_without_a_look_up_a_lost_answer_is_uncertain(ledger, sandbox):  # noqa: F811
    """And nothing is sent again, however often the task is retried."""
    released(ledger, "a")
    sandbox.fault("http", "reset_after_effect")
    assert deliver(ledger, note()).outcomes == {State.UNCERTAIN: 1}
    deliver(ledger, note(), "two", LATER)
    assert outcome(ledger, "a").startswith("uncertain:the answer of crm was lost")
    assert bodies(sandbox) == ["name of a"]


def test_an_api_that_honours_the_key_may_be_called_again(ledger, sandbox):  # noqa: F811
    """``on_uncertain: resend`` repeats the call under its key; the API gives its first answer."""
    released(ledger, "a")
    sandbox.fault("http", "reset_after_effect")
    deliver(ledger, note(), on_uncertain="resend")
    deliver(ledger, note(), "two", on_uncertain="resend")
    assert outcome(ledger, "a") == "delivered"
    assert set(row(ledger).results) == {"id", "url"}
    assert bodies(sandbox) == ["name of a"]


def test_a_look_up_taken_out_leaves_calls_in_doubt_uncertain(ledger, sandbox):  # noqa: F811
    """Whether a channel can be asked depends on how the action is written now."""
    released(ledger, "a")
    sandbox.fault("http", "reset")
    assert deliver(ledger, askable()).standing == {State.SENDING: 1}
    deliver(ledger, note(), "two", LATER)
    assert outcome(ledger, "a").startswith("uncertain")
    assert bodies(sandbox) == []


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_look_up_that_is_refused_stops_nobody_else(ledger, status):
    """An API may say 404 of a key that it does not know, and of a path that is wrong."""

    def answer(request: str) -> bytes:
        if request.startswith("GET"):
            return http(f"{status} Refused")
        return http("200 OK", "{}") if "name of b" in request else b""

    ids = {each.contact_id: each for each in released(ledger, "a", "b")}
    terms = Terms("welcome")
    with vendor(answer) as url, pytest.MonkeyPatch.context() as patch:
        connection = json.dumps({"conn_type": "http", "host": url})
        patch.setenv("AIRFLOW_CONN_CRM", connection)
        for owner, after in (("one", timedelta(0)), ("two", LATER)):
            clock = Clock(now=lambda after=after: datetime.now(UTC) + after, sleep=lambda _: None)
            who = [ids["a"]] if owner == "one" else list(ids.values())
            result = Door(ledger, askable(), terms, owner=owner, clock=clock).deliver(who)
    assert outcome(ledger, "b") == "delivered"
    assert outcome(ledger, "a").startswith("uncertain" if status == 403 else "sending")
    assert result.connection is None


@pytest.mark.parametrize("id", ["a\\u0000b", "a\\ud83db"])
def test_what_no_database_keeps_of_an_answer_stops_nobody(ledger, id):
    """NUL and half of a surrogate pair, which JSON brings, in what is written down of it."""
    candidates = released(ledger, "a", "b")
    answer = http("200 OK", f'{{"id": "{id}", "links": {{"self": "{id}"}}}}')
    with vendor(answer) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "http", "host": url}))
        Door(ledger, note(), Terms("welcome"), owner="one").deliver(candidates)
    assert [outcome(ledger, each) for each in ("a", "b")] == ["delivered"] * 2
    assert row(ledger).results == {"id": "a?b", "url": "a?b"}


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_an_answer_with_two_lengths_was_an_answer(ledger):
    """A header of the answer that cannot be does not mean that nothing was sent."""
    released(ledger, "a")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}"
    with vendor(answer) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "http", "host": url}))
        assert deliver(ledger, note()).outcomes == {State.UNCERTAIN: 1}
    assert outcome(ledger, "a") == "uncertain:the answer of crm was lost: InvalidHeader"
