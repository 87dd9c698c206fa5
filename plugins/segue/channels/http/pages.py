"""Whether an answer is a page of more than it shows, by what its headers say.

A list that goes on denies nothing: what is not on this page may be on the next.

Followed: RFC 8288, section 3.3 (``rel`` may hold several relations, in any case);
https://docs.gitlab.com/api/rest/#pagination-response-headers (X-Next-Page, X-Total);
https://developer.wordpress.org/rest-api/using-the-rest-api/pagination/ (X-WP-Total);
RFC 9110, section 14.4 (Content-Range), as PostgREST writes it: ``0-24/3573458``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

_LISTS = "((wp|pagination|paging|page|list|results?|items|records|search)-)?"
_NEXT = re.compile(rf"x-{_LISTS}next(-(page|cursor|token|offset|link))?")
_TOTAL = re.compile(rf"(x-)?{_LISTS}total(-(count|items|results|records|elements))?")
_RANGE = re.compile(r"(?:[\w-]+\s+)?(?:\*|(\d+)-\d+)/(\d+)")
_NO_PAGE = ("", "0", "false", "null", "none")


def leads_on(response: Response, answer: Any) -> bool:
    """Tell whether the headers of an answer in JSON say that there is more than it lists."""
    headers = {name.lower(): value.strip() for name, value in response.headers.items()}
    if "next" in _relations(headers.get("link", "")):
        return True
    if any(_NEXT.fullmatch(name) and headers[name].lower() not in _NO_PAGE for name in headers):
        return True
    totals = [int(text) for name, text in headers.items() if _is_total(name, text)]
    place = _RANGE.fullmatch(headers.get("content-range", ""))
    if place:
        totals.append(int(place[2]))
    return any(total > _count(answer) for total in totals) or bool(place and int(place[1] or 0))


def _relations(link: str) -> Iterable[str]:
    """Return the relations of all links of a header, in small letters."""
    from requests.utils import parse_header_links

    for each in parse_header_links(link):
        for name, value in each.items():
            if name.lower() == "rel":
                yield from value.lower().split()


def _is_total(name: str, text: str) -> bool:
    return _TOTAL.fullmatch(name) is not None and text.isascii() and text.isdigit()


def _count(answer: Any) -> int:
    """Return how many things an answer lists: as many as its longest list has."""
    longest, parts = 0, [answer]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            longest = max(longest, len(part))
        elif isinstance(part, Mapping):
            parts += part.values()
    return longest
