"""What a Slack message says: text, and blocks of Block Kit whose texts are templates.

Blocks are written as YAML of the very shape that Slack documents. What may depend on the contact
is what somebody reads or follows: the text of text objects, ``alt_text``, ``value`` and URLs; all
else (types, ids, styles) stands as it is written. How an expression is escaped follows from its
place: in ``mrkdwn`` as Slack's markup, in ``plain_text`` and the like not at all, because Slack
reads no markup there.

Followed, for places and limits:
    https://docs.slack.dev/reference/block-kit/blocks (types; 50 in a message)
    https://docs.slack.dev/reference/block-kit/blocks/section-block (text 3000; 10 fields of 2000)
    https://docs.slack.dev/reference/block-kit/blocks/header-block (150, plain text)
    https://docs.slack.dev/reference/block-kit/blocks/context-block (10 elements)
    https://docs.slack.dev/reference/block-kit/blocks/actions-block (25 elements)
    https://docs.slack.dev/reference/block-kit/blocks/image-block (URL 3000; alt_text, title 2000)
    https://docs.slack.dev/reference/block-kit/block-elements/button-element (75; URL 3000)
    https://docs.slack.dev/reference/block-kit/composition-objects (text, confirm, option)
    https://docs.slack.dev/messaging/formatting-message-text (``verbatim``)
    https://docs.slack.dev/reference/methods/chat.postMessage (2026-11: "Set parse to none to remove
    the hyperlinks"; Slack's markup works all the same)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from segue.channels.addressing import TeamChannel, is_template
from segue.contracts.printing import Kind
from segue.contracts.templates import Mrkdwn, Template, read_template
from segue.documents import Location, ProblemsFound, did_you_mean, format_location
from segue.errors import ContactFailure

LONGEST_TEXT = 40_000  # characters of a message; Slack cuts off what is beyond
MOST_BLOCKS = 50
LONGEST_MARKUP = 3_000  # characters of a text object, where its place allows no less

BLOCK_TYPES = (
    *("actions", "alert", "auth_provider", "card", "carousel", "container", "context"),
    *("context_actions", "divider", "file", "header", "image", "input", "markdown", "plan"),
    *("rich_text", "section", "table", "task_card", "video"),
)
# by the type of what they are in (an option has none), and their key: the longest text
TEXTS = {
    ("section", "fields"): 2_000,
    ("header", "text"): 150,
    ("button", "text"): 75,
    ("image", "title"): 2_000,
    ("video", "title"): 200,
    ("video", "description"): 200,
    ("option", "text"): 75,
    ("option", "description"): 75,
    ("confirm", "title"): 100,
    ("confirm", "text"): 300,
    ("confirm", "confirm"): 30,
    ("confirm", "deny"): 30,
}
PLAIN_ONLY = {
    *(("header", "text"), ("button", "text"), ("image", "title"), ("video", "title")),
    *(("video", "description"), ("confirm", "title"), ("confirm", "confirm"), ("confirm", "deny")),
}
LISTS = {
    ("section", "fields"): 10,
    ("context", "elements"): 10,
    ("actions", "elements"): 25,
    ("overflow", "options"): 5,
}
STRINGS = {"alt_text": 2_000, "value": 2_000, "accessibility_label": 75}
IDS = {"block_id": 255, "action_id": 255}
LONGEST_URL = 3_000
TEXT_PLACES = frozenset({*TEXTS, ("section", "text")})  # a text object, and nothing else
REQUIRED: Mapping[str, tuple[tuple[str, ...], ...]] = {  # of each tuple one key is needed
    "actions": (("elements",),),
    "button": (("text",),),
    "context": (("elements",),),
    "header": (("text",),),
    "image": (("alt_text",), ("image_url", "slack_file")),
    "markdown": (("text",),),
    "mrkdwn": (("text",),),
    "plain_text": (("text",),),
    "rich_text": (("elements",),),
    "section": (("text", "fields"),),
}
TEXT_OBJECTS = frozenset({"mrkdwn", "plain_text"})
# what else has a text that Slack reads no markup in: elements of rich text, cells of tables
PLAIN_TEXTS = frozenset({"plain_text", "text", "link", "raw_text"})

_BLOCKS = ", ".join(BLOCK_TYPES)
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_URL = "allowed: a URL that begins with http:// or https://"
_EXPRESSION = re.compile(r"\{[{%#]")
_NO_URL = re.compile(r'[\s<>"\\\x00-\x1f\x7f]')


def _read(value: object, info: ValidationInfo) -> Any:
    """Read blocks whose texts are templates; raise ProblemsFound with all that is wrong."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("allowed: a list of blocks, as Slack's Block Kit has them")
    problems: list[tuple[Location, str]] = []

    def read(part: object, location: Location, owner: str, key: str) -> Any:
        if isinstance(part, Mapping):
            inner = _type_of(part, key)
            content = {
                name: read(item, (*location, name), inner, name) for name, item in part.items()
            }
            return _without_links(content, location, problems) if inner == "mrkdwn" else content
        if isinstance(part, list | tuple):
            return tuple(read(item, (*location, i), owner, key) for i, item in enumerate(part))
        if not isinstance(part, str):
            return part
        try:
            return _read_text(part, owner, key, info)
        except ValueError as error:
            problems.append((location, str(error)))
            return None

    blocks = read(value, (), "", "blocks")
    unread = {location for location, _ in problems}
    problems += [problem for problem in _problems(blocks, ()) if problem[0] not in unread]
    if problems:
        raise ProblemsFound(problems)
    return blocks


def _read_text(text: str, owner: str, key: str, info: ValidationInfo) -> Template | str:
    """Read a text as its place wants it; raise ValueError where it may be no template."""
    kind = _kind_of(text, owner, key)
    if kind is Kind.LINE and not _EXPRESSION.match(text):
        raise ValueError(_URL)
    if kind is not None:
        return read_template(kind, text, info)
    if _EXPRESSION.search(text):
        raise ValueError(
            "no template is allowed here; they stand in the text of mrkdwn and plain_text, in "
            "alt_text, in value and in URLs"
        )
    return text


def _kind_of(text: str, owner: str, key: str) -> Kind | None:
    """Return what a text becomes; None for what is the same for every contact."""
    if _is_url(key):  # an expression within a URL is escaped, one that is the URL cannot be
        return Kind.URL if _HTTP.match(text) else Kind.LINE
    if key in STRINGS:
        return Kind.TEXT
    if key != "text":
        return None
    return Kind.MRKDWN if owner == "mrkdwn" else Kind.TEXT if owner in PLAIN_TEXTS else None


def _without_links(
    text_object: dict[str, Any], location: Location, problems: list[Any]
) -> dict[str, Any]:
    """Keep Slack from turning what a contact wrote (a channel's name, a domain) into links."""
    text = text_object.get("text")
    if not isinstance(text, Template) or not is_template(text):
        return text_object
    if text_object.get("verbatim") is False:
        problem = "false would let a contact's text mention and link; leave it out"
        problems.append(((*location, "verbatim"), problem))
    return {**text_object, "verbatim": True}


def _type_of(part: Mapping[str, Any], key: str) -> str:
    """Return the type of a block or an element; options and dialogs do not say theirs."""
    types = {"options": "option", "confirm": "confirm"}
    return str(part.get("type") or types.get(key, ""))


def _problems(part: Any, location: Location, owner: str = "", key: str = "") -> Iterator[Any]:
    """Yield (location, problem) of blocks as they are written, or as they were rendered.

    No problem quotes what depends on the contact.
    """
    if isinstance(part, Mapping):
        inner = _type_of(part, key)
        yield from _shape_problems(part, location, inner, owner, key)
        for name, item in part.items():
            yield from _problems(item, (*location, name), inner, name)
    elif isinstance(part, list | tuple):
        most = LISTS.get((owner, key)) if location else MOST_BLOCKS
        if most is not None and len(part) > most:
            yield location, f"has {len(part)} items; allowed: {most}"
        for index, item in enumerate(part):
            yield from _problems(item, (*location, index), owner, key)
    elif len(location) == 1:
        yield location, "is not a block: a mapping with a type"
    else:
        problem = _text_problem(part, owner, key)
        if problem:
            yield location, problem


def _shape_problems(
    part: Mapping[str, Any], location: Location, inner: str, owner: str, key: str
) -> Iterator[Any]:
    """Yield what is wrong with a block, an element or a text object apart from its parts."""
    if len(location) == 1 and inner not in BLOCK_TYPES:
        what = f"found {inner!r}" if inner else "is missing"
        yield (*location, "type"), f"{what}; allowed: {_BLOCKS}{did_you_mean(inner, BLOCK_TYPES)}"
    for choices in _missing(part, inner):
        yield (*location, choices[0]), f"is missing: a {inner} needs {' or '.join(choices)}"
    place = (owner, key)
    types = ["plain_text"] if place in PLAIN_ONLY else ["mrkdwn", "plain_text"]
    if place in TEXT_PLACES and inner not in types:
        yield (*location, "type"), f"found {inner!r}; allowed: {', '.join(types)}"
    if inner in TEXT_OBJECTS:
        problem = _length_problem(part.get("text"), TEXTS.get(place, LONGEST_MARKUP))
        yield from [((*location, "text"), problem)] if problem else []


def _missing(part: Mapping[str, Any], inner: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of which one is needed and none is there."""
    for choices in REQUIRED.get(inner, ()):
        if all(part.get(choice) in (None, (), []) for choice in choices):
            yield choices


def _text_problem(part: Any, owner: str, key: str) -> str | None:
    if (owner, key) in TEXT_PLACES:
        return "allowed: a text object, such as {type: plain_text, text: Hello}"
    if key == "text" and owner in TEXT_OBJECTS | PLAIN_TEXTS | {"markdown"}:
        if not isinstance(part, str | Template):
            return "allowed: text (put it in quotes)"
        return "it is empty, which Slack refuses" if _size(part) == 0 else None
    if _is_url(key):
        return _length_problem(part, LONGEST_URL) or _url_problem(_fixed_text(part))
    longest = {**STRINGS, **IDS}.get(key)
    return None if longest is None else _length_problem(part, longest)


def _length_problem(part: Any, longest: int) -> str | None:
    if (_size(part) or 0) <= longest:
        return None
    return f"more than {longest} characters, all that Slack takes here"


def _url_problem(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return "is not a URL"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return _URL
    return "has a space or another character that no URL has" if _NO_URL.search(url) else None


def _is_url(key: str) -> bool:
    return key == "url" or key.endswith("_url")


def _fixed_text(part: Any) -> str | None:
    """Return a text; None for what is none, and for what depends on the contact."""
    if isinstance(part, Template):
        return None if is_template(part) else part.source
    return part if isinstance(part, str) else None


def _size(part: Any) -> int | None:
    text = _fixed_text(part)
    return None if text is None else len(text)


Blocks = Annotated[
    Any,
    PlainValidator(_read),
    WithJsonSchema(
        {
            "description": "blocks of Slack's Block Kit; their texts are Jinja templates",
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_BLOCKS,
            "items": {
                "type": "object",
                "properties": {"type": {"enum": list(BLOCK_TYPES)}},
                "required": ["type"],
            },
        }
    ),
]


class SlackText(TeamChannel):
    """The fields of every message in Slack.

    ``text`` is Slack's markup, and what is shown in notifications where there are ``blocks``.
    More than 40,000 characters fail, where Slack would cut them off; so does a block whose texts
    become too long, or empty, or whose URL is not one of HTTP.
    """

    reads: ClassVar[frozenset[str]] = frozenset()

    text: Mrkdwn
    blocks: Blocks | None = None

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message for one contact; raise ContactFailure where Slack cannot take it."""
        message = super().render(variables)
        if len(message["text"]) > LONGEST_TEXT:
            raise ContactFailure(f"text: more than {LONGEST_TEXT} characters, which Slack cuts off")
        if not message["text"].strip():
            raise ContactFailure("text: it is empty")
        for location, problem in _problems(message.get("blocks", ()), ()):
            raise ContactFailure(f"{format_location(('blocks', *location))}: {problem}")
        return message


def content_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rendered message says, as Slack's methods and webhooks take it."""
    blocks = {"blocks": message["blocks"]} if "blocks" in message else {}
    return {
        "text": message["text"],
        **blocks,
        "parse": "none",  # no address becomes a link, unless it stands in <…>
        "unfurl_links": False,
        "unfurl_media": False,
    }


def sections(text: str) -> list[dict[str, Any]]:
    """Return Slack's markup as blocks in which nothing becomes a link by itself.

    A section takes 3,000 characters. What is longer is cut at a line break or a blank, where there
    is one, and never within ``<…>`` or ``&…;``.
    """
    blocks = []
    while text.strip():
        end = len(text) if len(text) <= LONGEST_MARKUP else _end_of_section(text[:LONGEST_MARKUP])
        section, text = text[:end], text[end:].removeprefix("\n")
        if section.strip():
            markup = {"type": "mrkdwn", "text": section, "verbatim": True}
            blocks.append({"type": "section", "text": markup})
    return blocks


def _end_of_section(text: str) -> int:
    """Return where a text of full length may end."""
    for mark in ("\n", " "):
        end = text.rfind(mark)
        while end > 0:
            if text.count("<", 0, end) == text.count(">", 0, end):
                return end
            end = text.rfind(mark, 0, end)
    open_link = text.rfind("<") if text.rfind("<") > text.rfind(">") else 0
    open_entity = text.find("&", len(text) - len("&amp"))
    return open_link if open_link > 0 else open_entity if open_entity > 0 else len(text)
