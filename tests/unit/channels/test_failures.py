"""What each channel over HTTP makes of a vendor that fails, when it sends and when it asks."""

from __future__ import annotations

import pytest

from segue.channels.http.request import HttpRequest
from segue.channels.slack.message import SlackMessage
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.jira_issue import JiraIssue
from segue.channels.tickets.servicenow_record import ServiceNowRecord
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.delivery.channel import Channel
from segue.errors import ConnectionFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import KEY, OTHER_KEY, deliver, find, messages_of, variables

CHANNELS: dict[str, Channel] = {
    "slack": SlackMessage.model_validate({"channel": "#alerts", "text": "hello"}),
    "zendesk": ZendeskTicket.model_validate({"subject": "s", "comment": "c"}),
    "freshdesk": FreshdeskTicket.model_validate(
        {"email": "team@example.com", "subject": "s", "description": "d"}
    ),
    "jira": JiraIssue.model_validate({"project": "SEG", "summary": "s"}),
    "servicenow": ServiceNowRecord.model_validate({"short_description": "s"}),
    "http": HttpRequest.model_validate(
        {
            "connection": "crm",
            "path": "/notes",
            "results": {"id": "id"},
            "look_up": {
                "path": "/notes",
                "query": {"idempotency_key": "{{ key }}"},
                "found": "length(items) > `0`",
                "results": {"id": "items[0].id"},
            },
        }
    ),
}
ANYWHERE = "http://nobody.invalid/"
LOST_AFTER_EFFECT = (
    "reset_after_effect",
    "reset_mid_answer",
    "malformed_answer",
    "time_out_after_effect",
    "bad_gateway_after_effect",
)


def sent(vendor: str) -> tuple[str, dict[str, object]]:
    return KEY, CHANNELS[vendor].render(variables())


@pytest.mark.parametrize("vendor", CHANNELS)
@pytest.mark.parametrize("fault", LOST_AFTER_EFFECT)
def test_a_message_whose_answer_was_lost_is_unknown_and_then_found(
    sandbox: Sandbox, be_patient, vendor: str, fault: str
):
    sandbox.fault(vendor, fault)
    with pytest.raises(OutcomeUnknown):
        deliver(CHANNELS[vendor])
    be_patient()
    assert len(messages_of(sandbox, vendor)) == 1
    found = find(CHANNELS[vendor], sent(vendor))
    assert set(found) == {KEY}
    assert found[KEY].external_id


@pytest.mark.parametrize("vendor", CHANNELS)
def test_what_is_found_is_the_receipt_of_the_sending(sandbox: Sandbox, vendor: str):
    receipt = deliver(CHANNELS[vendor])
    assert find(CHANNELS[vendor], sent(vendor)) == {KEY: receipt}


@pytest.mark.parametrize("vendor", CHANNELS)
def test_a_message_that_never_arrived_is_left_out(sandbox: Sandbox, vendor: str):
    deliver(CHANNELS[vendor], key=OTHER_KEY)
    sandbox.fault(vendor, "reset")
    with pytest.raises(OutcomeUnknown):
        deliver(CHANNELS[vendor])
    assert find(CHANNELS[vendor], sent(vendor)) == {}


@pytest.mark.parametrize("vendor", CHANNELS)
def test_a_storm_of_429_is_transient_and_never_loses_its_retry_after(sandbox: Sandbox, vendor: str):
    sandbox.fault(vendor, "rate_limited", retry_after=9, times=5)
    for _ in range(4):
        with pytest.raises(TransientFailure) as raised:
            deliver(CHANNELS[vendor])
        assert raised.value.retry_after == 9
    with pytest.raises(TransientFailure) as raised:
        find(CHANNELS[vendor], sent(vendor))
    assert raised.value.retry_after == 9
    assert deliver(CHANNELS[vendor]).external_id


@pytest.mark.parametrize("vendor", CHANNELS)
@pytest.mark.parametrize("fault", ["server_error", "reset", "reset_mid_answer", "malformed_answer"])
def test_a_question_that_fails_in_passing_is_transient(sandbox: Sandbox, vendor: str, fault: str):
    sandbox.fault(vendor, fault)
    with pytest.raises(TransientFailure):
        find(CHANNELS[vendor], sent(vendor))


@pytest.mark.parametrize("fault", ["time_out_after_effect"])
def test_a_question_whose_answer_is_late_is_transient(sandbox: Sandbox, fault: str):
    sandbox.fault("slack", fault)  # Slack is asked by POST
    with pytest.raises(TransientFailure):
        find(CHANNELS["slack"], sent("slack"))


@pytest.mark.parametrize("vendor", CHANNELS)
def test_credentials_that_have_expired_are_of_the_connection(sandbox: Sandbox, vendor: str):
    sandbox.fault(vendor, "unauthorized", times=2)
    with pytest.raises(ConnectionFailure):
        deliver(CHANNELS[vendor])
    with pytest.raises(ConnectionFailure):
        find(CHANNELS[vendor], sent(vendor))
    assert sandbox.messages() == []


@pytest.mark.parametrize("vendor", CHANNELS)
def test_an_unknown_host_is_of_the_connection(set_connection, vendor: str):
    for name in (f"{vendor}_default", "crm"):
        set_connection(name, conn_type="http", host=ANYWHERE)
    set_connection("slack_default", conn_type="slack", password="x", extra={"base_url": ANYWHERE})
    with pytest.raises(ConnectionFailure, match="host"):
        deliver(CHANNELS[vendor])
    with pytest.raises(ConnectionFailure, match="host"):
        find(CHANNELS[vendor], sent(vendor))
