from __future__ import annotations

import smtplib
from email.message import EmailMessage
from html.parser import HTMLParser

import httpx
import pytest

from segue.sandbox import inbox
from segue.sandbox.server import VENDORS, Sandbox
from segue.sandbox.vendors import slack_api

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
BEARER = {"Authorization": f"Bearer {slack_api.TOKEN}"}


def post(web: httpx.Client, text: str, channel: str = "general") -> None:
    arguments = {"channel": channel, "text": text}
    assert web.post("/slack/api/chat.postMessage", json=arguments, headers=BEARER).json()["ok"]


def send(sandbox: Sandbox, subject: str, html: str, *files: str) -> None:
    message = EmailMessage()
    message["From"] = "segue@example.org"
    message["To"] = "ada@example.com"
    message["Subject"] = subject
    message.set_content("plain text")
    message.add_alternative(html, subtype="html")
    for name in files:
        message.add_attachment(b"x", maintype="text", subtype="csv", filename=name)
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as smtp:
        smtp.send_message(message)


class Page(HTMLParser):
    """The tags of a page, in order, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_hostile_text_is_shown_as_text(web: httpx.Client, sandbox: Sandbox) -> None:
    """Neither list, detail nor search turns what was received into markup."""
    post(web, HOSTILE)
    send(sandbox, f"Subject {HOSTILE}", "<p>fine</p>")

    pages = [
        web.get("/"),
        web.get("/", params={"contains": HOSTILE}),
        web.get("/", params={"service": HOSTILE}),
        *(web.get(f"/messages/{message.id}") for message in sandbox.messages()),
    ]

    for page in pages:
        assert page.status_code == 200
        assert Page(page.text).named("script") == []
        assert Page(page.text).named("img") == []
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "&lt;script&gt;" in pages[0].text


def test_the_files_of_a_mail_are_named(web: httpx.Client, sandbox: Sandbox) -> None:
    """Their names came from outside, as all the rest."""
    send(sandbox, "Hello", "<p>fine</p>", "list.csv", "<img src=x>.csv")

    page = web.get(f"/messages/{sandbox.messages()[0].id}").text

    assert "<dt>Attachments</dt><dd>list.csv, &lt;img src=x&gt;.csv</dd>" in page


def test_html_mail_is_shown_in_a_frame_that_may_do_nothing(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """The mail's markup is the frame's document and none of the page's."""
    send(sandbox, "Hello", '<h1 class="big">Hi</h1><script>alert(1)</script>')

    page = Page(web.get(f"/messages/{sandbox.messages()[0].id}").text)

    [frame] = page.named("iframe")
    assert frame["sandbox"] == ""
    assert frame["srcdoc"] is not None
    assert '<h1 class="big">Hi</h1><script>' in frame["srcdoc"]
    assert page.named("script") == []


def test_the_newest_message_is_first(web: httpx.Client) -> None:
    """The list runs from new to old."""
    post(web, "the older one")
    post(web, "the newer one")

    page = web.get("/").text

    assert page.index("the newer one") < page.index("the older one")


def test_the_list_is_cut_into_pages(web: httpx.Client) -> None:
    """Fifty messages to a page, with a way to the older ones and back."""
    for number in range(51):
        post(web, f"message number {number:02}")

    first, second = web.get("/").text, web.get("/", params={"page": 2}).text

    assert ("message number 00" in first, "message number 00" in second) == (False, True)
    assert (">Older<" in first, ">Newer<" in second) == (True, True)


def test_the_detail_page_shows_the_request_without_credentials(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """Method, path, headers and body are there; the token is not."""
    post(web, "hello")

    page = web.get(f"/messages/{sandbox.messages()[0].id}").text

    assert "POST /slack/api/chat.postMessage" in page
    assert "authorization: (removed)" in page
    assert slack_api.TOKEN not in page


def test_a_message_that_is_not_there_is_404(web: httpx.Client) -> None:
    """The page says so; the JSON does too."""
    assert web.get("/messages/999999").status_code == 404
    assert web.get("/sandbox/messages/999999").status_code == 404


def test_an_empty_inbox_and_an_empty_search_say_so(web: httpx.Client) -> None:
    """Nothing received and nothing found are different things."""
    assert "Nothing received yet" in web.get("/").text
    assert "Nothing matches" in web.get("/", params={"contains": "x"}).text


@pytest.mark.parametrize(
    ("filters", "texts"),
    [
        ({}, ["for CID_1", "for CID_2"]),
        ({"service": "slack", "contains": "CID_2"}, ["for CID_2"]),
        ({"service": "zendesk"}, []),
        ({"kind": "webhook_message"}, []),
    ],
)
def test_messages_are_counted_and_filtered_as_json(
    web: httpx.Client, filters: dict[str, str], texts: list[str]
) -> None:
    """The collection has items, oldest first, and total_entries."""
    post(web, "for CID_1")
    post(web, "for CID_2")

    found = web.get("/sandbox/messages", params=filters).json()

    assert [item["text"] for item in found["items"]] == texts
    assert found["total_entries"] == len(texts)


def test_any_text_survives_the_json(web: httpx.Client, sandbox: Sandbox) -> None:
    """Text that is not valid Unicode neither breaks the inbox nor its JSON."""
    body = b'{"channel": "general", "text": "half a pair: \\ud83d"}'
    headers = {**BEARER, "Content-Type": "application/json"}
    web.post("/slack/api/chat.postMessage", content=body, headers=headers)

    assert web.get("/").status_code == 200
    assert web.get("/sandbox/messages").json()["total_entries"] == 1


def test_delete_clears_the_inbox(web: httpx.Client, sandbox: Sandbox) -> None:
    """After DELETE there is nothing left."""
    post(web, "hello")

    assert web.delete("/sandbox/messages").status_code == 204
    assert sandbox.messages() == []


def test_every_service_has_a_name_on_the_page() -> None:
    """Without one, the page of its messages could not be shown."""
    assert {vendor.SERVICE for vendor in VENDORS} <= set(inbox.TITLES)
