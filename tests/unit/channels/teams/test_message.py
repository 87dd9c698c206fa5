"""Cards for Teams, sent to the sandbox's workflow; cards are held to the published schema."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import redact
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import ValidationError

from segue.channels.teams.message import LARGEST_MESSAGE, TeamsMessage
from segue.contracts.channel import Limit, Receipt
from segue.contracts.printing import Kind
from segue.contracts.templates import Template, render
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, UnprovenRefusal
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message
from segue.sandbox.vendors import teams_api
from tests.unit.channels.support import HOSTILE, KEY, deliver, http, variables, vendor

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "adaptive_card.json").read_text())
OWN_CARD = {
    "type": "AdaptiveCard",
    "version": "1.4",
    "body": [
        {"type": "TextBlock", "text": "**{{ contact.first_name }}**", "wrap": True},
        {
            "type": "RichTextBlock",
            "id": "note-{{ contact.contact_id }}",
            "inlines": ["{{ contact.first_name }}", {"type": "TextRun", "text": "{{ change }}"}],
        },
        {"type": "Image", "url": "https://example.com/{{ contact.first_name }}.png"},
    ],
    "actions": [
        {
            "type": "Action.OpenUrl",
            "title": "{{ contact.first_name }}",
            "url": "{{ results.ticket.url }}",
        }
    ],
}


def card(**fields: object) -> TeamsMessage:
    base = {"title": "Call {{ contact.contact_id }}", "text": "Hello {{ contact.first_name }}"}
    given = base | fields
    return TeamsMessage.model_validate({k: v for k, v in given.items() if v is not None})


def own(content: object) -> TeamsMessage:
    return card(title=None, text=None, card=content)


def posted(sandbox: Sandbox) -> dict[str, Any]:
    """Return the one card that was posted, once it is as the schema describes it."""
    [received] = sandbox.messages(service="teams")
    assert received.kind == "card", received.fields
    found: dict[str, Any] = received.fields["card"]
    jsonschema.validate(found, SCHEMA)
    return found


def body_in(message: Message) -> Any:
    return json.loads(message.raw["body"])


# ---- sending ----------------------------------------------------------------------------------


def test_a_text_alone_is_a_card(sandbox: Sandbox):
    deliver(card(title=None))
    [block] = posted(sandbox)["body"]
    assert (block["text"], block["id"]) == ("Hello Ana", f"segue-{KEY}")


def test_a_card_of_ones_own_has_templates_for_texts(sandbox: Sandbox):
    deliver(own(OWN_CARD), first_name="A_b c")
    block, rich, image = posted(sandbox)["body"]
    assert block["text"] == "**A\\_b c**"  # Markdown
    assert rich["inlines"] == ["A_b c", {"type": "TextRun", "text": "added"}]  # is none
    assert rich["id"] == "note-c-1"
    assert image["url"] == "https://example.com/A_b%20c.png"
    [action] = posted(sandbox)["actions"]
    assert action["title"] == "A_b c"
    assert action["url"] == "https://example.com/?a=1&b=2"


def test_a_person_of_the_teams_can_be_mentioned_in_a_card_of_ones_own(sandbox: Sandbox):
    mention = {
        "type": "mention",
        "text": "<at>Ann</at>",
        "mentioned": {"id": "{{ contact.agent }}", "name": "{{ contact.agent }}"},
    }
    block = {"type": "TextBlock", "text": "<at>Ann</at>: {{ contact.first_name }}"}
    content = {**OWN_CARD, "body": [block], "msteams": {"entities": [mention]}}
    deliver(own(content), agent="ann_b@example.com", first_name="<at>Ann</at>")
    [received] = sandbox.messages()
    sent = body_in(received)["attachments"][0]["content"]
    who = {"id": "ann_b@example.com", "name": "ann_b@example.com"}
    assert sent["msteams"]["entities"][0]["mentioned"] == who
    assert sent["body"][0]["text"].count("<at>Ann</at>") == 1


# ---- contact text is data ---------------------------------------------------------------------

MARKDOWN = MarkdownIt()  # CommonMark, all of it: cards understand less


def read(source: str) -> Template:
    return Template(source, Kind.CARD)


def kinds_of(markdown: str) -> set[str]:
    """Return the kinds of what a text of CommonMark holds."""
    return {
        inner.type
        for token in MARKDOWN.parse(markdown)
        for inner in [token, *(token.children or [])]
    }


def shown(markdown: str) -> str:
    """Return what a reader of CommonMark sees."""
    return "\n".join(
        "".join("\n" if "break" in one.type else one.content for one in token.children or [token])
        for token in MARKDOWN.parse(markdown)
    )


PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
PLAIN |= {"softbreak", "hardbreak", "code_block"}  # lines, and lines that are indented
MISCHIEF = {
    "a link": "[click](https://evil.example.com)",
    "a link in pieces": "x](https://evil.example.com)",
    "an image": "![x](https://evil.example.com/x.png)",
    "an address in brackets": "<https://evil.example.com>",
    "a mention": "<at>Boss</at>",
    "a mention in entities": "&lt;at&gt;Boss&lt;/at&gt; &#60;at&#62;",
    "emphasis": "**a** _b_ __c__ *d* `e` ~~f~~",
    "a list": "- a\n- b\n+ c\n* d\n1. e\n2) f",
    "a heading": "# a\n## b",
    "a rule": "---\n***\n___",
    "a heading below": "a\n---",
    "a quotation": "> a",
    "code": "```\na\n```",
    "a function": "{{DATE(2017-02-14T06:00:00Z, SHORT)}}",
    "backslashes": "\\[a\\](b) C:\\new\\*",
}


@pytest.mark.parametrize("name", MISCHIEF)
def test_nobody_can_format_link_or_mention(sandbox: Sandbox, name: str):
    written = MISCHIEF[name]
    deliver(
        card(title="{{ contact.note }}", text="x", facts={"N": "{{ contact.note }}"}), note=written
    )
    title, _, facts = posted(sandbox)["body"]
    for text in (title["text"], facts["facts"][0]["value"]):
        assert kinds_of(text) <= PLAIN
        assert "".join(shown(text).split()) == "".join(written.split())


@pytest.mark.parametrize("name", MISCHIEF)
def test_no_mark_is_left_for_a_client_without_backslashes(name: str):
    """Some phones show the backslashes; what is between them still makes nothing."""
    message = card(text="{{ contact.note }}").render(variables(note=MISCHIEF[name]))
    for mark in ("](", "<at>", "</at>", "{{DATE(", "**", "__", "![", "``"):
        assert mark not in message["text"]


@given(st.text(alphabet="ab1 \t\n\\`*_{}[]()<>~#+-.!|&;:/=\"'é👍", max_size=40))
def test_any_text_is_shown_as_it_was_written(note: str):
    text = render(read("x{{ contact.note }}"), variables(note=note or "x"))
    assert kinds_of(text) <= PLAIN
    assert "".join(shown(text).split()) == "".join(("x" + (note or "x")).split())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_text(sandbox: Sandbox, name: str):
    deliver(card(text="{{ contact.note }}"), note=HOSTILE[name])
    text = posted(sandbox)["body"][1]["text"]
    assert kinds_of(text) <= PLAIN
    unified = HOSTILE[name].replace("\r\n", "\n")
    assert shown(text).split() == unified.split()


def test_plain_text_is_left_as_it_is(sandbox: Sandbox):
    """A backslash more than needed is one that a phone may show."""
    note = "M&S, 3.14 – 2026-11-22, ana@example.com #1 50% a+b 1.5"
    deliver(card(text="{{ contact.note }}"), note=note)
    assert posted(sandbox)["body"][1]["text"] == note


def test_what_the_team_writes_is_markdown(sandbox: Sandbox):
    deliver(card(text="**{{ contact.first_name }}** [docs](https://example.com)"))
    text = posted(sandbox)["body"][1]["text"]
    assert {"strong_open", "link_open"} <= kinds_of(text)


# ---- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "{{ contact.website }}",
        "https://{{ contact.website }}/x",
        "https://example.com{{ contact.website }}",
        "{{ results.ticket.url }}/edit",
        "{{ contact.website or results.ticket.url }}",
        "javascript:alert(1)",
        "ftp://example.com/",
        "/relative",
    ],
)
def test_a_host_that_a_contact_could_choose_is_refused(url: str):
    with pytest.raises(ValidationError, match="with a host that is no template"):
        card(link={"title": "Open", "url": url})
    action = {"type": "Action.OpenUrl", "title": "Open", "url": url}
    with pytest.raises(ValidationError, match="with a host that is no template"):
        own({**OWN_CARD, "actions": [action]})


def test_a_contact_stays_within_its_part_of_a_link(sandbox: Sandbox):
    link = {"title": "Open", "url": "https://example.com/c/{{ contact.note }}?q={{ contact.note }}"}
    deliver(card(link=link), note="../a?b=c&d#e@evil.example.com")
    [action] = posted(sandbox)["actions"]
    written = "..%2Fa%3Fb%3Dc%26d%23e%40evil.example.com"
    assert action["url"] == f"https://example.com/c/{written}?q={written}"


@pytest.mark.parametrize("found", ["javascript:alert(1)", "not a link", "https://a b", "ftp://a"])
def test_a_result_that_is_no_url_is_of_the_contact(found: str):
    channel = card(link={"title": "Open", "url": "{{ results.ticket.link }}"})
    given = variables()
    given["results"] = type(given["results"])("results", {"ticket": {"link": found}})
    with pytest.raises(ContactFailure, match=r"^link\.url: it is not an http or https URL$"):
        channel.render(given)


# ---- what cannot be sent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"title": None, "text": None}, "'title', 'text' and 'card' are missing"),
        ({"card": OWN_CARD}, "found title, text beside it"),
        ({"title": None, "text": None, "card": "x"}, "allowed: an Adaptive Card"),
        ({"title": None, "text": None, "card": {"type": "MessageCard"}}, "allowed: AdaptiveCard"),
        ({"title": None, "text": None, "card": {"type": "AdaptiveCard"}}, "version"),
        ({"text": "{{ contact.name | markdown }}"}, "No filter named 'markdown'"),
        ({"link": "https://example.com"}, "link"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, object], said: str):
    with pytest.raises(ValidationError, match=said):
        card(**fields)


def test_every_mistake_in_a_card_is_named_with_its_place():
    block = {"type": "TextBlock", "text": "{{ contact.name"}
    action = {"type": "Action.OpenUrl", "title": "{{ who }}", "url": "x"}
    with pytest.raises(ValidationError) as raised:
        own({**OWN_CARD, "body": [block], "actions": [action]})
    said = str(raised.value)
    assert "not a valid template" in said
    assert "unknown name 'who'" in said
    assert "found 'x'" in said


def test_a_message_larger_than_teams_takes_fails_before_the_call(sandbox: Sandbox):
    """After the call it would be too late: the workflow says 202 to anything."""
    three = "{{ contact.note }}" * 3
    with pytest.raises(ContactFailure, match="more than 28,000 bytes") as raised:
        deliver(card(text=three), note=HOSTILE["ten kilobytes"])
    assert "xxx" not in str(raised.value)
    assert sandbox.messages() == []


def test_bytes_are_counted_as_they_are_sent(sandbox: Sandbox):
    channel = card(text="{{ contact.note }}")
    deliver(channel, note="é" * 13_000)
    [received] = sandbox.messages()
    assert received.kind == "card"
    assert 26_000 < len(received.raw["body"].encode()) <= LARGEST_MESSAGE
    with pytest.raises(ContactFailure, match="28,000"):
        channel.render(variables(note="é" * 14_000))


def test_an_empty_message_fails_before_the_call():
    with pytest.raises(ContactFailure, match="the message is empty"):
        card(title=None, text="{{ contact.note | default('') }}").render(variables())


def test_half_a_surrogate_pair_is_of_the_contact():
    with pytest.raises(ContactFailure, match="UTF-8 cannot carry"):
        card().render(variables(first_name="\ud83d"))


# ---- what a workflow's answers mean -----------------------------------------------------------


def point_at(set_connection, url: object, **extra: object) -> None:
    set_connection("teams_default", conn_type="http", password=url, extra={"timeout": 10, **extra})


def webhook(sandbox: Sandbox) -> str:
    return f"{sandbox.url}/teams{teams_api.WEBHOOK}"


@pytest.mark.parametrize(
    ("found", "replaced", "said"),
    [
        (teams_api.SIGNATURE, "wrong-signature", "401: AuthorizationFailed"),
        (teams_api.WORKFLOW, "0" * 32, "404: WorkflowNotFound; check "),
    ],
)
def test_a_webhook_that_is_gone_fails_no_contact(
    sandbox: Sandbox, set_connection, found: str, replaced: str, said: str
):
    point_at(set_connection, webhook(sandbox).replace(found, replaced))
    with pytest.raises((ConnectionFailure, UnprovenRefusal), match=said) as raised:
        deliver(card())
    assert replaced not in str(raised.value)


@pytest.mark.parametrize(
    "host", ["shop.webhook.office.com", "outlook.office.com", "outlook.office365.com"]
)
def test_the_url_of_a_retired_connector_is_refused_before_any_call(set_connection, host: str):
    """It may answer 200 to what nobody will see."""
    point_at(set_connection, f"https://{host}/webhookb2/secret-group/IncomingWebhook/secret-hook")
    with pytest.raises(ConnectionFailure, match="Microsoft has retired; give it") as raised:
        card().connect()
    assert "secret" not in str(raised.value)


def test_a_workflow_that_was_turned_off_stops_the_slice(set_connection):
    answer = '{"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "…"}}'
    with vendor(http("400 Bad Request", answer)) as url:
        point_at(set_connection, f"{url}/workflows/x?sig=secret-signature")
        with pytest.raises(ConnectionFailure, match="turn the workflow on"):
            deliver(card())


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", "<html>Sign in</html>", {"Content-Type": "text/html"}),
        http("200 OK", "Webhook message delivery failed with error: Microsoft Teams … 429"),
    ],
)
def test_a_success_that_is_not_a_workflows_is_unknown(set_connection, answer: bytes):
    """A proxy's page, or what an Office connector says of a failure; a workflow says 202."""
    with vendor(answer) as url:
        point_at(set_connection, f"{url}/workflows/x?sig=secret-signature")
        with pytest.raises(OutcomeUnknown, match="not the answer of a workflow"):
            deliver(card())


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Payload Too Large"])
def test_a_card_that_is_refused_is_of_the_contact(set_connection, status: str):
    with vendor(http(status, '{"error": {"code": "Hello Ana"}}')) as url:
        point_at(set_connection, f"{url}/workflows/x?sig=secret-signature")
        with pytest.raises(ContactFailure, match=rf"^Teams answered {status[:3]}$"):
            deliver(card())


@pytest.mark.parametrize("headers", [{}, {"x-ms-workflow-run-id": "Hello Ana <b>"}])
def test_a_run_without_a_usable_id_is_delivered(set_connection, headers: dict[str, str]):
    with vendor(http("200 OK", "", headers)) as url:
        point_at(set_connection, f"{url}/workflows/x?sig=secret-signature")
        assert deliver(card()) == Receipt()


# ---- the webhook is a secret ------------------------------------------------------------------

SECRET = "a%2Fsecret-signature_of-43-characters"


@pytest.mark.parametrize(
    "password", [None, "", "x", "https://", "//example.com/x", "ftp://example.com", "https://[x"]
)
def test_a_password_that_is_no_url_is_of_the_connection(set_connection, password: object):
    point_at(set_connection, password)
    with pytest.raises(ConnectionFailure, match="needs the webhook's whole URL") as raised:
        card().connect()
    assert "example.com" not in str(raised.value)


@pytest.mark.parametrize("answer", ["", "401 Unauthorized", "404 Not Found", "500 Oops", "302 Go"])
def test_no_error_and_no_log_shows_the_webhook(
    set_connection, caplog: pytest.LogCaptureFixture, answer: str
):
    caplog.set_level(logging.DEBUG)
    with vendor(http(answer, headers={"Location": "/x"}) if answer else b"") as url:
        point_at(set_connection, f"{url}/workflows/secret-workflow/paths/invoke?v=1&sig={SECRET}")
        with pytest.raises(Exception, match="Teams") as raised:
            deliver(card())
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    logged = "\n".join(str(redact(record.getMessage())) for record in caplog.records)
    assert not answer or "POST" in logged  # urllib3 says where to; Airflow masks it
    assert "secret" not in logged


def test_the_url_goes_out_as_it_was_written(set_connection):
    seen: list[str] = []

    def answer(request: str) -> bytes:
        seen.append(request)
        return http("202 Accepted")

    path = f"/workflows/x/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sig={SECRET}"
    with vendor(answer) as url:
        written = f" {url}{path}\n"
        set_connection("teams_default", conn_type="http", login="somebody", password=written)
        deliver(card())
    assert seen[0].startswith(f"POST {path} HTTP/1.1\r\n")
    assert "authorization" not in seen[0].lower()


# ---- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, [Limit("teams_default", 4, 1.0)]),
        ({"segue_rate": "100/minute"}, [Limit("teams_default", 100, 60.0)]),
        ({"segue_rate": "none"}, []),
    ],
)
def test_a_webhook_has_a_limit(
    sandbox: Sandbox, set_connection, extra: dict[str, str], expected: list[Limit]
):
    point_at(set_connection, webhook(sandbox), **extra)
    with card().connect() as sender:
        assert list(sender.limits(card().render(variables()))) == expected


@pytest.mark.parametrize("key", ["oauth2", "placed_secrets"])
def test_what_a_webhook_has_no_use_for_is_refused(set_connection, key: str):
    extra = {key: {"endpoint": "https://hunter2.example.com"}}
    password = "https://teams.example.com/workflows/1?sig=hunter2"
    set_connection("teams_default", conn_type="http", password=password, extra=extra)
    with pytest.raises(ConnectionFailure, match=f"has '{key}' in its extra") as raised:
        card(text="hello").connect()
    assert "hunter2" not in str(raised.value)


def test_what_is_no_markdown_in_a_card_arrives_as_it_is():
    value = "CID_6F (*)"
    texts = {
        "body": [
            {"type": "TextBlock", "text": "{{ contact.x }}"},
            {
                "type": "FactSet",
                "facts": [{"title": "{{ contact.x }}", "value": "{{ contact.x }}"}],
            },
            {"type": "Image", "url": "https://a.example/b", "altText": "{{ contact.x }}"},
            {"type": "Input.Text", "id": "{{ contact.x }}", "placeholder": "{{ contact.x }}"},
            {
                "type": "Input.Text",
                "id": "b",
                "value": "{{ contact.x }}",
                "label": "{{ contact.x }}",
            },
        ],
        "actions": [
            {
                "type": "Action.Submit",
                "title": "{{ contact.x }}",
                "data": {"text": "{{ contact.x }}"},
            },
            {"type": "Action.Execute", "verb": "{{ contact.x }}", "data": "{{ contact.x }}"},
        ],
        "fallbackText": "{{ contact.x }}",
    }
    written = own({"type": "AdaptiveCard", "version": "1.4", **texts}).render(variables(x=value))
    shown_texts = {str(path): text for path, text in texts_of(written["card"])}
    escaped = "CID\\_6F \\(\\*\\)"
    markdown = [path for path, text in shown_texts.items() if text == escaped]
    assert len(markdown) == 4
    assert all(place in "".join(markdown) for place in ("text", "facts", "fallbackText"))
    plain = [text for text in shown_texts.values() if text == value]
    assert len(plain) == 9


def texts_of(value: Any, path: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], str]]:
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in texts_of(item, (*path, key))]
    if isinstance(value, list):
        return [each for key, item in enumerate(value) for each in texts_of(item, (*path, key))]
    return [(path, value)] if isinstance(value, str) else []
