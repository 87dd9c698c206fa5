"""Blocks of a Slack message: what a definition may say, and what a contact's values make of it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from slack_sdk.models.blocks import Block

from segue.channels.slack.blocks import BLOCK_TYPES
from segue.channels.slack.message import SlackMessage
from segue.documents import format_location
from segue.errors import ContactFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import HOSTILE, deliver, variables

NAME = "{{ contact.first_name }}"
SEARCH = "https://example.com/?q={{ contact.email }}"


def mrkdwn(text: str, **more: object) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, **more}


def plain(text: str, **more: object) -> dict[str, object]:
    return {"type": "plain_text", "text": text, **more}


def button(**fields: object) -> dict[str, object]:
    return {"type": "actions", "elements": [{"type": "button", "text": plain("Open"), **fields}]}


def image(url: str, **fields: object) -> dict[str, object]:
    return {"type": "image", "image_url": url, "alt_text": "a picture", **fields}


def section(text: str) -> dict[str, object]:
    return {"type": "section", "text": mrkdwn(text)}


CARD = [
    {"type": "header", "text": plain(f"At risk: {NAME}", emoji=True)},
    {
        "type": "section",
        "block_id": "facts",
        "text": mrkdwn(f"*{NAME}* <!here>"),
        "fields": [mrkdwn(f"_{NAME}_"), plain(NAME)],
        "accessory": {
            "type": "image",
            "image_url": "https://example.com/{{ contact.contact_id }}.png",
            "alt_text": NAME,
        },
    },
    {"type": "divider"},
    {"type": "context", "elements": [mrkdwn(NAME), plain("static")]},
    {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "text": plain("Ticket"),
                "url": "{{ results.ticket.url }}",
                "value": NAME,
                "action_id": "ticket",
                "style": "primary",
                "confirm": {
                    "title": plain("Sure?"),
                    "text": mrkdwn(NAME),
                    "confirm": plain("Yes"),
                    "deny": plain("No"),
                },
            },
            {"type": "overflow", "options": [{"text": plain(NAME), "url": "https://example.com"}]},
        ],
    },
    {
        "type": "image",
        "image_url": "https://example.com/a.png",
        "alt_text": "a",
        "title": plain(NAME),
    },
    {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": NAME, "style": {"bold": True}},
                    {
                        "type": "link",
                        "url": SEARCH,
                        "text": NAME,
                    },
                ],
            }
        ],
    },
    {"type": "markdown", "text": "**always** the same"},
]


def with_blocks(*blocks: object) -> SlackMessage:
    fields = {"channel": "#alerts", "text": "At risk", "blocks": list(blocks)}
    return SlackMessage.model_validate(fields)


def rendered(*blocks: object, **contact: str):
    return with_blocks(*blocks).render(variables(**contact))["blocks"]


def refused(*blocks: object) -> dict[str, str]:
    """Return what is wrong with blocks, by place."""
    with pytest.raises(ValidationError) as raised:
        with_blocks(*blocks)
    return {
        format_location(at): text
        for error in raised.value.errors()
        for at, text in error["ctx"]["error"].problems
    }


def test_a_message_has_its_blocks_beside_its_text(sandbox: Sandbox):
    deliver(with_blocks(*CARD))
    [received] = sandbox.messages(service="slack")
    sent = json.loads(received.raw["body"])
    assert sent["text"] == "At risk"
    assert [block["type"] for block in sent["blocks"]] == [block["type"] for block in CARD]
    assert sent["blocks"][0]["text"] == {
        "type": "plain_text",
        "text": "At risk: Ana",
        "emoji": True,
    }
    assert sent["blocks"][4]["elements"][0]["url"] == "https://example.com/?a=1&b=2"
    assert sent["blocks"][6]["elements"][0]["elements"][1] == {
        "type": "link",
        "url": "https://example.com/?q=ana%40example.com",
        "text": "Ana",
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_is_text_in_every_place(sandbox: Sandbox, name: str):
    """It neither mentions nor links, and Slack's own models of Block Kit accept what is sent."""
    text = HOSTILE[name][:60]  # the shortest place is a button's
    deliver(with_blocks(*CARD), first_name=text)
    [received] = sandbox.messages(service="slack")
    blocks = received.fields["blocks"]
    marked = [blocks[1]["text"], blocks[1]["fields"][0], blocks[3]["elements"][0]]
    for part in [*marked, blocks[4]["elements"][0]["confirm"]["text"]]:
        assert not set("<>") & set(part["text"].replace(" <!here>", ""))
        assert part["verbatim"] is True
    assert blocks[1]["fields"][1] == plain(text)
    assert blocks[1]["accessory"]["alt_text"] == text
    assert blocks[6]["elements"][0]["elements"][0]["text"] == text
    for block in Block.parse_all(blocks):
        block.validate_json()


def test_what_is_the_same_for_everybody_keeps_its_links():
    [block] = rendered(section("see https://example.com in #general"))
    assert block["text"] == mrkdwn("see https://example.com in #general")


def test_an_expression_within_a_url_is_escaped():
    """It begins no path, no query and no other host."""
    url = "https://shop.example.com/c/{{ contact.first_name }}?q={{ contact.first_name }}"
    [block] = rendered(button(url=url), first_name="../?a=b&c#@evil.example.com/")
    escaped = "..%2F%3Fa%3Db%26c%23%40evil.example.com%2F"
    assert block["elements"][0]["url"] == f"https://shop.example.com/c/{escaped}?q={escaped}"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "slack://channel?id=C1",
        "//example.com",
        "https://",
        "https://exa mple.com",
        "https://example.com/<!channel>",
        "http://[",
        "ftp://example.com",
        "<script>",
    ],
)
@pytest.mark.parametrize("key", ["url", "image_url"])
def test_a_url_that_is_not_one_of_http_fails(sandbox: Sandbox, url: str, key: str):
    block = button(url=NAME) if key == "url" else image(NAME)
    with pytest.raises(ContactFailure, match=rf"blocks\[0\].*{key}: ") as raised:
        deliver(with_blocks(block), first_name=url)
    said = str(raised.value).replace("http:// or https://", "")
    assert url not in said
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("block", "longest", "place"),
    [
        (section(NAME), 3000, "blocks[0].text.text"),
        ({"type": "section", "fields": [plain(NAME)]}, 2000, "blocks[0].fields[0].text"),
        ({"type": "header", "text": plain(NAME)}, 150, "blocks[0].text.text"),
        (button(text=plain(NAME)), 75, "blocks[0].elements[0].text.text"),
        (button(value=NAME), 2000, "blocks[0].elements[0].value"),
        (button(url=f"https://a.example/{NAME}"), 2982, "blocks[0].elements[0].url"),
    ],
)
def test_values_that_are_too_long_fail_and_say_where(
    sandbox: Sandbox, block: object, longest: int, place: str
):
    """Up to Slack's limit they are sent; the sandbox counts for itself."""
    deliver(with_blocks(block), first_name="x" * longest)
    assert len(sandbox.messages()) == 1
    with pytest.raises(ContactFailure, match="more than") as raised:
        deliver(with_blocks(block), first_name="x" * (longest + 1))
    assert str(raised.value).startswith(f"{place}: ")
    assert len(sandbox.messages()) == 1


def test_a_text_that_becomes_empty_fails():
    with pytest.raises(ContactFailure, match=r"blocks\[0\]\.text\.text: it is empty"):
        rendered(section("{{ contact.nothing | default('') }}"))
    with pytest.raises(ContactFailure, match=r"^text: it is empty"):
        empty = {"channel": "#a", "text": "{{ contact.nothing | default('') }} "}
        SlackMessage.model_validate(empty).render(variables())


def test_a_missing_field_names_its_place():
    with pytest.raises(ContactFailure, match=r"blocks\[0\]\.text\.text: missing field.*nickname"):
        rendered(section("{{ contact.nickname }}"))


@pytest.mark.parametrize(
    ("block", "place", "said"),
    [
        ({"type": "sektion"}, "blocks[0].type", "did you mean 'section'"),
        ({"text": plain("a")}, "blocks[0].type", "is missing; allowed: actions, alert"),
        ("section", "blocks[0]", "a mapping with a type"),
        ({"type": "section"}, "blocks[0].text", "a section needs text or fields"),
        ({"type": "section", "text": "Hello"}, "blocks[0].text", "a text object"),
        (
            {"type": "section", "text": {"type": "text", "text": "a"}},
            "blocks[0].text.type",
            "mrkdwn",
        ),
        ({"type": "section", "text": plain(7)}, "blocks[0].text.text", "put it in quotes"),  # type: ignore[arg-type]
        ({"type": "section", "text": plain("")}, "blocks[0].text.text", "empty"),
        ({"type": "section", "text": plain("x" * 3001)}, "blocks[0].text.text", "3000 characters"),
        (
            {"type": "section", "fields": [plain("a")] * 11},
            "blocks[0].fields",
            "has 11 items; allowed: 10",
        ),
        ({"type": "header", "text": mrkdwn("a")}, "blocks[0].text.type", "allowed: plain_text"),
        ({"type": "header", "text": plain("x" * 151)}, "blocks[0].text.text", "150 characters"),
        ({"type": "image", "alt_text": "a"}, "blocks[0].image_url", "image_url or slack_file"),
        ({"type": "image", "image_url": "https://a.b"}, "blocks[0].alt_text", "is missing"),
        ({"type": "context", "elements": []}, "blocks[0].elements", "is missing"),
        (button(url="example.com"), "blocks[0].elements[0].url", "http:// or https://"),
        (button(url="javascript:{{ change }}"), "blocks[0].elements[0].url", "http:// or https://"),
        (button(action_id=NAME), "blocks[0].elements[0].action_id", "no template"),
        (button(action_id="x" * 256), "blocks[0].elements[0].action_id", "255 characters"),
        ({"type": NAME}, "blocks[0].type", "no template"),
        ({"type": "markdown", "text": NAME}, "blocks[0].text", "no template"),
        (
            {"type": "section", "text": mrkdwn(NAME, verbatim=False)},
            "blocks[0].text.verbatim",
            "leave it out",
        ),
        (section("{{ contact. }}"), "blocks[0].text.text", "is not a valid template"),
        (section("{{ kontact.name }}"), "blocks[0].text.text", "unknown name 'kontact'"),
    ],
)
def test_a_mistake_in_a_block_is_named_by_its_place(block: object, place: str, said: str):
    found = refused(block)
    assert list(found) == [place.removeprefix("blocks")]
    assert said in found[place.removeprefix("blocks")]


def test_all_mistakes_are_named_at_once():
    found = refused({"type": "sektion"}, section("{{ x }}"), *[{"type": "divider"}] * 49)
    assert list(found) == ["[1].text.text", "", "[0].type"]


@pytest.mark.parametrize("blocks", [[], "section", {"type": "section"}, 7])
def test_blocks_are_a_list_of_blocks(blocks: object):
    with pytest.raises(ValidationError, match="a list of blocks"):
        SlackMessage.model_validate({"channel": "#a", "text": "b", "blocks": blocks})


def test_every_template_in_blocks_is_known_to_the_validation():
    """So that unknown fields are found before anything is sent."""
    found = dict(with_blocks(*CARD).templates())
    assert ("blocks", 1, "fields", 0, "text") in found
    assert found["blocks", 4, "elements", 0, "url"].source == "{{ results.ticket.url }}"


def test_every_block_of_slacks_sdk_may_be_written():
    """But for calls, which only an app of telephony can show."""
    assert {block.type for block in Block.__subclasses__()} - {"call"} <= set(BLOCK_TYPES)
