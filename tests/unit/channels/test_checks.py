"""Connections tried without sending anything, and messages for a tester instead of the contact."""

from __future__ import annotations

import json

import pytest

from segue.channels.email.message import EmailMessage
from segue.channels.http.request import HttpRequest
from segue.channels.slack.message import SlackMessage
from segue.channels.sms.text_message import TextMessage
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.jira_issue import JiraIssue
from segue.channels.tickets.servicenow_record import ServiceNowRecord
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.contracts.channel import Channel, Finding, Tried
from segue.errors import (
    ConnectionFailure,
    DeliveryError,
    OutcomeUnknown,
    SettingsError,
    TransientFailure,
)
from segue.sandbox.vendors import jira_api
from segue.sandbox.vendors.slack_api import TOKEN_TO_POST, user_id
from tests.unit.channels.support import KEY, closed_port, http, mail_server, variables, vendor

SLACK = SlackMessage.model_validate({"channel": "#alerts", "text": "{{ contact.first_name }}"})
ZENDESK = ZendeskTicket.model_validate({"subject": "s", "comment": "c"})
FRESHDESK = FreshdeskTicket.model_validate(
    {"email": "a@example.com", "subject": "s", "description": "d"}
)
JIRA = JiraIssue.model_validate({"project": "SEG", "summary": "s"})
SERVICENOW = ServiceNowRecord.model_validate({"short_description": "s"})
SMS = TextMessage.model_validate({"from": "+15005550006", "text": "Hello"})
EMAIL = EmailMessage.model_validate({"subject": "Hello", "text": "Dear {{ contact.first_name }}"})
API = {"connection": "crm", "path": "/notes", "json": {"of": "{{ contact.contact_id }}"}}


def check(channel: Channel, needs=None) -> Finding:
    with channel.connect() as sender:
        return sender.check(channel.needs if needs is None else needs)


def test_slack_says_whose_the_token_is(sandbox):
    assert check(SLACK) == Finding(Tried.OK, "segue in the workspace Sandbox")
    assert sandbox.messages() == []


def slack_at(set_connection, base_url: str, token: str = "xoxb-sandbox") -> None:
    extra = {"base_url": base_url, "timeout": 10}
    set_connection("slack_default", conn_type="slack", password=token, extra=extra)


def test_slack_names_the_scopes_that_a_look_up_lacks(sandbox, set_connection):
    slack_at(set_connection, f"{sandbox.url}/slack/api/", TOKEN_TO_POST)
    found = check(SLACK)
    assert found.tried is Tried.LIMITED
    assert "cannot be looked up without channels:history, channels:read, groups:read" in (
        found.detail
    )


def test_a_private_channel_needs_another_scope_for_its_history(set_connection):
    body = '{"ok": true, "user": "u", "team": "t"}'
    scopes = "chat:write,groups:history,channels:read,groups:read"
    with vendor(http("200 OK", body, {"x-oauth-scopes": scopes})) as url:
        slack_at(set_connection, f"{url}/")
        assert check(SLACK).tried is Tried.OK


def test_slack_without_the_right_to_post_is_a_failure(set_connection):
    body = '{"ok": true, "user": "u", "team": "t"}'
    answer = http("200 OK", body, {"X-OAuth-Scopes": "channels:history, users:read"})
    with vendor(answer) as url:
        slack_at(set_connection, f"{url}/")
        with pytest.raises(ConnectionFailure, match=r"lacks channels:read, chat:write, groups"):
            check(SLACK)


def test_slack_that_tells_no_scopes_is_no_proof(set_connection):
    with vendor(http("200 OK", '{"ok": true, "user": "u", "team": "t"}')) as url:
        slack_at(set_connection, f"{url}/")
        assert check(SLACK).tried is Tried.LIMITED


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (http("200 OK", '{"ok": false, "error": "token_revoked"}'), ConnectionFailure, "revoked"),
        (http("200 OK", '{"ok": false, "error": "fatal_error"}'), TransientFailure, "fatal_error"),
        (http("200 OK", '{"ok": true}'), ConnectionFailure, "base_url"),
        (http("200 OK", "<html>"), DeliveryError, "Slack"),
        (http("404 Not Found", "no"), ConnectionFailure, "base_url"),
        (http("429 Too Many", "", {"Retry-After": "5"}), TransientFailure, "429"),
        (http("503 Busy", ""), TransientFailure, "503"),
    ],
)
def test_what_slack_answers_to_the_check(set_connection, answer, error, said):
    with vendor(answer) as url:
        slack_at(set_connection, f"{url}/")
        with pytest.raises(error, match=said):
            check(SLACK)


def test_a_channel_by_id_needs_no_list():
    by_id = SlackMessage.model_validate({"channel": "C0123456789", "text": "x"})
    assert by_id.needs == {"chat:write", "channels:history"}


def test_a_person_needs_other_scopes():
    by_id = SlackMessage.model_validate({"user": "U0123456789", "text": "x"})
    assert by_id.needs == {"chat:write", "im:history", "im:write"}
    by_email = SlackMessage.model_validate({"email": "a@example.com", "text": "x"})
    assert by_email.needs - by_id.needs == {"users:read.email"}


def test_zendesk_and_freshdesk_name_their_agents(sandbox):
    assert check(ZENDESK) == Finding(Tried.OK, "the admin 1")
    assert check(FRESHDESK).tried is Tried.OK
    assert sandbox.messages() == []


@pytest.mark.parametrize("fault", ["unauthorized", "server_error"])
@pytest.mark.parametrize(
    ("service", "channel"),
    [
        *(("zendesk", ZENDESK), ("freshdesk", FRESHDESK), ("slack", SLACK)),
        *(("jira", JIRA), ("servicenow", SERVICENOW), ("twilio", SMS)),
    ],
)
def test_a_vendor_that_refuses_is_an_error(sandbox, service, channel, fault):
    sandbox.fault(service, fault)
    with pytest.raises(ConnectionFailure if fault == "unauthorized" else TransientFailure):
        check(channel)


def tickets_at(set_connection, name: str, url: str) -> None:
    set_connection(name, conn_type="http", host=url, login="x", password="y", extra={"timeout": 10})


def test_jira_servicenow_and_twilio_are_asked_for_what_the_actions_need(sandbox):
    assert check(JIRA) == Finding(Tried.OK, f"the user {jira_api.ACCOUNT_ID}")
    assert check(SERVICENOW) == Finding(Tried.OK, "its user may read incident")
    assert check(SMS) == Finding(Tried.OK, "its messages can be listed")
    assert sandbox.messages() == []


def test_a_project_or_a_table_that_is_none_is_an_error(sandbox):
    with pytest.raises(DeliveryError, match="Jira answered 404"):
        check(JiraIssue.model_validate({"project": "NONE", "summary": "s"}))
    with pytest.raises(DeliveryError, match="ServiceNow answered 400"):
        check(ServiceNowRecord.model_validate({"table": "u_none", "short_description": "s"}))


@pytest.mark.parametrize("lacks", ["CREATE_ISSUES", "BROWSE_PROJECTS"])
def test_what_jiras_user_may_not_do_in_a_project_is_told(set_connection, lacks):
    permissions = {
        name: {"havePermission": name != lacks} for name in ("CREATE_ISSUES", "BROWSE_PROJECTS")
    }
    answer = json.dumps({"accountId": "712020:1", "permissions": permissions})
    with vendor(http("200 OK", answer)) as url:
        tickets_at(set_connection, "jira_default", url)
        if lacks == "CREATE_ISSUES":
            with pytest.raises(ConnectionFailure, match="712020:1 may not create issues in SEG"):
                check(JIRA)
        else:
            assert check(JIRA).tried is Tried.LIMITED


def test_zendesk_takes_whom_it_does_not_know_for_an_end_user(set_connection):
    with vendor(http("200 OK", '{"user": {"id": null, "role": "end-user"}}')) as url:
        tickets_at(set_connection, "zendesk_default", url)
        with pytest.raises(ConnectionFailure, match="end user; check its login"):
            check(ZENDESK)


@pytest.mark.parametrize(
    ("channel", "name", "body"),
    [
        (
            ZENDESK,
            "zendesk_default",
            '{"user": {"id": 7, "role": "agent", "ticket_restriction": "groups"}}',
        ),
        (FRESHDESK, "freshdesk_default", '{"id": 7, "ticket_scope": 2}'),
    ],
)
def test_an_agent_who_does_not_see_every_ticket_is_told(set_connection, channel, name, body):
    with vendor(http("200 OK", body)) as url:
        tickets_at(set_connection, name, url)
        found = check(channel)
    assert found.tried is Tried.LIMITED
    assert "agent 7 does not see every ticket; tickets in doubt cannot be looked up" in found.detail


def test_a_body_that_is_no_agent_is_no_proof(set_connection):
    with vendor(http("200 OK", "[]")) as url:
        tickets_at(set_connection, "zendesk_default", url)
        with pytest.raises(OutcomeUnknown):
            check(ZENDESK)


def test_a_mail_server_is_connected_to_and_told_nothing(sandbox):
    said = "without TLS, without a login; whether it takes the sender shows with the first mail"
    assert check(EMAIL) == Finding(Tried.UNTRIED, said)
    assert sandbox.messages() == []


def smtp_at(set_connection, port: int, **extra) -> None:
    extra = {"disable_ssl": True, "disable_tls": True, "timeout": 10, **extra}
    set_connection("smtp_default", conn_type="smtp", host="127.0.0.1", port=port, extra=extra)


def test_a_sender_that_nobody_gives_is_found(sandbox, set_connection):
    smtp_at(set_connection, sandbox.smtp_port)
    with pytest.raises(ConnectionFailure, match="no usable sender"):
        check(EMAIL)
    given = EmailMessage.model_validate({"from": "a@example.com", "subject": "s", "text": "t"})
    assert check(given).tried is Tried.UNTRIED


def test_a_mail_server_that_does_not_answer_is_an_error(set_connection):
    smtp_at(set_connection, closed_port())
    with pytest.raises(TransientFailure, match="cannot be reached"):
        check(EMAIL)


@pytest.mark.parametrize("reply", [b"421 going", b"502 no", None])
def test_a_mail_server_that_breaks_off_is_an_error(set_connection, reply):
    with mail_server(noop=reply) as port:
        smtp_at(set_connection, port, from_email="segue@example.com")
        with pytest.raises(DeliveryError, match="mail server"):
            check(EMAIL)


def test_a_mail_server_that_wants_another_password_is_an_error(sandbox, set_connection):
    def log_in(password: str) -> Finding:
        plain = {"disable_ssl": True, "disable_tls": True, "timeout": 10}
        extra = {**plain, "from_email": "segue@example.com"}
        where = {"host": sandbox.host, "port": sandbox.smtp_port, "extra": extra}
        set_connection(
            "smtp_default", conn_type="smtp", login="sandbox", password=password, **where
        )
        return check(EMAIL)

    with pytest.raises(ConnectionFailure, match="login and password"):
        log_in("wrong")
    assert log_in("sandbox").detail.startswith("without TLS, logged in; whether it takes")


def test_a_path_of_an_api_is_asked_for(sandbox):
    channel = HttpRequest.model_validate({**API, "check": "/status"})
    assert check(channel) == Finding(Tried.OK, "answers GET /status")
    assert check(HttpRequest.model_validate(API)).tried is Tried.UNTRIED
    assert sandbox.messages() == []


def test_an_api_that_refuses_the_path_is_an_error(sandbox, set_connection):
    set_connection("crm", conn_type="http", host=f"{sandbox.url}/http", password="wrong")
    with pytest.raises(ConnectionFailure, match="401"):
        check(HttpRequest.model_validate({**API, "check": "/status"}))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/a/{{ contact.contact_id }}", "without a contact: no template"),
        ("https://example.com/", "the host is the connection's"),
    ],
)
def test_a_path_to_check_names_no_contact_and_no_host(path, wrong):
    with pytest.raises(ValueError, match=wrong):
        HttpRequest.model_validate({**API, "check": path})


# ---- a tester instead of the contact ----------------------------------------------------------


def test_a_mail_goes_to_the_tester_alone(sandbox):
    fields = {
        "to": "{{ contact.email }}",
        "cc": "team@example.com",
        "bcc": ["audit@example.com"],
        "audience": "contact",
        "subject": "Hello",
        "text": "Dear {{ contact.first_name }}",
        "unsubscribe_url": "https://example.com/off/{{ contact.contact_id }}",
    }
    channel = EmailMessage.model_validate(fields)
    message = channel.readdressed(channel.render(variables()), channel.tester("me@example.com"))
    with channel.connect() as sender:
        sender.send(message, key=KEY)
    [mail] = sandbox.messages(service="smtp")
    assert mail.fields["rcpt_to"] == ["me@example.com"]
    assert (mail.subject, mail.text.strip()) == ("[test] Hello", "Dear Ana")
    whole = mail.raw["mail"]
    for other in ("ana@example.com", "team@", "audit@", "List-Unsubscribe"):
        assert other not in whole


@pytest.mark.parametrize(
    "to",
    [
        "me",
        "a@example.com, b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "Me <a@example.com>",
        "",
    ],
)
def test_a_mail_goes_to_one_plain_address(to):
    with pytest.raises(SettingsError, match="is no email address"):
        EMAIL.tester(to)


@pytest.mark.parametrize(
    ("to", "reached"),
    [
        ("#tests", "#tests"),
        ("U0123456789", "@U0123456789"),
        ("me@example.com", f"@{user_id('me@example.com')}"),
    ],
)
@pytest.mark.parametrize(
    "place", [{"channel": "#alerts"}, {"email": "{{ contact.email }}", "audience": "contact"}]
)
def test_a_message_goes_to_the_testers_channel(sandbox, to, reached, place):
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "Look"}}]
    channel = SlackMessage.model_validate({**place, "text": "of {{ contact.email }}"})
    for fields in ({}, {"blocks": blocks}):
        message = channel.readdressed({**channel.render(variables()), **fields}, channel.tester(to))
        with channel.connect() as sender:
            sender.send(message, key=KEY)
    plain, rich = sandbox.messages(service="slack")
    assert {plain.to, rich.to} == {reached}
    assert plain.text == "[test] of ana@example.com"
    assert rich.fields["blocks"][1:] == blocks
    assert rich.fields["blocks"][0]["elements"][0]["text"] == "[test]"


@pytest.mark.parametrize("to", ["tests", "#a b", "#a\n", "<!channel>", ""])
def test_a_message_goes_to_one_channel_or_person(to):
    with pytest.raises(SettingsError, match="is no place in Slack"):
        SLACK.tester(to)


@pytest.mark.parametrize("channel", [ZENDESK, FRESHDESK, HttpRequest.model_validate(API)])
def test_what_has_no_other_address_is_refused(channel):
    with pytest.raises(SettingsError, match=f"a {channel.name} cannot be sent to a tester"):
        channel.tester("me@example.com")


def test_a_channel_that_knows_testers_and_cannot_readdress_refuses_plainly():
    """One of a team's own that is not finished; nothing goes to the contact instead."""

    class Half(ZendeskTicket):
        def tester(self, to: str) -> str:
            return to

    half = Half.model_validate({"subject": "s", "comment": "c"})
    with pytest.raises(SettingsError, match="no way to put a tester's address"):
        half.readdressed(half.render(variables()), half.tester("me"))
