"""What Slack says of blocks that it does not accept.

Follows https://docs.slack.dev/reference/block-kit (blocks, block-elements, composition-objects),
page by page: which types there are, what each must have, how long its texts may be. Looked at are
the blocks and elements that show something; of those that take input, only that they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

MAX_BLOCKS = 50
MAX_ID, MAX_URL, MAX_ALT_TEXT = 255, 3_000, 2_000
MAX_SECTION, MAX_FIELDS, MAX_FIELD = 3_000, 10, 2_000
MAX_HEADER, MAX_MARKDOWN, MAX_IMAGE_TITLE = 150, 12_000, 2_000
MAX_CONTEXT, MAX_CONTEXT_TEXT, MAX_ACTIONS = 10, 3_000, 25
MAX_BUTTON, MAX_BUTTON_VALUE = 75, 2_000

_TYPES = frozenset(
    {
        *("actions", "alert", "auth_provider", "card", "carousel", "container", "context"),
        *("context_actions", "divider", "file", "header", "image", "input", "markdown", "plan"),
        *("rich_text", "section", "table", "task_card", "video"),
    }
)
_TEXT_KEYS = {
    "mrkdwn": {"type", "text", "verbatim"},
    "plain_text": {"type", "text", "emoji"},
}

Problem = tuple[str, str]  # a JSON pointer, and what is wrong there


def block_problems(blocks: list[Any]) -> list[Problem]:
    """Return where and what is wrong with the blocks of a message."""
    if len(blocks) > MAX_BLOCKS:
        return [("/blocks", f"no more than {MAX_BLOCKS} items allowed")]
    problems: list[Problem] = []
    for index, block in enumerate(blocks):
        where = f"/blocks/{index}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind not in _TYPES:
            problems.append((f"{where}/type", f"unsupported type: {kind}"))
            continue
        problems += _length(f"{where}/block_id", block.get("block_id"), MAX_ID)
        if kind in _BLOCKS:
            problems += _BLOCKS[kind](where, block)
    return problems


def _section(where: str, block: Any) -> Iterator[Problem]:
    fields = block.get("fields")
    if block.get("text") is None and not fields:
        yield f"{where}/text", "missing required field: text"
    if block.get("text") is not None:
        yield from _text(f"{where}/text", block["text"], MAX_SECTION)
    yield from _items(f"{where}/fields", fields or [], MAX_FIELDS)
    for index, field in enumerate(fields or []):
        yield from _text(f"{where}/fields/{index}", field, MAX_FIELD)
    if block.get("accessory") is not None:
        yield from _element(f"{where}/accessory", block["accessory"])


def _header(where: str, block: Any) -> Iterator[Problem]:
    yield from _text(f"{where}/text", block.get("text"), MAX_HEADER, plain=True)


def _markdown(where: str, block: Any) -> Iterator[Problem]:
    yield from _length(f"{where}/text", block.get("text"), MAX_MARKDOWN, required=True)


def _context(where: str, block: Any) -> Iterator[Problem]:
    elements = block.get("elements")
    yield from _items(f"{where}/elements", elements, MAX_CONTEXT, required=True)
    for index, element in enumerate(elements or []):
        place = f"{where}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image(place, element)
        else:
            yield from _text(place, element, MAX_CONTEXT_TEXT)


def _actions(where: str, block: Any) -> Iterator[Problem]:
    elements = block.get("elements")
    yield from _items(f"{where}/elements", elements, MAX_ACTIONS, required=True)
    for index, element in enumerate(elements or []):
        yield from _element(f"{where}/elements/{index}", element)


def _image(where: str, block: Any) -> Iterator[Problem]:
    yield from _length(f"{where}/alt_text", block.get("alt_text"), MAX_ALT_TEXT, required=True)
    if block.get("slack_file") is None:
        yield from _url(f"{where}/image_url", block.get("image_url"), required=True)
    if block.get("title") is not None:
        yield from _text(f"{where}/title", block["title"], MAX_IMAGE_TITLE, plain=True)


def _element(where: str, element: Any) -> Iterator[Problem]:
    if not isinstance(element, dict) or not isinstance(element.get("type"), str):
        yield where, "missing required field: type"
        return
    yield from _length(f"{where}/action_id", element.get("action_id"), MAX_ID)
    if element["type"] == "image":
        yield from _image(where, element)
    if element["type"] == "button":
        yield from _text(f"{where}/text", element.get("text"), MAX_BUTTON, plain=True)
        yield from _url(f"{where}/url", element.get("url"))
        yield from _length(f"{where}/value", element.get("value"), MAX_BUTTON_VALUE)
        if element.get("style") not in (None, "primary", "danger"):
            yield f"{where}/style", "must be a valid enum value"


def _text(where: str, text: Any, limit: int, *, plain: bool = False) -> Iterator[Problem]:
    if not isinstance(text, dict):
        yield where, "missing required field: text"
        return
    kind = text.get("type")
    if kind not in _TEXT_KEYS or (plain and kind != "plain_text"):
        yield f"{where}/type", f"unsupported type: {kind}"
        return
    for name in sorted(set(text) - _TEXT_KEYS[kind]):
        yield where, f"invalid additional property: {name}"
    yield from _length(f"{where}/text", text.get("text"), limit, required=True)


def _length(where: str, text: Any, limit: int, *, required: bool = False) -> Iterator[Problem]:
    if text is None and not required:
        return
    if not isinstance(text, str):
        yield where, f"missing required field: {where.rsplit('/', 1)[1]}"
    elif not text:
        yield where, "must be more than 0 characters"
    elif len(text) > limit:
        yield where, f"must be less than {limit + 1} characters"


def _url(where: str, url: Any, *, required: bool = False) -> Iterator[Problem]:
    yield from _length(where, url, MAX_URL, required=required)
    if isinstance(url, str) and url and not url.lower().startswith(("http://", "https://")):
        yield where, "invalid url"


def _items(where: str, items: Any, limit: int, *, required: bool = False) -> Iterator[Problem]:
    if required and not items:
        yield where, "must provide at least 1 item"
    elif isinstance(items, list) and len(items) > limit:
        yield where, f"no more than {limit} items allowed"


_BLOCKS: dict[str, Callable[[str, Any], Iterator[Problem]]] = {
    "actions": _actions,
    "context": _context,
    "header": _header,
    "image": _image,
    "markdown": _markdown,
    "section": _section,
}
