"""The plain text of an HTML message, for readers and filters that want one.

Small on purpose: paragraphs, breaks, list items, links and picture titles survive, layout does
not. A team that wants better writes the text part itself.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

HIDDEN = frozenset({"head", "script", "style", "template", "title"})
BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset"),
        *("figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"),
        *("main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
    }
)


def plain_text(html: str) -> str:
    """Return what a reader of ``html`` sees, one blank line between paragraphs."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in "".join(reader.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Reader(HTMLParser):
    """Collects text; blocks end lines, and a link is followed by its target."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []
        self._link: tuple[str, int] | None = None  # the target, and where its text begins

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in HIDDEN:
            self._hidden.append(tag)
        elif tag == "br":
            self._write("\n")
        elif tag == "li":
            self._write("\n- ")
        elif tag in BLOCKS:
            self._write("\n\n")
        elif tag in ("td", "th"):
            self._write(" ")
        elif tag == "img":
            self._write(attributes.get("alt") or "")
        elif tag == "a":
            self._link = (attributes.get("href") or "", len(self.parts))

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag == self._hidden[-1]:
            self._hidden.pop()
        elif tag in BLOCKS:
            self._write("\n\n")
        elif tag == "a" and self._link is not None:
            self._end_link(*self._link)
            self._link = None

    def handle_data(self, data: str) -> None:
        self._write(re.sub(r"\s+", " ", data))

    def _end_link(self, target: str, start: int) -> None:
        text = "".join(self.parts[start:]).strip()
        if target.startswith(("http://", "https://")) and text != target:
            self._write(f" ({target})" if text else target)

    def _write(self, text: str) -> None:
        if not self._hidden:
            self.parts.append(text)
