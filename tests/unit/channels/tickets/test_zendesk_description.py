"""Requests and the look-alike's answers against the OpenAPI file that Zendesk publishes.

data/zendesk-tickets.json says where it is from and what was trimmed. Values that are null in an
answer are left out: Zendesk's own examples have them where the file does not allow them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import deliver, deliver_after

DESCRIPTION = json.loads((Path(__file__).parents[2] / "data/zendesk-tickets.json").read_text())
AUTH = ("agent@example.com/token", "sandbox")
WHOLE = {
    "subject": "Call {{ contact.first_name }}",
    "comment_html": "<p>{{ contact.contact_id }}</p>",
    "priority": "high",
    "type": "task",
    "status": "open",
    "tags": ["segue"],
    "requester": {"name": "Ana", "email": "ana@example.com"},
    "group_id": 7,
    "assignee_id": 8,
    "ticket_form_id": 9,
    "custom_fields": {"360001": "{{ contact.first_name }}"},
    "on_existing": "comment",
}


def problems(schema: str, value: object) -> list[str]:
    """What is wrong with a value by a schema of the description."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DESCRIPTION["components"]}
    found = jsonschema.Draft202012Validator(whole).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def writable() -> set[str]:
    """The attributes of a ticket that a request may have."""
    described = DESCRIPTION["components"]["schemas"]["TicketObject"]["properties"]
    return {name for name, schema in described.items() if not schema.get("readOnly")}


@pytest.fixture
def requests(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The bodies of a creation and of a comment, with everything that a ticket may have."""
    made = ZendeskTicket.model_validate(WHOLE)
    first = deliver(made)
    deliver_after(made, str(first.external_id))
    return [json.loads(message.raw["body"]) for message in sandbox.messages(service="zendesk")]


def test_what_is_sent_is_what_zendesk_describes(requests: list[dict[str, Any]]):
    create, update = requests
    assert problems("TicketCreateRequest", create) == []
    assert problems("TicketUpdateRequest", update) == []
    for request in requests:
        assert set(request["ticket"]) <= writable()


def test_the_description_finds_what_is_wrong(requests: list[dict[str, Any]]):
    """So that the test above can fail."""
    create, update = requests
    del create["ticket"]["comment"]
    update["ticket"] |= {"status": "waiting", "comment": "text"}
    assert len(problems("TicketCreateRequest", create)) == 1
    assert len(problems("TicketUpdateRequest", update)) == 2


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("tickets/{}.json", "TicketResponse"),
        ("tickets.json", "TicketsResponse"),
        ("tickets/show_many.json?ids={}", "TicketsResponse"),
        ("tickets/{}/audits.json", "TicketAuditsResponseNoneCursor"),
    ],
)
def test_the_look_alike_answers_as_zendesk_describes(
    sandbox: Sandbox, requests: list[dict[str, Any]], path: str, schema: str
):
    [created, _] = sandbox.messages(service="zendesk")
    number = created.fields["ticket"]["id"]
    url = f"{sandbox.url}/zendesk/api/v2/{path.format(number)}"
    answer = httpx.get(url, auth=AUTH).json()
    assert problems(schema, without_nulls(answer)) == []
    assert len(requests) == 2
