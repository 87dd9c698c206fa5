"""Clients of the vendors that are not ours, at the sandbox: Twilio's and ServiceNow's own, Slack's
for webhooks, and such as people use for Zendesk, Jira and Freshdesk.

The sandbox must understand what they send, and they what it answers. What a channel sends is what
they send, but for the delivery's key.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from segue.channels.slack.webhook import SlackWebhook
from segue.channels.sms.text_message import TextMessage
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.jira_issue import JiraIssue, document_of
from segue.channels.tickets.servicenow_record import ServiceNowRecord
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.contracts.channel import Channel
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import (
    freshdesk_api,
    jira_api,
    servicenow_api,
    slack_api,
    twilio_api,
    zendesk_api,
)
from tests.unit.channels.support import KEY, deliver

pytestmark = pytest.mark.timeout(60)  # a client may ask for pages without end

PHONE, SENDER, SERVICE = "+447700900123", "+15005550006", twilio_api.MESSAGING_SERVICE


def library(name: str) -> ModuleType:
    """Return a client's module; all of them are in requirements.lock."""
    if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
        return import_module(name)
    return pytest.importorskip(name)


class Rerouted(requests.Session):
    """Calls the sandbox where a vendor's address is asked for."""

    def __init__(self, vendors: str, ours: str) -> None:
        super().__init__()
        self._vendors, self._ours = vendors, ours

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        assert request.url
        request.url = request.url.replace(self._vendors, self._ours, 1)
        return super().send(request, **options)


def bodies(sandbox: Sandbox, service: str, send: Callable[[], None], channel: Channel) -> list[str]:
    """Return the bodies of what a client sends, and of what a channel does with the key."""
    send()
    deliver(channel)
    return [message.raw["body"] for message in sandbox.messages(service=service)]


# ---- Twilio -------------------------------------------------------------------------------------


@pytest.fixture
def twilio(sandbox: Sandbox) -> Any:
    client = library("twilio.rest").Client(twilio_api.ACCOUNT_SID, twilio_api.AUTH_TOKEN)
    client.http_client.session = Rerouted("https://api.twilio.com", f"{sandbox.url}/twilio")
    return client


def test_twilios_client_and_ours_send_the_same_message(twilio: Any, sandbox: Sandbox):
    channel = TextMessage.model_validate({"from": SENDER, "text": "Zoë & Ana, 5% off 👩🏽‍🚀"})
    text = channel.text.source

    def send() -> None:
        twilio.messages.create(to=PHONE, from_=SENDER, body=text)

    theirs, ours = (dict(parse_qsl(body)) for body in bodies(sandbox, "twilio", send, channel))
    assert json.loads(ours.pop("Tags")) == {"segue_delivery": KEY}
    assert theirs == ours


def test_twilios_client_reads_a_message_and_pages_through_a_list(twilio: Any, sandbox: Sandbox):
    made = twilio.messages.create(to=PHONE, messaging_service_sid=SERVICE, body="0")
    assert (made.status, made.num_segments, made.direction) == ("accepted", "0", "outbound-api")
    assert timedelta() <= datetime.now(UTC) - made.date_created < timedelta(minutes=2)
    for number in range(1, 5):
        twilio.messages.create(to=PHONE, from_=SENDER, body=str(number))
    assert [one.body for one in twilio.messages.list(page_size=2)] == ["4", "3", "2", "1", "0"]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert len(twilio.messages.list(to=PHONE, date_sent_after=yesterday)) == 5
    assert twilio.messages(made.sid).fetch().body == "0"


@pytest.mark.parametrize(
    ("to", "code", "status"), [("+15005550001", 21211, 400), ("+15005550004", 21610, 400)]
)
def test_twilios_client_understands_a_refusal(twilio: Any, to: str, code: int, status: int):
    with pytest.raises(library("twilio.base.exceptions").TwilioRestException) as raised:
        twilio.messages.create(to=to, from_=SENDER, body="Hello")
    assert (raised.value.code, raised.value.status) == (code, status)


# ---- Jira ---------------------------------------------------------------------------------------


@pytest.fixture
def jira(sandbox: Sandbox) -> Iterator[Any]:
    client = library("jira").JIRA(
        server=f"{sandbox.url}/jira",
        basic_auth=(jira_api.EMAIL_ADDRESS, jira_api.API_TOKEN),
        options={"rest_api_version": "3"},
        max_retries=0,
    )
    yield client
    client.close()


def fields_of_an_issue(summary: str) -> dict[str, Any]:
    names = {"project": {"key": "SEG"}, "issuetype": {"name": "Task"}, "summary": summary}
    return {**names, "description": document_of("Hello\n\n<b>Zoë</b>"), "labels": ["segue"]}


def test_jiras_client_and_ours_send_the_same_issue(jira: Any, sandbox: Sandbox):
    written = {"project": "SEG", "summary": "Call Zoë", "labels": ["segue"]}
    channel = JiraIssue.model_validate({**written, "description": "Hello\n\n<b>Zoë</b>"})
    fields = fields_of_an_issue("Call Zoë")

    def send() -> None:
        jira.create_issue(prefetch=False, fields=fields)

    theirs, ours = map(json.loads, bodies(sandbox, "jira", send, channel))
    assert theirs["fields"] == ours["fields"]
    assert ours["properties"] == [{"key": "segue.delivery", "value": {"key": KEY}}]


def test_jiras_client_reads_an_issue_its_property_and_a_search(jira: Any, sandbox: Sandbox):
    assert jira.server_info()["deploymentType"] == "Cloud"
    assert jira.myself()["accountId"] == jira_api.ACCOUNT_ID
    answer = jira.my_permissions(projectKey="SEG", permissions="CREATE_ISSUES")
    assert answer["permissions"]["CREATE_ISSUES"]["havePermission"] is True
    receipt = deliver(JiraIssue.model_validate({"project": "SEG", "summary": "The channel's"}))
    created = jira.create_issue(fields=fields_of_an_issue("The client's"))
    assert created.fields.summary == "The client's"
    jql = 'project = "SEG" AND created >= "-5m" ORDER BY created DESC'
    pages = jira.enhanced_search_issues(jql, maxResults=0, properties=["segue.delivery"])
    assert [issue.key for issue in pages] == [created.key, receipt.results["key"]]
    assert pages[1].raw["properties"] == {"segue.delivery": {"key": KEY}}
    assert jira.issue_property(pages[1].key, "segue.delivery").value.key == KEY


def test_jiras_client_understands_a_refusal(jira: Any):
    with pytest.raises(library("jira").JIRAError) as raised:
        jira.create_issue(fields={**fields_of_an_issue("x"), "labels": ["two words"]})
    assert raised.value.status_code == 400
    assert "spaces" in raised.value.text


# ---- ServiceNow ---------------------------------------------------------------------------------


@pytest.fixture
def incidents(sandbox: Sandbox) -> Callable[[], Any]:
    """Return a function that gives an empty record of the table ``incident``."""
    instance = "https://sandbox.service-now.com"
    session = Rerouted(instance, f"{sandbox.url}/servicenow")
    session.auth = (servicenow_api.USER, servicenow_api.PASSWORD)
    client = library("pysnc").ServiceNowClient(instance, session, auto_retry=False)
    return lambda: client.GlideRecord("incident")


def insert_an_incident(incidents: Callable[[], Any], **fields: str) -> Any:
    record = incidents()
    record.initialize()
    for name, value in fields.items():
        record.set_value(name, value)
    return record.insert()


def test_servicenows_client_and_ours_send_the_same_record(incidents: Any, sandbox: Sandbox):
    fields = {"short_description": "Call Zoë", "description": "Hello\n<b>Zoë</b>", "urgency": "2"}
    written = {name: text for name, text in fields.items() if name != "urgency"}
    channel = ServiceNowRecord.model_validate({**written, "fields": {"urgency": "2"}})

    def send() -> None:
        insert_an_incident(incidents, **fields)

    theirs, ours = map(json.loads, bodies(sandbox, "servicenow", send, channel))
    assert (ours.pop("correlation_id"), ours.pop("correlation_display")) == (KEY, "segue")
    assert theirs == ours


def test_servicenows_client_reads_a_record_that_a_channel_made(incidents: Any, sandbox: Sandbox):
    receipt = deliver(ServiceNowRecord.model_validate({"short_description": "Call Zoë"}))
    listed = incidents()
    listed.add_query("correlation_id", KEY)
    listed.query()
    assert len(listed) == 1
    assert listed.next()
    assert str(listed.sys_id) == receipt.external_id
    assert str(listed.number) == receipt.results["number"]
    age = datetime.now(UTC) - listed.sys_created_on.date_value()
    assert timedelta(seconds=-1) <= age < timedelta(minutes=2)
    one = incidents()
    assert one.get(receipt.external_id)
    assert one.get_display_value("short_description") == "Call Zoë"


def test_servicenows_client_orders_records(incidents: Any, sandbox: Sandbox):
    insert_an_incident(incidents, short_description="newest")
    newest = incidents()
    newest.limit = 1
    newest.order_by_desc("sys_created_on")
    newest.query()
    assert [str(record.short_description) for record in newest] == ["newest"]


def test_servicenows_client_understands_a_refusal(incidents: Any):
    with pytest.raises(library("pysnc.exceptions").RoleException, match="Business Rule"):
        insert_an_incident(incidents, short_description="refuse-this")
    assert not incidents().get("f" * 32)


# ---- Freshdesk ----------------------------------------------------------------------------------


@pytest.fixture
def freshdesk(sandbox: Sandbox) -> Any:
    domain = "sandbox.freshdesk.com"
    client = library("freshdesk.v2.api").API(domain, freshdesk_api.API_KEY)
    session = Rerouted(f"https://{domain}", f"{sandbox.url}/freshdesk")
    session.auth, session.headers = client._session.auth, client._session.headers
    client._session = session
    return client


def test_freshdesks_client_and_ours_send_the_same_ticket(freshdesk: Any, sandbox: Sandbox):
    fields = {"email": "zoe@example.com", "subject": "Call Zoë", "description": "<p>Hello</p>"}
    channel = FreshdeskTicket.model_validate({**fields, "priority": "high", "tags": ["segue"]})

    def send() -> None:
        freshdesk.tickets.create_ticket(**fields, priority=3, tags=["segue"])

    theirs, ours = map(json.loads, bodies(sandbox, "freshdesk", send, channel))
    assert ours.pop("tags") == ["segue", f"segue-{KEY[:26]}"]
    assert theirs.pop("tags") == ["segue"]
    assert theirs == ours


def test_freshdesks_client_reads_tickets_notes_and_the_agent(freshdesk: Any, sandbox: Sandbox):
    fields = {"email": "zoe@example.com", "subject": "Call", "description": "<p>Hello</p>"}
    receipt = deliver(FreshdeskTicket.model_validate(fields))
    [ticket] = freshdesk.tickets.list_tickets(filter_name=None)
    assert (str(ticket.id), ticket.status, ticket.priority) == (receipt.external_id, "open", "low")
    assert timedelta(seconds=-1) <= datetime.now(UTC) - ticket.created_at < timedelta(minutes=2)
    freshdesk.comments.create_note(ticket.id, "<p>A note</p>")
    [note] = freshdesk.comments.list_comments(ticket.id)
    assert (note.body_text, note.private, note.source) == ("A note", True, "note")
    assert freshdesk.agents.currently_authenticated_agent().ticket_scope == 1


def test_freshdesks_client_understands_a_refusal(freshdesk: Any):
    errors = library("freshdesk.v2.errors")
    with pytest.raises(errors.FreshdeskBadRequest, match="email"):
        freshdesk.tickets.create_ticket("Call", email="nobody", description="x")


# ---- Zendesk ------------------------------------------------------------------------------------


@pytest.fixture
def zendesk(sandbox: Sandbox) -> Callable[..., Any]:
    """Return a function that gives what an operation of a client returns."""
    library("zendesk_sdk")
    from zendesk_sdk import ZendeskClient
    from zendesk_sdk.config import ZendeskConfig

    class Config(ZendeskConfig):
        @property
        def endpoint(self) -> str:
            return f"{sandbox.url}/zendesk/api/v2"

    async def operate(operation: Callable[[Any], Awaitable[Any]]) -> Any:
        login = {"email": zendesk_api.EMAIL_ADDRESS, "token": zendesk_api.API_TOKEN}
        async with ZendeskClient(Config(subdomain="sandbox", max_retries=0, **login)) as client:
            return await operation(client)

    return lambda operation: asyncio.run(operate(operation))


def test_a_client_of_zendesk_and_ours_send_the_same_ticket(zendesk: Any, sandbox: Sandbox):
    fields = {"subject": "Call Zoë", "priority": "high", "tags": ["segue"]}
    channel = ZendeskTicket.model_validate({**fields, "comment": "Hello <b>Zoë</b>"})
    more = {**fields, "external_id": KEY}

    def send() -> None:
        zendesk(lambda client: client.tickets.create("Hello <b>Zoë</b>", **more))

    theirs, ours = map(json.loads, bodies(sandbox, "zendesk", send, channel))
    assert theirs == ours


def test_a_client_of_zendesk_reads_tickets_and_who_it_is(zendesk: Any, sandbox: Sandbox):
    receipt = deliver(ZendeskTicket.model_validate({"subject": "Call Zoë", "comment": "Hello"}))
    number = int(receipt.external_id)
    ticket = zendesk(lambda client: client.tickets.get(number))
    assert (ticket.external_id, ticket.subject, ticket.status) == (KEY, "Call Zoë", "new")
    zendesk(lambda client: client.tickets.comments.add(number, "A note", public=False))

    async def comments(client: Any) -> list[tuple[str, bool]]:
        return [(one.body, one.public) async for one in client.tickets.comments.list(number)]

    async def tickets(client: Any) -> list[int]:
        return [one.id async for one in client.tickets.list(per_page=1)]

    assert zendesk(comments) == [("Hello", True), ("A note", False)]
    made = zendesk(lambda client: client.tickets.create("Another"))
    assert zendesk(tickets) == [number, made.id]
    assert zendesk(lambda client: client.users.me()).email == zendesk_api.EMAIL_ADDRESS


def test_a_client_of_zendesk_understands_a_refusal(zendesk: Any):
    refused = library("zendesk_sdk.exceptions").ZendeskHTTPException
    with pytest.raises(refused, match="422"):
        zendesk(lambda client: client.tickets.create(""))


# ---- Slack's webhooks; its client for the Web API is the channel's own ------------------------


def test_slacks_client_and_ours_post_to_the_same_webhook(sandbox: Sandbox):
    url = f"{sandbox.url}/slack/services/{slack_api.WEBHOOK}"
    client = library("slack_sdk.webhook").WebhookClient(url)
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Zoë*", "verbatim": True}}]
    channel = SlackWebhook.model_validate({"text": "Hello", "blocks": blocks})

    def send() -> None:
        client.send(text="Hello", blocks=blocks)

    theirs, ours = map(json.loads, bodies(sandbox, "slack", send, channel))
    assert theirs == {name: ours[name] for name in theirs}
    answer = client.send(text="")
    assert (answer.status_code, answer.body) == (400, "no_text")
