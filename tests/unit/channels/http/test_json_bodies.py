"""JSON bodies: numbers, booleans, lists, and keys that are left out."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from segue.channels.http.request import HttpRequest
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.jira_issue import JiraIssue
from segue.cli.editor_schema import definition_schema
from segue.contracts.template_values import Fields
from segue.contracts.typed_values import MOST_PARTS
from segue.documents import ProblemsFound
from segue.errors import ContactFailure
from segue.sandbox.server import Sandbox
from segue.workflows.definition import Action
from segue.workflows.digests import digest_problems
from tests.unit.channels.support import deliver, variables


def request(body: Any, **fields: Any) -> HttpRequest:
    usual = {"connection": "crm", "path": "/notes", "audience": "team"}
    return HttpRequest.model_validate({**usual, "json": body, **fields})


def body_of(body: Any, **contact: Any) -> Any:
    return request(body).render(variables(**contact))["json"]


def problems(body: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as raised:
        request(body)
    errors = [details["ctx"]["error"] for details in raised.value.errors()]
    return {
        ".".join(map(str, place)): text
        for error in errors
        if isinstance(error, ProblemsFound)
        for place, text in error.problems
    }


@pytest.mark.parametrize(
    ("written", "value", "sent"),
    [
        ({"number": "{{ contact.x }}"}, "42", 42),
        ({"number": " {{ contact.x }} "}, "-4.50", -4.5),
        ({"number": "{{ contact.x }}"}, 1617260400, 1617260400),
        ({"number": "{{ contact.x | number * 100 }}"}, "12", 1200),
        ({"boolean": "{{ contact.x }}"}, True, True),
        ({"boolean": "{{ contact.x }}"}, "No", False),
        ({"optional": "{{ contact.x | default('') }}"}, "gold", "gold"),
        ({"each": "contact.x", "give": "{{ item }}"}, ["a", "b"], ["a", "b"]),
        (
            {"each": "contact.x.split(',')", "give": {"tag": "{{ item | trim }}"}},
            "a, b",
            [{"tag": "a"}, {"tag": "b"}],
        ),
        ({"each": "contact.x", "give": {"number": "{{ item }}"}}, ["1", "2"], [1, 2]),
        ({"each": "contact.x[:1]", "give": 7}, ["a", "b"], [7]),
        ({"each": "contact.x", "give": "{{ item }}"}, [], []),
    ],
)
def test_a_value_is_what_it_is_to_become(written, value, sent):
    assert body_of({"value": written}, x=value) == {"value": sent}


@pytest.mark.parametrize("kind", ["number", "boolean", "optional"])
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_empty_leaves_its_key_out(kind, value):
    written = {kind: "{{ contact.x | default('') }}"}
    body = {
        "a": {"b": written, "c": 1},
        "list": [written, "d"],
        "each": {"each": "[1, 2]", "give": written},
    }
    assert body_of(body, x=value) == {"a": {"c": 1}, "list": ["d"], "each": []}


def test_a_field_that_is_missing_fails_where_no_default_is_given():
    for written in ({"number": "{{ contact.x }}"}, {"optional": "{{ contact.x }}"}):
        with pytest.raises(ContactFailure, match=r"^json\.a: missing field: contact\.x"):
            body_of({"a": written})


@pytest.mark.parametrize(
    ("written", "value", "words"),
    [
        ({"number": "{{ contact.x }}"}, "£5", "json.a: the text is not a number"),
        ({"number": "{{ contact.x }}"}, "1e999", "json.a: the text is not a number"),
        ({"number": "{{ contact.x }}"}, "0x10", "json.a: the text is not a number"),
        ({"number": "{{ contact.x }}"}, "１２", "json.a: the text is not a number"),
        ({"boolean": "{{ contact.x }}"}, "maybe", "json.a: the text is not a boolean"),
        ({"each": "contact.x", "give": 1}, "text", "json.a.each: goes through a text"),
        (
            {"each": "contact.x", "give": 1},
            {"a": 1},
            "json.a.each: goes through a text or a record",
        ),
        ({"each": "contact.x", "give": 1}, 5, "json.a.each: the template failed: TypeError"),
        ({"each": "contact.y", "give": 1}, 5, "json.a.each: missing field: contact.y"),
        ({"each": "range(3)", "give": 1}, 5, "json.a.each: "),
        (
            {"each": "contact.x", "give": 1},
            ["x"] * (MOST_PARTS + 1),
            "json.a.each: has more than 10,000",
        ),
        (
            {"each": "contact.x", "give": {"b": {"number": "{{ item }}"}}},
            ["1", "£"],
            "json.a[1].b: the text",
        ),
    ],
)
def test_what_cannot_become_one_is_of_the_contact(written, value, words):
    with pytest.raises((ContactFailure, ValidationError)) as raised:
        body_of({"a": written}, x=value)
    assert words.split(": ")[0] in str(raised.value) or "range" in str(raised.value)
    assert "£" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        {"number": "{{ contact.first_name }}"},  # a body is never one number
        {"phone": {"object": {"number": "{{ contact.first_name }}"}}},
        {
            "a": {"number": [5]},
            "b": {"number": "5", "kind": "x"},
            "c": {"each": "x"},
            "d": {"give": 1},
        },
        {"a": {"object": {"object": {"x": "y"}}}},
        {"text": "{{ contact.first_name }}", "a": {"text": "hello"}},
    ],
)
def test_an_object_may_have_any_keys(body):
    """One that would be taken for more is written below `object`."""
    text = json.dumps(body).replace("{{ contact.first_name }}", "Ana")
    for _ in range(2):
        text = text.replace('{"object": {"number": "Ana"}}', '{"number": "Ana"}')
        text = text.replace('{"object": {"object": {"x": "y"}}}', '{"object": {"x": "y"}}')
    assert body_of(body) == json.loads(text)


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({"a": {"number": "{{ nobody }}"}}, "a.number", "unknown name 'nobody'"),
        (
            {"a": [{"b": {"optional": "{{ contact. }}"}}]},
            "a.0.b.optional",
            "is not a valid template",
        ),
        ({"a": {"each": "contact.", "give": 1}}, "a.each", "is not an expression"),
        ({"a": {"each": "nobody", "give": 1}}, "a.each", "unknown name 'nobody'"),
        ({"a": {"each": "x %}{{ y }}{% if x", "give": 1}}, "a.each", ""),
        ({"a": {"each": "contact.x if contact.y", "give": 1}}, "a.each", "allowed: an expression"),
        ({"a": {"each": "contact.x", "give": {"b": "{{ contac.x }}"}}}, "a.give.b", "unknown name"),
        ({"a": {"each": "contact.x", "give": "{% endfor %}"}}, "a.give", "is not a valid template"),
        ({"a": "{{ item }}"}, "a", "unknown name 'item'"),
        (
            {"a": {"each": "contact.x", "give": {"{{ item }}": 1}}},
            "a.give.{{ item }}",
            "a key cannot",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(body, place, words):
    assert words in problems(body)[place]


def test_fields_are_found_in_all_of_it():
    """Validation looks for them in the data, and only those that are read are loaded."""
    body = {
        "a": {"number": "{{ contact.amount }}"},
        "b": {
            "each": "contact.orders",
            "give": {"id": "{{ item.id }}", "to": "{{ contact.plan }}"},
        },
    }
    channel = request(body)
    assert channel.fields_read(digest=False) == {"amount", "orders", "plan"}
    places = [place for place, _ in channel.templates()]
    assert ("json", "a", "number") in places
    assert ("json", "b", "give", "id") in places


# ---- digests ----------------------------------------------------------------------------------

ROWS = {
    "rows": {
        "each": "digest.contacts",
        "give": {
            "id": "{{ contact.contact_id }}",
            "amount": {"number": "{{ contact.amount | default('') }}"},
        },
    },
    "count": {"number": "{{ digest.count }}"},
}


def digest(*contacts: dict[str, Any]) -> dict[str, Any]:
    members = [Fields("contact", contact) for contact in contacts]
    return {"digest": Fields("digest", {"contacts": members, "count": len(members)}), "key": "k"}


def test_a_list_has_a_part_for_each_contact_of_a_digest():
    message = request(ROWS).render(digest({"contact_id": "a", "amount": "5"}, {"contact_id": "b"}))
    assert message["json"] == {"rows": [{"id": "a", "amount": 5}, {"id": "b"}], "count": 2}


def test_contacts_may_be_chosen_and_their_lists_gone_through():
    rows = {
        "each": "digest.contacts | selectattr('vip')",
        "give": {"each": "contact.tags", "give": "{{ contact.contact_id }}-{{ item }}"},
    }
    members = (
        {"contact_id": "a", "vip": True, "tags": ["x", "y"]},
        {"contact_id": "b", "vip": "no"},
    )
    assert request([rows, rows]).render(digest(*members))["json"] == 2 * [[["a-x", "a-y"]]]
    assert request(rows).fields_read(digest=True) is None or "tags" in request(rows).fields_read(
        digest=True
    )


def test_a_digest_knows_the_contact_within_the_list_alone():
    action = Action.model_validate({"id": "a", "digest": True, "http_request": {}})
    assert list(digest_problems(action, request(ROWS))) == []
    assert request(ROWS).fields_read(digest=True) == {"contact_id", "amount"}
    [(place, words)] = digest_problems(action, request({"id": "{{ contact.contact_id }}"}))
    assert place == ("http_request", "json", "id")
    assert "there is no 'contact'" in words


def test_addresses_in_such_a_list_say_whom_they_are_for():
    with pytest.raises(ValidationError, match=r"give has contact\.email"):
        request({"each": "digest.contacts", "give": "{{ contact.email }}"}, audience=None)


# ---- other channels, and editors --------------------------------------------------------------


def test_one_notation_is_that_of_all_channels():
    values = {"number": "5"}, {"boolean": "yes"}, {"optional": "{{ contact.x | default('') }}"}
    ticket = FreshdeskTicket.model_validate(
        {"email": "team@example.com", "subject": "s", "description": "d"}
        | {"custom_fields": dict(zip(("cf_a", "cf_b", "cf_c"), values, strict=True))}
    )
    assert ticket.render(variables())["custom_fields"] == {"cf_a": 5, "cf_b": True}
    fields = dict(zip(("customfield_1", "customfield_2", "customfield_3"), values, strict=True))
    issue = JiraIssue.model_validate({"project": "SEG", "summary": "s", "fields": fields})
    assert issue.render(variables())["fields"] == {"customfield_1": 5, "customfield_2": True}


def test_it_arrives_as_it_is(sandbox: Sandbox):
    deliver(
        request(
            {"n": {"number": "{{ contact.x }}"}, "no": {"optional": ""}, "b": {"boolean": "1"}}
        ),
        x="7",
    )
    [received] = sandbox.messages(service="http")
    assert json.loads(received.raw["body"]) == {"n": 7, "b": True}


def test_editors_are_told_of_it():
    actions = definition_schema("workflow")["$defs"]["HttpRequest"]["properties"]["json"]
    assert "{each: EXPRESSION, give: VALUE}" in actions["description"]
    assert actions["examples"][0] == {"amount": {"number": "{{ contact.amount }}"}}
    jsonschema.Draft202012Validator.check_schema(definition_schema("workflow"))


# What SendGrid's OpenAPI (github.com/twilio/sendgrid-oai, tsg_mail_v3, POST /v3/mail/send, read in
# November 2026) says of these parts of a request.
ADDRESS = {
    "type": "object",
    "properties": {"email": {"type": "string"}, "name": {"type": "string"}},
    "required": ["email"],
}
MAIL_SEND = {
    "type": "object",
    "required": ["personalizations", "from", "subject"],
    "properties": {
        "from": ADDRESS,
        "subject": {"type": "string", "minLength": 1},
        "send_at": {"type": "integer"},
        "asm": {"type": "object", "properties": {"group_id": {"type": "integer"}}},
        "personalizations": {
            "type": "array",
            "maxItems": 1000,
            "items": {
                "type": "object",
                "required": ["to"],
                "properties": {
                    "to": {"type": "array", "minItems": 1, "items": ADDRESS},
                    "custom_args": {"type": "object", "additionalProperties": {"type": "string"}},
                    "send_at": {"type": "integer"},
                },
            },
        },
    },
}


@pytest.mark.parametrize("send_at", ["1617260400", ""])
def test_a_mail_through_sendgrid_is_as_it_describes_one(send_at: str):
    body = {
        "personalizations": [
            {
                "to": [
                    {
                        "email": "{{ contact.email }}",
                        "name": {"optional": "{{ contact.nick | default('') }}"},
                    }
                ],
                "custom_args": {"segue_delivery": "{{ key }}"},
                "send_at": {"number": "{{ contact.send_at | default('') }}"},
            }
        ],
        "from": {"email": "news@example.com"},
        "subject": "Welcome {{ contact.first_name }}",
        "asm": {"group_id": {"number": "{{ contact.group | default(12345) }}"}},
    }
    sent = body_of(body, send_at=send_at)
    jsonschema.validate(sent, MAIL_SEND)
    assert ("send_at" in sent["personalizations"][0]) == bool(send_at)
    assert "name" not in sent["personalizations"][0]["to"][0]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"nubmer": "{{ contact.x }}"}, "did you mean number?"),
        ({"numer": "5"}, "did you mean number?"),
        ({"Number": "{{ contact.x }}"}, "did you mean number?"),
        ({"boolaen": "{{ contact.x }}"}, "did you mean boolean?"),
        ({"optinal": "{{ contact.x }}"}, "did you mean optional?"),
        ({"number": 5}, "found 5; allowed: a text. Write 5 without number"),
        ({"boolean": True}, "found true; allowed: a text. Write true without boolean"),
        ({"optional": None}, "found null; allowed: a text"),
        (
            {"each": "contact.x", "giev": "{{ item }}"},
            "found each and giev; allowed: each and give",
        ),
        (
            {"eahc": "contact.x", "give": "{{ item }}"},
            "found eahc and give; allowed: each and give",
        ),
    ],
)
def test_a_slip_in_what_a_text_is_to_become_is_told_with_the_way_around_it(written, words):
    """The object that it would be otherwise is written with ``object``."""
    for body, place in (({"a": written}, "a"), ([written], "0")):
        [(where, text)] = problems(body).items()
        assert where == f"{place}.{next(iter(written))}"
        assert words in text
    assert "{object: {" in text
    assert body_of({"a": {"object": {"nubmer": "5"}}}) == {"a": {"nubmer": "5"}}


@pytest.mark.parametrize(
    "written",
    [
        {"numbers": "5"},
        {"options": "x"},
        {"live": True, "each": "x"},
        {"number": {"value": 5}},
        {"number": 5, "text": "x"},
        {"value": "x"},
        {},
    ],
)
def test_an_object_of_other_words_stays_one(written):
    assert body_of({"a": written}) == {"a": written}
