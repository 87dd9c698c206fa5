"""Hostile texts, and judges of what they make of a message: parsers that are not the channels' own.

HTML is read by the standard library's parser, Markdown by markdown-it-py (CommonMark, and GitHub's
with its automatic links). For Slack's markup there is a small reading of Slack's page here: "Detect
all substrings matching ``<(.*?)>``; within those, format content starting with #C as a channel
link, @U or @W as a user link, ! as a special command", and whatever else as a URL, with a label
behind a pipe (https://docs.slack.dev/messaging/formatting-message-text, 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qsl, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from segue.contracts.printing import Kind

MENTIONS = [
    *("<!channel>", "<!here|x>", "!channel", "!here", "!everyone", "!subteam^S0123ABCD", "@here"),
    *(
        "<@U12345678>",
        "@U012AB3CD",
        "#C024BE7LR",
        "<#C024BE7LR|general>",
        "@channel",
        "<at>Ann</at>",
    ),
    "!date^1392734382^{date}^https://evil.example|x",
]
LINKS = [
    *("https://evil.example/login", "http://evil.example", "www.evil.example", "evil@evil.example"),
    *("<https://evil.example|Click>", "https://evil.example|Reset your password", "//evil.example"),
    *(
        "[Confirm](https://evil.example)",
        "![](https://evil.example/p.gif)",
        "[a]: https://evil.example",
    ),
    *("[x][y]\n\n[y]: https://evil.example", "<https://evil.example>", "](https://evil.example)"),
    *("Your account: https://evil.example/a?b=c&d=e, now", "![a][b]", "ftp://evil.example"),
    *("&lt;https://evil.example&gt;", "[a](<https://evil.example>)", "mailto:evil@evil.example"),
]
SCRIPTS = [
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)"),
    *("JaVa\tScRiPt:alert(1)", " \x01javascript:alert(1)", "data:text/html,<script>1</script>"),
    *("x onmouseover=alert(1)", '" onmouseover="alert(1)', "' onmouseover='alert(1)", "-->", "]]>"),
    *(
        "</title><script>1</script>",
        "expression(alert(1))",
        "url(https://evil.example)",
        "vbscript:x",
    ),
    *(
        "red;background:url(//evil.example)",
        "&#106;avascript:alert(1)",
        "<style>*{}</style>",
        "<b>",
    ),
    "<a href=https://evil.example>x</a>",
]
MARKUP = [
    *(
        "*bold* _it_ ~s~ `c`",
        "**b** __i__ ~~s~~",
        "```\ncode\n```",
        "# Heading",
        "a\n===",
        "a\n---",
    ),
    *("- item", "1. item", "* item", "+ item", "> quote", "    code", "a\n\n    code", "| a | b |"),
    *(
        "a | b\n--- | ---\nc | d",
        "&amp; &copy; &#60;",
        "\\*a\\*",
        "\\",
        "\\\\[a](b)",
        "{{DATE(x)}}",
    ),
    *(
        "\n• Mallory (added)",
        "x\r\n* Mallory",
        "x\u2028• Mallory",
        "a\n1) b",
        "---",
        "***",
        "\t- a",
    ),
]
PIPED = [
    *("${e://Field/ssn}", "{e://Field/ssn}", "$", "${", "e://Field/ssn}", "${l://OptOutURL}", "}"),
    *(
        "{{ contact.secret }}",
        "{% raw %}",
        "{{ticket.requester.email}}",
        "%{x}",
        "[code]<b>[/code]",
    ),
]
HEADERS = [
    *(
        "x\r\nBcc: victim@evil.example",
        "x\nSubject: other",
        "=?utf-8?q?=0D=0ABcc:_v@evil.example?=",
    ),
    *(
        "a@b.example, c@evil.example",
        "Ann <c@evil.example>, ",
        "a@b.example;c@evil.example",
        "\r\n.\r\n",
    ),
    *(
        "a,b",
        "<c@evil.example>",
        '"x" <c@evil.example>',
        "gold vip_bypass",
        "undisclosed: c@evil.example;",
    ),
]
PATHS = [
    *(
        "..",
        ".",
        "x/../../admin",
        "x/..",
        "..\\..\\admin",
        "%2e%2e%2fadmin",
        "%252e%252e%252fadmin",
    ),
    *(
        "..;/admin",
        "x/..;a=b/admin",
        "\uff0e\uff0e\uff0fadmin",
        "%c0%ae%c0%ae%c0%afadmin",
        "..%00/",
    ),
    *(
        "%u002e%u002e%u002fadmin",
        "x?admin=1",
        "x#y",
        "a/b",
        "..%5cadmin",
        "x%3fadmin=1",
        "\x00",
        "a;b",
    ),
    *("%25252e%25252e%25252fadmin", "..%2f", "./", "%2e/%2e%2e/admin", "‥/admin", "..∕admin"),
]
TEXTS = [
    *MENTIONS,
    *LINKS,
    *SCRIPTS,
    *MARKUP,
    *PIPED,
    *HEADERS,
    *PATHS,
    *(
        "=1+1",
        "＝1+1",
        "\u202eevil\u202c",
        "e\u0301👩🏽‍🚀",
        "x" * 5_000,
        "\ud83d",
        "\x7f",
        "0",
        " ",
        "no",
    ),
]


def structure(kind: Kind, text: str) -> Hashable:
    """Return what a text of a kind has in it beside words."""
    return _JUDGES[kind](text)


def slack_entities(text: str) -> tuple[str, ...]:
    """Return the mentions, links and dates of Slack's markup, without what may differ in a URL."""
    return tuple(_slack_entity(content) for content in re.findall(r"<(.*?)>", text))


def _slack_entity(content: str) -> str:
    target = content.partition("|")[0]
    return target if target[:1] in ("@", "#", "!") else repr(url_structure(target))


def url_structure(url: str) -> tuple[object, ...]:
    """Return where a URL leads: its site, how deep its path is, and its parameters."""
    parts = urlsplit(url)
    segments = [unquote(segment) for segment in parts.path.split("/")]
    assert not {".", ".."} & set(segments), url
    names = tuple(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return parts.scheme, parts.netloc, len(segments), names, bool(parts.fragment)


class _Tags(HTMLParser):
    """Collects tags with their attributes; of URLs where they lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Hashable] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = tuple(name for name, _ in attrs)
        links = tuple(value for name, value in attrs if name in ("href", "src"))
        assert all(urlsplit(link or "").scheme in ("", "http", "https", "mailto") for link in links)
        self.found.append((tag, names, tuple(urlsplit(link or "").netloc for link in links)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def html_tags(text: str) -> Hashable:
    """Return the tags of HTML."""
    tags = _Tags()
    tags.feed(text)
    tags.close()
    return tuple(tags.found)


_COMMONMARK = MarkdownIt("commonmark")
_GITHUB = MarkdownIt("gfm-like")  # with tables, and addresses that become links by themselves
_OF_TEXT = {"text", "softbreak", "paragraph_open", "paragraph_close", "inline", "text_special"}


def _mark(token: Token) -> Hashable:
    """Return what a mark is, and of a link or a picture where it leads."""
    url = token.attrs.get("href") or token.attrs.get("src") or ""
    return token.type, urlsplit(str(url)).netloc


def _tokens(parser: MarkdownIt) -> Callable[[str], Hashable]:
    def judge(text: str) -> Hashable:
        tokens = parser.parse(text)
        inner = [child for token in tokens for child in token.children or ()]
        return tuple(_mark(token) for token in [*tokens, *inner] if token.type not in _OF_TEXT)

    return judge


def markdown_text(text: str) -> str:
    """Return what a reader of Markdown sees, of a text in which nothing is markup."""
    assert _JUDGES[Kind.MARKDOWN](text) == ()
    inner = [token for token in _GITHUB.parse(text) if token.type == "inline"]
    lines = ["".join(child.content or "\n" for child in token.children or ()) for token in inner]
    return "\n\n".join(lines)


def _is_one_line(text: str) -> Hashable:
    assert text.isprintable() or not re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", text)
    return ()


_JUDGES: Mapping[Kind, Callable[[str], Hashable]] = {
    Kind.TEXT: lambda text: (),
    Kind.LINE: _is_one_line,
    Kind.HTML: html_tags,
    Kind.MRKDWN: slack_entities,
    Kind.PATH: url_structure,
    Kind.URL: url_structure,
    Kind.CARD: _tokens(_COMMONMARK),
    Kind.MARKDOWN: _tokens(_GITHUB),
}
