"""Adaptive Cards: made of a few fields, or written in full with templates for texts.

Followed:
    https://adaptivecards.io/explorer/ (TextBlock, FactSet, TextRun, Action.OpenUrl; fallbackText
    "may contain markdown", speak "may be SSML")
    https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format
    (2026-11: Markdown in TextBlock.text, Fact.title and Fact.value alone; a mention is
    ``<at>…</at>`` and an entity of the same text beside the card's body)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from segue.channels.http.fields import read_json
from segue.contracts.printing import Kind
from segue.contracts.templates import Line, Template, read_template
from segue.documents import Definition, Location, ProblemsFound
from segue.errors import ContactFailure

SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
VERSION = "1.2"  # what the fields need; phones know it

URLS = frozenset({"url", "iconUrl", "backgroundImage", "poster"})
_START = re.compile(r"https?://[^{}/?#\s]+([/?#]|$)", re.IGNORECASE)
_WHOLE = re.compile(r"\{\{\s*results\.\w+\.\w+\s*\}\}", re.ASCII)
_URL = re.compile(r"(https?://[^\s<>\"\\^`{|}\x00-\x1f\x7f]+|data:image/[\w.+-]+;base64,[\w+/=]+)")


def read_link(value: object, info: ValidationInfo) -> Template:
    """Read a URL whose expressions are parts of a path or query, or one whole result.

    Raises ValueError for one whose host a contact could choose.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return read_template(Kind.LINE, value, info)
    template = read_template(Kind.URL, value, info)
    if not (_START.match(template.source) or template.source.startswith("data:image/")):
        expectation = (
            "an http or https URL with a host that is no template, or {{ results.ID.url }}"
        )
        raise ValueError(f"found {template.source!r}; allowed: {expectation}")
    return template


def _read_card(value: object, info: ValidationInfo) -> Any:
    """Read a card; its texts are plain, but for links and what is Markdown in a card."""
    if not isinstance(value, Mapping):
        message = f"found {value!r}; allowed: an Adaptive Card, with type and version"
        raise ValueError(message)  # noqa: TRY004 - what pydantic understands
    problems: list[tuple[Location, str]] = []
    if value.get("type") != "AdaptiveCard":
        problems.append((("type",), f"found {value.get('type')!r}; allowed: AdaptiveCard"))
    if not isinstance(value.get("version"), str):
        problems.append((("version",), "is missing; the version the card needs, such as '1.4'"))
    if problems:
        raise ProblemsFound(problems)

    def read_text(text: str, location: Location, holder: Mapping[str, Any]) -> Template:
        name = next(str(part) for part in reversed(location) if isinstance(part, str))
        if name in URLS:
            return read_link(text, info)
        return read_template(_kind_of(name, location, holder), text, info)

    return read_json(value, read_text)


def _kind_of(name: str, location: Location, holder: Mapping[str, Any]) -> Kind:
    """Return what a text of a card is: plain but for the few places that are Markdown.

    So an id in ``data``, ``value`` or ``altText`` arrives as it is. The text of a mention has to be
    that of the text block which it stands in.
    """
    if name == "speak":
        return Kind.HTML  # SSML, an XML
    is_markdown = (
        name == "fallbackText"
        or (name == "text" and holder.get("type") in ("TextBlock", "mention"))
        or (name in ("title", "value") and location[-3:-2] == ("facts",))
    )
    return Kind.CARD if is_markdown and "data" not in location else Kind.TEXT


Link = Annotated[
    Template,
    PlainValidator(read_link),
    PlainSerializer(lambda text: {"file": text.file} if text.file else text.source),
    WithJsonSchema({"description": "a Jinja template (url)", "type": "string"}),
]
FullCard = Annotated[
    Any,
    PlainValidator(_read_card),
    WithJsonSchema(
        {
            "description": "an Adaptive Card; its texts are Jinja templates (card, text)",
            "type": "object",
        }
    ),
]


class CardLink(Definition):
    """A button below the card that opens a page."""

    title: Line
    url: Link


def card_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the card of a rendered message; the first element's id names the delivery."""
    if "card" in message:
        return dict(message["card"])
    body = [*_elements(message)]
    body[0]["id"] = f"segue-{key}"
    card: dict[str, Any] = {
        "type": "AdaptiveCard",
        "$schema": SCHEMA,
        "version": VERSION,
        "body": body,
    }
    if "link" in message:
        card["actions"] = [{"type": "Action.OpenUrl", **message["link"]}]
    return card


def _elements(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    block = {"type": "TextBlock", "wrap": True}
    if "title" in message:
        yield {**block, "text": message["title"], "size": "medium", "weight": "bolder"}
    if "text" in message:
        yield {**block, "text": message["text"]}
    if message.get("facts"):
        facts = [{"title": title, "value": value} for title, value in message["facts"].items()]
        yield {"type": "FactSet", "facts": facts}


def require_urls(value: object, name: str = "", location: str = "") -> None:
    """Raise ContactFailure where a rendered link is not a URL of http or https."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            require_urls(item, key, f"{location}.{key}" if location else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            require_urls(item, name, f"{location}[{index}]")
    elif isinstance(value, str) and name in URLS and not _URL.fullmatch(value):
        raise ContactFailure(f"{location}: it is not an http or https URL")
