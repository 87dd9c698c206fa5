"""What every channel does alike, held against the case of each: arriving, failing, being asked.

What a single vendor does in its own way is in the tests of its channel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from segue.clock import Clock as DoorClock
from segue.contracts.channel import Audience, Channel, PartlyFound, Receipt, Sender, channel_class
from segue.delivery.calls import Pass
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.ledger import Ledger
from segue.ledger.states import State
from segue.sandbox.server import Sandbox
from tests.channels import people
from tests.channels.case import ChannelCase, Sent, Servers
from tests.channels.cases import CASES
from tests.unit.builders import NOW, added, detected, record, run, stretch
from tests.unit.channels.support import (
    KEY,
    OTHER_KEY,
    closed_port,
    deliver,
    http,
    mail_server,
    messages_of,
    variables,
    vendor,
)
from tests.unit.delivery.test_door import Clock

Question = Callable[..., Mapping[str, Receipt]]

TEMPLATES = {"templates": Path(__file__).parents[3] / "include/templates"}
ASKED = [name for name, case in CASES.items() if case.can_be_asked]
NOT_ASKED = [name for name in CASES if name not in ASKED]
NEVER_ASKED_OVER_HTTP = [name for name in NOT_ASKED if CASES[name].service != "smtp"]
TO_THE_CONTACT = {"email", "survey_invitation"}  # where the action does not say whom it is for
AUDIENCES = [name for name in CASES if "audience" in CASES[name].action.fields]
LOST_IN_THE_ANSWER = ("reset_mid_answer", "malformed_answer")
UNREAD = {  # nothing in these answers matters
    *(("teams_message", fault) for fault in LOST_IN_THE_ANSWER),
    ("qualtrics_contact", "malformed_answer"),
    ("http_request", "malformed_answer"),  # results are left out where they cannot be read
}
LOSSES = [
    (name, fault)
    for name, case in CASES.items()
    for fault in ("reset_after_effect", *(LOST_IN_THE_ANSWER if case.service != "smtp" else ()))
    if (name, fault) not in UNREAD
]
FAILED_QUESTIONS = [
    *((name, fault) for name in ASKED for fault in ("server_error", "reset", *LOST_IN_THE_ANSWER)),
    ("slack_message", "time_out_after_effect"),  # asked by POST
    ("qualtrics_ticket", "time_out_after_effect"),
]
ASKED_AGAIN = {"slack_message", "qualtrics_contact"}  # where an answer makes no sense
ARRIVALS = [
    (name, action, kind)
    for name, case in CASES.items()
    for action in case.actions
    for kind in (people.PLAIN, *people.HOSTILE_KINDS)
]


def channel(name: str, fields: Mapping[str, Any] | None = None) -> Channel:
    """Return the channel of a case's short action, or of other fields."""
    written = dict(fields or CASES[name].short)
    return channel_class(name).model_validate(written, context=TEMPLATES)


def led_to(monkeypatch, case: ChannelCase, url: str, port: int = 25, **extra: Any) -> None:
    """Point the case's connection at another server: of HTTP, or a port of its host for mail."""
    host = url.rpartition("/")[2].partition(":")[0]
    connection = case.connection_json(Servers(url, host, port), timeout=10, **extra)
    monkeypatch.setenv(case.connection_variable, connection)


def question(name: str, *keys: str) -> Question:
    """Return the question that the door puts after a crash, about calls that began since then."""
    asking = channel(name)
    traces = {key: trace(asking, key) for key in keys}

    def put(since: datetime | None = None) -> Mapping[str, Receipt]:
        with asking.connect() as sender:
            return sender.find(traces, since or datetime.now(UTC))

    return put


def every_call(name: str) -> list[Callable[[], object]]:
    """Return what calls the vendor: sending, and asking where there is somebody to ask."""
    return [lambda: send(name), *([question(name, KEY)] if CASES[name].can_be_asked else [])]


def trace(asking: Channel, key: str) -> Mapping[str, str]:
    with asking.connect() as sender:
        return asking.trace(complete(asking, sender, key))


def complete(of: Channel, sender: Sender, key: str) -> Mapping[str, Any]:
    """Return the message of a key, with what the vendor has to be asked for."""
    message: Mapping[str, Any] = of.render({**variables(contact_id=contact_of(key)), "key": key})
    return sender.complete(message) if sender.lacks(message) else message


def contact_of(key: str) -> str:
    return f"c-{key[:4]}"


def send(name: str, key: str = KEY) -> Receipt:
    return deliver(channel(name), key=key, contact_id=contact_of(key))


def mark(name: str, key: str = KEY) -> str:
    """Return what names a delivery in the request that has the effect, and in no other."""
    return CASES[name].mark_of(key, contact_of(key))


# ---- what arrives -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "action", "kind"), ARRIVALS)
def test_an_action_arrives_field_by_field(sandbox: Sandbox, name: str, action: str, kind: str):
    """Whatever a contact wrote; or the contact fails, with the reason that the case has."""
    case = CASES[name]
    written = case.actions[action]
    contact = people.contact(name, kind, case.contacts.get(kind, {}))
    if kind in written.outcomes:
        with pytest.raises(ContactFailure) as raised:
            deliver(channel(name, written.fields), **contact)
        assert written.outcomes[kind] == f"failed({raised.value})"
        assert sandbox.messages() == []
        return
    receipt = deliver(channel(name, written.fields), **contact)
    [message] = sandbox.messages(service=case.service)
    assert case.received(message) == written.expected(Sent(contact, KEY, sandbox.url))
    assert case.marks_in(message) == [case.mark_of(KEY, contact["contact_id"])]
    if action == "main":
        assert receipt == Receipt(**case.receipt(message, sandbox.url))


@pytest.mark.parametrize("name", CASES)
def test_what_the_server_refuses_is_of_the_contact(sandbox: Sandbox, name: str):
    case = CASES[name]
    contact = people.contact(name, people.REFUSED, case.contacts[people.REFUSED])
    with pytest.raises((ContactFailure, UnprovenRefusal)) as raised:
        deliver(channel(name, case.action.fields), **contact)
    answer = getattr(raised.value, "answer", raised.value)
    assert case.refused == f"failed({answer})"
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", CASES)
def test_whom_it_is_for_where_the_action_does_not_say(name: str):
    assert channel(name).addressed_to == ("contact" if name in TO_THE_CONTACT else "team")


@pytest.mark.parametrize("name", AUDIENCES)
@pytest.mark.parametrize("audience", Audience)
def test_an_action_may_say_whom_it_is_for(name: str, audience: Audience):
    fields = {**CASES[name].action.fields, "audience": audience.value}
    assert channel(name, fields).addressed_to is audience


# ---- servers that refuse, are unwell or are not there -----------------------------------------


def with_a_wrong_secret(case: ChannelCase, sandbox: Sandbox) -> str:
    servers = Servers(sandbox.url, sandbox.host, sandbox.smtp_port)
    fields = json.loads(case.connection_json(servers))
    holder = fields["extra"] if case.secret in fields["extra"] else fields
    holder[case.secret] = holder.get(case.secret, "")[:-1] + "_"
    return json.dumps({"login": "segue", **fields} if case.service == "smtp" else fields)


@pytest.mark.parametrize("name", CASES)
def test_wrong_credentials_are_of_the_connection(sandbox: Sandbox, monkeypatch, name: str):
    case, calls = CASES[name], every_call(name)
    monkeypatch.setenv(case.connection_variable, with_a_wrong_secret(case, sandbox))
    for call in calls:
        with pytest.raises(ConnectionFailure, match=case.refusals["unauthorized"]):
            call()
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", CASES)
def test_credentials_that_have_expired_are_of_the_connection(sandbox: Sandbox, name: str):
    calls = every_call(name)
    sandbox.fault(CASES[name].service, "unauthorized", times=len(calls))
    for call in calls:
        with pytest.raises(ConnectionFailure):
            call()
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", CASES)
def test_a_storm_of_429_is_transient_and_never_loses_its_retry_after(sandbox: Sandbox, name: str):
    case, calls = CASES[name], 3 * every_call(name)
    sandbox.fault(case.service, "rate_limited", retry_after=9, times=len(calls))
    for call in calls:
        with pytest.raises(TransientFailure, match=case.refusals["rate_limited"]) as raised:
            call()
        assert raised.value.retry_after == (9 if case.says_when else None)
    assert sandbox.messages() == []
    send(name)
    assert len(sandbox.messages()) == 1


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_is_unwell_is_transient(sandbox: Sandbox, name: str):
    case = CASES[name]
    sandbox.fault(case.service, "server_error", match=mark(name))
    with pytest.raises(TransientFailure, match=case.refusals["server_error"]):
        send(name)
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", ASKED)
def test_a_stumble_after_the_effect_is_unknown_where_it_can_be_asked(sandbox: Sandbox, name: str):
    sandbox.fault(CASES[name].service, "bad_gateway_after_effect", match=mark(name))
    with pytest.raises(OutcomeUnknown, match="502"):
        send(name)
    assert set(question(name, KEY)()) == {KEY}


@pytest.mark.parametrize("name", NEVER_ASKED_OVER_HTTP)
@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway"])
def test_a_stumble_is_transient_where_nobody_can_be_asked(monkeypatch, name: str, status: str):
    """Doubt would need a person each time."""
    with vendor(http(status)) as url:
        led_to(monkeypatch, CASES[name], url)
        with pytest.raises(TransientFailure, match=status[:3]):
            send(name)


@pytest.mark.parametrize("name", CASES)
def test_a_refused_connection_is_transient(sandbox: Sandbox, monkeypatch, name: str):
    calls, port = every_call(name), closed_port()
    led_to(monkeypatch, CASES[name], f"http://127.0.0.1:{port}", port)
    for call in calls:
        with pytest.raises(TransientFailure, match="nothing was sent"):
            call()


@pytest.mark.parametrize("name", CASES)
def test_an_unknown_host_is_of_the_connection(sandbox: Sandbox, monkeypatch, name: str):
    calls = every_call(name)
    led_to(monkeypatch, CASES[name], "http://nobody.invalid")
    for call in calls:
        with pytest.raises(ConnectionFailure, match=r"host .*is unknown"):
            call()


@contextmanager
def served_without_tls(monkeypatch, case: ChannelCase) -> Iterator[None]:
    """Lead the connection, which wants TLS, to a server that speaks plainly."""
    if case.service == "smtp":
        with mail_server() as port:
            led_to(monkeypatch, case, "http://127.0.0.1", port, disable_ssl=False)
            yield
    else:
        with vendor(http("200 OK", "{}"), reads=False) as url:
            led_to(monkeypatch, case, url.replace("http:", "https:"))
            yield


@pytest.mark.parametrize("name", CASES)
def test_a_server_without_tls_is_of_the_connection(sandbox: Sandbox, monkeypatch, name: str):
    with (
        served_without_tls(monkeypatch, CASES[name]),
        pytest.raises(ConnectionFailure, match="no secure connection"),
    ):
        send(name)


@pytest.mark.parametrize("name", CASES)
def test_a_connection_that_does_not_exist_is_of_the_connection(name: str):
    fields = {**CASES[name].short, "connection": "absent"}
    with pytest.raises(ConnectionFailure, match="'absent'"):
        channel(name, fields).connect()


# ---- answers that were lost -------------------------------------------------------------------


@pytest.mark.parametrize(("name", "fault"), LOSSES)
def test_a_message_whose_answer_was_lost_is_unknown_and_then_found(
    sandbox: Sandbox, name: str, fault: str
):
    case = CASES[name]
    sandbox.fault(case.service, fault, match=mark(name))
    with pytest.raises(OutcomeUnknown):
        send(name)
    [message] = messages_of(sandbox, case.service)
    if case.can_be_asked:
        assert question(name, KEY)() == {KEY: Receipt(**case.receipt(message, sandbox.url))}


@pytest.mark.parametrize("fault", ["time_out_after_effect"])
def test_messages_whose_answers_are_late_are_unknown_and_then_found(
    sandbox: Sandbox, be_patient, fault: str
):
    """All channels wait at once: each gives up after the same seconds."""
    keys = {name: f"{number:04}" * 16 for number, name in enumerate(CASES)}
    for name, key in keys.items():
        sandbox.fault(CASES[name].service, fault, match=mark(name, key))
    with ExitStack() as senders, ThreadPoolExecutor(len(keys)) as pool:
        calls = {}
        for name, key in keys.items():
            sender = senders.enter_context(channel(name).connect())
            message = complete(channel(name), sender, key)
            calls[name] = partial(sender.send, message, key=key)
        failures = {name: pool.submit(call) for name, call in calls.items()}
        kinds = {name: type(failure.exception()) for name, failure in failures.items()}
    assert kinds == dict.fromkeys(keys, OutcomeUnknown)
    be_patient()
    for name, key in keys.items():
        service = CASES[name].service
        others = [one for one in CASES.values() if one.service == service]
        received = messages_of(sandbox, service, len(others))
        [message] = [one for one in received if mark(name, key) in CASES[name].marks_in(one)]
        if name in ASKED:
            receipt = Receipt(**CASES[name].receipt(message, sandbox.url))
            assert question(name, key)() == {key: receipt}


@pytest.mark.parametrize("name", CASES)
def test_a_message_that_never_arrived_is_unknown_and_not_found(sandbox: Sandbox, name: str):
    """Nor is that of another delivery taken for it."""
    case = CASES[name]
    send(name, OTHER_KEY)
    sandbox.fault(case.service, "reset", match=mark(name))
    with pytest.raises(OutcomeUnknown):
        send(name)
    assert len(sandbox.messages()) == 1
    if case.can_be_asked:
        with nothing_more_if_it_can_be_denied(case, {}):
            assert question(name, KEY)() == {}


@pytest.mark.parametrize("name", ASKED)
def test_each_message_is_found_with_the_receipt_of_its_sending(sandbox: Sandbox, name: str):
    receipts = {key: send(name, key) for key in (KEY, "a" * 64, "b" * 64)}
    asked_for = {key: receipts[key] for key in (KEY, "a" * 64)}
    assert question(name, *asked_for)() == asked_for
    with nothing_more_if_it_can_be_denied(CASES[name], asked_for):
        assert question(name, *asked_for, OTHER_KEY)() == asked_for


@contextmanager
def nothing_more_if_it_can_be_denied(case: ChannelCase, found: Mapping[str, Receipt]):
    """Expect that a vendor who does not show everything leaves the others open."""
    if case.can_deny:
        yield
        return
    with pytest.raises(PartlyFound) as raised:
        yield
    assert raised.value.found == found


@pytest.mark.parametrize(("name", "fault"), FAILED_QUESTIONS)
def test_a_question_that_fails_in_passing_is_transient(sandbox: Sandbox, name: str, fault: str):
    asking = question(name, KEY)
    sandbox.fault(CASES[name].service, fault)
    with pytest.raises(TransientFailure):
        asking()


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("body", ["[]", "{}", "null", "7", '"x"'])
def test_an_answer_that_does_not_tell_is_never_a_no(
    sandbox: Sandbox, monkeypatch, name: str, body: str
):
    asking = question(name, KEY)
    with vendor(http("200 OK", body)) as url:
        led_to(monkeypatch, CASES[name], url)
        with pytest.raises(TransientFailure if name in ASKED_AGAIN else OutcomeUnknown):
            asking()


@pytest.mark.parametrize("name", ASKED)
def test_a_call_of_months_ago_cannot_be_told(sandbox: Sandbox, name: str):
    send(name)
    with pytest.raises(OutcomeUnknown, match="80 days"):
        question(name, KEY)(datetime.now(UTC) - timedelta(days=81))


@pytest.mark.parametrize("name", NOT_ASKED)
def test_what_cannot_be_asked_leaves_nothing_to_look_for(sandbox: Sandbox, name: str):
    assert trace(channel(name), KEY) == {}
    with channel(name).connect() as sender, pytest.raises(OutcomeUnknown, match="no way to ask"):
        sender.find({KEY: {}}, datetime.now(UTC))


# ---- refusals of which nobody can tell whose they are -----------------------------------------

MANY = 12  # contacts


def refused_like(name: str) -> str:
    """Return how the ledger says of one contact what the sandbox refuses with ``forbidden``."""
    return "554 5.7.1" if CASES[name].service == "smtp" else "answered 403"


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_one_refusal_among_others_is_the_contacts(sandbox: Sandbox, ledger: Ledger, name: str):
    """A firewall that dislikes a name, a person whom the API may not write to."""
    candidates = released(ledger, name, MANY)
    refused = candidates[MANY // 2]
    sandbox.fault(
        CASES[name].service,
        "forbidden",
        match=CASES[name].mark_of(refused.key, refused.contact_id),
        times=1_000,
    )
    result = pass_through(ledger, name, candidates)
    outcomes = outcomes_by_contact(ledger)
    outcome, _, reason = outcomes.pop(refused.contact_id).partition(":")
    assert outcome == "failed"
    assert refused_like(name) in reason
    assert set(outcomes.values()) == {"delivered:"}
    assert result.connection is None
    assert len(messages_of(sandbox, CASES[name].service, MANY - 1)) == MANY - 1


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_a_refusal_of_everybody_is_the_connections_until_it_is_mended(
    sandbox: Sandbox, ledger: Ledger, name: str
):
    """Nobody fails for good, the server is not asked for all of them, and each is sent once."""
    candidates = released(ledger, name, MANY)
    sandbox.fault(CASES[name].service, "forbidden", times=1_000)
    result = pass_through(ledger, name, candidates)
    assert result.standing == {State.RELEASED: MANY}
    assert result.connection is not None
    assert refused_like(name) in result.connection
    assert "check" in result.connection
    assert 1_000 - sandbox.faults.pending()[0].times < MANY
    assert sandbox.messages() == []

    sandbox.faults.clear()
    result = pass_through(ledger, name, candidates, "next")
    assert result.standing == {State.DELIVERED: MANY}
    assert len(messages_of(sandbox, CASES[name].service, MANY)) == MANY


def released(ledger: Ledger, name: str, count: int) -> list[Candidate]:
    """Return candidates whose deliveries the guard has released."""
    ids = [f"c-{number:04}" for number in range(count)]
    spans = record(ledger, run(), detected(stretch(21, 22), added(*ids)))
    ledger.runs.release(spans, NOW)
    return [
        Candidate(
            key=ledger.key("welcome", "mail", contact_id, "added", "2026-11-22"),
            contact_id=contact_id,
            change="added",
            snapshot="2026-11-22",
            fields=dict(variables(contact_id=contact_id)["contact"]),
            opted_in=True,
        )
        for contact_id in ids
    ]


def pass_through(
    ledger: Ledger, name: str, candidates: Sequence[Candidate], owner: str = "me"
) -> Pass:
    """Take candidates through the door, with a clock that only moves while the door sleeps."""
    clock = Clock()
    door = Door(
        ledger,
        channel(name),
        Terms("welcome"),
        owner=owner,
        clock=DoorClock(clock, clock.sleep),
    )
    return door.deliver(candidates)


def outcomes_by_contact(ledger: Ledger) -> dict[str, str]:
    rows = ledger.queries.list_deliveries()
    return {row.contact_id: f"{row.outcome}:{row.reason}" for row in rows}
