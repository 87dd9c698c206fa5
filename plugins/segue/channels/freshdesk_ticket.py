"""Freshdesk tickets, through the API v2 and the HTTP provider's hook.

Followed, all sections of https://developers.freshdesk.com/api/:
    #authentication (API key as login, any password), #create_ticket, #ticket_attributes
    (numbers of status and priority), #error (400 with field and code), #ratelimit (429,
    Retry-After)
and https://support.freshdesk.com/support/solutions/articles/225440 (status codes).
A tag of more than 32 characters is refused with ``invalid_value``.

The connection is of type HTTP: host ``https://DOMAIN.freshdesk.com``, login the API key, password
``X``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from segue.channels.http_calls import HttpCalls, open_calls
from segue.delivery.channel import Channel, Receipt, Sender
from segue.documents import Items
from segue.workflows.templates import Html, Line

PRIORITIES = {"low": 1, "medium": 2, "high": 3, "urgent": 4}
STATUSES = {"open": 2, "pending": 3, "resolved": 4, "closed": 5}
TAG_LENGTH = 32


class FreshdeskTicket(Channel):
    """Create a ticket for the team.

    ``email`` is the requester, whom Freshdesk finds by address or makes, and to whom its own
    notifications may write: give an address of the team in workflows for people who opted out.
    ``description`` is HTML.

    Freshdesk allows 80 to 280 created tickets a minute, by plan, and answers 429 with Retry-After
    beyond. Subjects have up to 255 characters, tags up to 32. Creating is not idempotent: the
    delivery's key goes with the ticket as a tag (``delivery_tag``), by which a person can find it.

    *Uncertain* means that the answer was lost: the ticket may exist. Until Segue looks for the tag
    itself, such a delivery waits for a person.
    """

    name: ClassVar[str] = "freshdesk_ticket"
    longest_call: ClassVar[float] = 120.0

    connection: str = "freshdesk_default"
    email: Line
    requester_name: Line | None = Field(default=None, alias="name")
    subject: Line
    description: Html
    priority: Literal["low", "medium", "high", "urgent"] = "low"
    status: Literal["open", "pending", "resolved", "closed"] = "open"
    tags: Items[Line] = ()

    def connect(self) -> FreshdeskTickets:
        """Open a session; nothing is sent yet."""
        return FreshdeskTickets(open_calls("Freshdesk", self.connection))


class FreshdeskTickets(Sender):
    """An open connection to Freshdesk."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one ticket."""
        number = self._calls.create(
            "/api/v2/tickets",
            ticket_of(message, key),
            headers={},
            codes=_codes,
            read=lambda answer: str(int(answer["id"])),
        )
        url = f"{self._calls.base_url}/a/tickets/{number}"
        return Receipt(external_id=number, url=url, results={"id": number, "url": url})


def ticket_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Freshdesk's ticket object."""
    same = ("email", "name", "subject", "description")
    return {
        **{name: message[name] for name in same if name in message},
        "priority": PRIORITIES[message["priority"]],
        "status": STATUSES[message["status"]],
        "tags": [*message["tags"], delivery_tag(key)],
    }


def delivery_tag(key: str) -> str:
    """Return the tag that carries a delivery's key: as much of it as a tag holds (104 bits)."""
    return f"segue-{key}"[:TAG_LENGTH]


def _codes(answer: Any) -> Iterator[object]:
    """Yield the error's code, then field and code of each problem."""
    yield answer.get("code")
    for problem in answer.get("errors") or ():
        yield problem.get("field")
        yield problem.get("code")
