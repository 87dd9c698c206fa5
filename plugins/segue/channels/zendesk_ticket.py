"""Zendesk tickets, through the Support API v2 and the HTTP provider's hook.

Followed:
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#create-ticket
    https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/
    https://developer.zendesk.com/api-reference/ticketing/introduction/#idempotency
    https://developer.zendesk.com/api-reference/introduction/requests/ (status codes, 422 details)
    https://developer.zendesk.com/api-reference/introduction/rate-limits/ (429, Retry-After)
    https://developer.zendesk.com/api-reference/introduction/security-and-auth/

The connection is of type HTTP: host ``https://SUBDOMAIN.zendesk.com``, login ``EMAIL/token``,
password an API token; or an extra ``{"Authorization": "Bearer …"}`` for OAuth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from segue.channels.http_calls import CallRefused, HttpCalls, open_calls
from segue.delivery.channel import Channel, Receipt, Sender
from segue.documents import Definition, Items
from segue.errors import OutcomeUnknown
from segue.workflows.templates import Line, Text

KEY_REUSED = "IdempotentRequestError"


class Requester(Definition):
    """The person a ticket is about; Zendesk finds them by address or makes them."""

    email: Line
    name: Line | None = None  # Zendesk wants one for a person it does not know


class ZendeskTicket(Channel):
    """Create a ticket for the team.

    ``requester`` is the connection's agent where it is left out; if it is the contact, Zendesk's
    own triggers may write to them, so leave it out in workflows for people who opted out, or make
    the comment private (``public: false``).

    Zendesk allows a few hundred calls a minute for the whole account and answers 429 with
    Retry-After beyond. The delivery's key is both the Idempotency-Key, under which Zendesk gives
    the first ticket again for about two hours, and the ticket's ``external_id``.

    *Uncertain* means that the answer was lost, or that Zendesk holds a ticket under the key that
    was made of other text. The ticket can be looked up by ``external_id``; until that is done for
    you, a delivery that is uncertain waits for a person.
    """

    name: ClassVar[str] = "zendesk_ticket"
    longest_call: ClassVar[float] = 120.0

    connection: str = "zendesk_default"
    subject: Line
    comment: Text
    public: bool = True  # whether the requester may see the comment
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    type: Literal["problem", "incident", "question", "task"] | None = None
    tags: Items[Line] = ()
    requester: Requester | None = None
    group_id: int | None = None
    assignee_id: int | None = None

    def connect(self) -> ZendeskTickets:
        """Open a session; nothing is sent yet."""
        return ZendeskTickets(open_calls("Zendesk", self.connection))


class ZendeskTickets(Sender):
    """An open connection to Zendesk."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one ticket."""
        try:
            number = self._calls.create(
                "/api/v2/tickets.json",
                {"ticket": ticket_of(message, key)},
                headers={"Idempotency-Key": key},
                codes=_codes,
                read=lambda answer: str(int(answer["ticket"]["id"])),
            )
        except CallRefused as error:
            if KEY_REUSED in error.codes:
                raise OutcomeUnknown(
                    "Zendesk has had this delivery's key with other text, perhaps a ticket: "
                    f"look for the external_id {key}"
                ) from None
            raise
        url = f"{self._calls.base_url}/agent/tickets/{number}"
        return Receipt(external_id=number, url=url, results={"id": number, "url": url})


def ticket_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Zendesk's ticket object."""
    same = ("subject", "priority", "type", "tags", "requester", "group_id", "assignee_id")
    return {
        "external_id": key,
        "comment": {"body": message["comment"], "public": message["public"]},
        **{name: message[name] for name in same if name in message},
    }


def _codes(answer: Any) -> Iterator[object]:
    """Yield the error's code and the names of the fields at fault."""
    yield answer.get("error")
    yield from answer.get("details") or {}
