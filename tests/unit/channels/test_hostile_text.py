"""What a contact wrote never mentions, links, formats, addresses or leads anybody anywhere.

Every action of every channel's case is rendered with each hostile text in each field that it reads,
one at a time, and judged against the same action with a harmless word: the same tags, the same
links, the same recipients, the same headers, the same paths, or a refusal.
"""

from __future__ import annotations

import email
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from email.policy import default
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from segue.channels.email.mail import mail_of
from segue.channels.email.mailboxes import Mailbox
from segue.channels.email.outbox import RECIPIENTS, _mailboxes_in
from segue.channels.slack.blocks import content_of
from segue.contracts.channel import Channel, channel_class
from segue.contracts.printing import Kind
from segue.contracts.template_values import Fields
from segue.documents import Location
from segue.errors import ContactFailure
from tests.channels import people
from tests.channels.cases import CASES
from tests.unit.channels.hostile import TEXTS, html_tags, slack_entities, structure
from tests.unit.channels.support import KEY

TEMPLATES = Path(__file__).parents[3] / "include/templates"
PATIENCE = 300  # seconds for all texts in one action; it takes five at most on a machine at rest
ACTIONS = [(name, action) for name, case in CASES.items() for action in case.actions]
# written to every channel with a field of the kind, beside what its case has
LINKS = (
    "<https://shop.example/{{ contact.note }}|{{ contact.first_name }}> <{{ contact.place }}|site>"
)


@cache
def channel_of(name: str, action: str) -> Channel:
    fields = dict(CASES[name].actions[action].fields)
    return channel_class(name).model_validate(fields, context={"templates": TEMPLATES})


def variables(name: str, changed: Mapping[str, str]) -> dict[str, Any]:
    plain = people.contact(name, people.PLAIN, CASES[name].contacts.get(people.PLAIN, {}))
    contact = {"phone": "+447700900123", **plain, "first_name": "Zoe", "note": "word", **changed}
    results = {"ticket": {"url": "https://example.com/7"}}
    return {
        "contact": Fields("contact", contact),
        "change": "added",
        "key": KEY,
        "results": Fields("results", results),
    }


def fields_of(channel: Channel) -> list[str]:
    names = channel.fields_read(digest=False)
    assert names is not None
    return sorted(names | {"contact_id"} if channel.reads else names)


def value_at(message: Mapping[str, Any], location: Location) -> Any:
    value: Any = message
    for part in location:
        try:
            value = value[part]
        except (LookupError, TypeError):  # left out, or put together with others
            return None
    return value


def structures(channel: Channel, message: Mapping[str, Any]) -> Iterator[tuple[Location, Any]]:
    """Yield what each text of a message has in it beside words."""
    for location, template in channel.templates():
        value = value_at(message, location)
        if isinstance(value, str):
            yield location, structure(template.kind, value)


def shape(value: Any) -> Any:
    """Return a message without its texts."""
    if isinstance(value, Mapping):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shape(item) for item in value]
    return type(value)


def whole(name: str, message: Mapping[str, Any]) -> object:
    """Return what the whole of a message has in it, as the vendor gets it."""
    piped = json.dumps(message).count("${") if CASES[name].service == "qualtrics" else 0
    if name == "email":
        return piped, mail_structure(message)
    if name.startswith("slack"):
        content = content_of(message)
        assert content["parse"] == "none"
        assert all(each.get("verbatim") for each in markups(content) if "<" in each["text"])
        return piped, [slack_entities(each["text"]) for each in markups(content)]
    return piped


def markups(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the text objects of Slack's markup."""
    if isinstance(value, Mapping):
        if value.get("type") == "mrkdwn":
            yield value
        for item in value.values():
            yield from markups(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from markups(item)


def mail_structure(message: Mapping[str, Any]) -> object:
    """Return headers, recipients and parts of a mail, as the standard library's parser reads it."""
    mailboxes = {field: _mailboxes_in(message, field) for field in RECIPIENTS}
    content = mail_of(message, mailboxes, Mailbox("", "shop@example.com"), "<k@segue.x>", [])
    mail = email.message_from_bytes(content, policy=default)
    counts = {field: len(mail[field].addresses) for field in ("to", "cc") if mail[field]}
    html = mail.get_body(("html",))
    tags = html_tags(html.get_content()) if html else ()
    return sorted(mail.keys()), counts, [part.get_content_type() for part in mail.walk()], tags


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_hostile_text_is_text_or_refused(name: str, action: str):
    fields = fields_of(channel_of(name, action))
    require_harmless(name, action, [{field: text} for field in fields for text in TEXTS])


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE * 4)
@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_hostile_text_in_two_fields_is_text_or_refused(name: str, action: str):
    """The first half in one field, the rest in another, as in a first and a last name."""
    pairs = list(permutations(fields_of(channel_of(name, action)), 2))
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in TEXTS]
    require_harmless(name, action, [{one: a, other: b} for one, other in pairs for a, b in halves])


def require_harmless(name: str, action: str, changes: Iterable[Mapping[str, str]]) -> None:
    """Render an action with each of these values, and judge it against harmless ones."""
    channel = channel_of(name, action)
    harmless = channel.render(variables(name, {}))
    expected = dict(structures(channel, harmless))
    expected_of_all = whole(name, harmless)
    for changed in changes:
        try:
            message = channel.render(variables(name, changed))
            marks_of_all = whole(name, message)
        except (ContactFailure, UnicodeEncodeError):  # which the mailer turns into the former
            continue
        assert shape(message) == shape(harmless), changed
        for location, marks in structures(channel, message):
            assert not Counter(marks) - Counter(expected[location]), changed
        assert marks_of_all == expected_of_all, changed


@pytest.mark.parametrize("name", CASES)
def test_a_word_is_not_refused(name: str):
    """Or the test above would say nothing."""
    for action in CASES[name].actions:
        channel = channel_of(name, action)
        for field in fields_of(channel):
            plain = variables(name, {})["contact"].get(field, "word")
            channel.render(variables(name, {field: str(plain)}))


def test_every_kind_of_text_is_judged():
    kinds = {
        template.kind
        for name, action in ACTIONS
        for _, template in channel_of(name, action).templates()
    }
    assert kinds == set(Kind)
