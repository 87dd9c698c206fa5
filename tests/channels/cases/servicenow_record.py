"""ServiceNow records: the key is the record's correlation_id."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.servicenow_api import PASSWORD, USER
from tests.channels.case import ChannelCase, Sent, Servers, Written

FIELDS = (
    "short_description",
    "description",
    "urgency",
    "caller_id",
    "correlation_id",
    "correlation_display",
)


def connection(servers: Servers) -> dict[str, Any]:
    login = {"login": USER, "password": PASSWORD}
    return {"conn_type": "http", "host": f"{servers.url}/servicenow", **login}


def received(message: Message) -> dict[str, Any]:
    record = message.fields["record"]
    return {
        "kind": message.kind,
        "table": message.to,
        **{name: record[name] for name in FIELDS},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    record = message.fields["record"]
    sys_id = record["sys_id"]
    link = f"{url}/servicenow/nav_to.do?uri=incident.do?sys_id={sys_id}"
    results = {"id": sys_id, "number": record["number"], "url": link}
    return {"external_id": sys_id, "url": link, "results": results}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "record",
        "table": "incident",
        "short_description": f"{sent.place}: call {sent.first_name} ({sent.contact_id})",
        "description": f"They said: {sent.note}",
        "urgency": "2",
        "caller_id": sent.email,
        "correlation_id": sent.key,
        "correlation_display": "segue",
    }


CASE = ChannelCase(
    channel="servicenow_record",
    service="servicenow",
    connection_id="servicenow_default",
    connection=connection,
    action=Written(
        {
            "connection": "servicenow_default",
            "audience": "contact",
            "table": "incident",
            "short_description": "{{ contact.place }}: call {{ contact.first_name }} "
            "({{ contact.contact_id }})",
            "description": "They said: {{ contact.note }}",
            "fields": {"urgency": 2, "caller_id": "{{ contact.email }}"},
        },
        expected,
        outcomes={
            "line_breaks_in_a_line": "failed(short_description: a line break or control character "
            "in a field that is one line)"
        },
    ),
    received=received,
    receipt=receipt,
    refused="failed(ServiceNow answered 403: business_rule)",
    refusals={
        "unauthorized": "ServiceNow answered 401",
        "rate_limited": "ServiceNow answered 429",
        "server_error": "ServiceNow answered 503",
    },
    contacts={"refused": {"place": "refuse-this"}},
    mark=r'"correlation_id": ?"([0-9a-f]{64})"',
    short={"short_description": "Hello {{ contact.contact_id }}"},
    look_up={"path": "table/incident", "method": "GET"},
)
