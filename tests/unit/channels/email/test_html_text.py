"""The text part that is made of an HTML message."""

from __future__ import annotations

import pytest

from segue.channels.email.html_text import plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two\n  three</p>", "one\n\ntwo three\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two\n"),
        (
            'see <a href="https://example.com/x">our page</a>.',
            "see our page (https://example.com/x).\n",
        ),
        ('<a href="https://example.com">https://example.com</a>', "https://example.com\n"),
        ('<a href="mailto:a@example.com">write</a>', "write\n"),
        ('<a href="https://example.com"><img alt="logo"></a>', "logo (https://example.com)\n"),
        ("<head><title>no</title></head><style>p {}</style><p>yes</p><script>no</script>", "yes\n"),
        ("<p>1 &lt; 2 &amp; 3&nbsp;4</p>", "1 < 2 & 3 4\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc\n"),
        ("<p>open <b>tags", "open tags\n"),
        ("<!-- hidden -->shown", "shown\n"),
        ("", "\n"),
    ],
)
def test_a_reader_sees_the_text(html: str, text: str):
    assert plain_text(html) == text
