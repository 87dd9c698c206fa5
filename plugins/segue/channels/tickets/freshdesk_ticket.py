"""Freshdesk tickets, through the API v2 and the HTTP provider's hook.

Followed, all sections of https://developers.freshdesk.com/api/:
    #authentication (API key as login, any password), #create_ticket, #ticket_attributes
    (numbers of status and priority), #error (400 with field and code), #ratelimit (429,
    Retry-After), #list_all_tickets (updated_since, filter, order_by; 300 pages at most; without
    updated_since those of the past 30 days, without filter neither spam nor deleted ones),
    #view_a_ticket, #add_note_to_a_ticket (private unless said otherwise),
    #list_all_ticket_notes (the conversations of a ticket, by page), #pagination (per_page up to
    100, Link), #me (ticket_scope)
and https://support.freshdesk.com/support/solutions/articles/225440 (status codes),
https://support.freshdesk.com/support/solutions/articles/225439 (calls a minute, by plan, of
2024-03-14: Growth 200, of which 80 created tickets and 20 lists; Pro 400, 160 and 100; Enterprise
700, 280 and 200; 50 during a trial). In the reference itself, as others read it on 2026-09-20,
Growth has 100 calls; so an account of that plan may need a lower ``segue_rate``.
A tag of more than 32 characters is refused with ``invalid_value``.

Searching by tag would be one call, but what was just created takes minutes to be found by it;
lists are immediate, and have shown tags since 2018.

The connection is of type HTTP: host ``https://DOMAIN.freshdesk.com``, login the API key, password
``X``. Its agent must have global access to tickets. Its extra may give ``segue_rate``, for an
account of a larger plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from segue.channels.addressing import require_one_address
from segue.channels.http.answers import CallRefused, CannotTell
from segue.channels.look_ups import look_from
from segue.channels.tickets.base import ExistingTicket, HelpDesk, HelpDeskTicket, earlier_of
from segue.channels.tickets.custom_fields import FieldValue
from segue.contracts.channel import Finding, Limit, Receipt
from segue.contracts.templates import Html, Line
from segue.documents import Items, ProblemsFound
from segue.errors import OutcomeUnknown, TransientFailure

PRIORITIES = {"low": 1, "medium": 2, "high": 3, "urgent": 4}
STATUSES = {"open": 2, "pending": 3, "resolved": 4, "closed": 5}
SOURCES = {
    "email": 1,
    "portal": 2,
    "phone": 3,
    "chat": 7,
    "feedback_widget": 9,
    "outbound_email": 10,
}
DONE = frozenset({STATUSES["resolved"], STATUSES["closed"]})  # every other, a team's own, is open
TAG_LENGTH = 32
RATE = "80/minute"  # created tickets of the account, on the lowest plan that is paid
PAGE_SIZE, LAST_PAGE = 100, 300  # what a list has at most
GLOBAL_ACCESS = 1  # the ticket_scope of an agent who sees every ticket


FieldName = Annotated[str, Field(pattern=r"^cf_[a-z0-9_]+$")]


class FreshdeskTicket(HelpDeskTicket):
    """Create a ticket for the team, or add a note to the one that the contact has.

    ``email`` is the requester, whom Freshdesk finds by address or makes, and to whom its own
    notifications may write. If it is the contact, say ``audience: contact``, so that nobody who
    opted out is written to; a template must say which. ``description`` is HTML.

    Freshdesk allows 80 to 280 created tickets a minute, by plan, and answers 429 with Retry-After
    beyond. Subjects have up to 255 characters, tags up to 32. Creating is not idempotent: the
    delivery's key goes with the ticket as a tag (``delivery_tag``), and with a note in its last
    line, because a note has nothing else to carry it.

    A delivery is doubtful when the answer was lost, or was 500 or 502. The tickets created since
    then are then listed, spam and deleted ones too, and searched for the tag, and the notes of the
    tickets that it may have been added to. *Uncertain* is what is left: the agent does not see
    every ticket, or more than 30,000 were created since. A ticket whose tag somebody has removed is
    created again.
    """

    name: ClassVar[str] = "freshdesk_ticket"
    reads: ClassVar[frozenset[str]] = frozenset()

    connection: str = "freshdesk_default"
    email: Line
    requester_name: Line | None = Field(default=None, alias="name")
    subject: Line
    description: Html
    priority: Literal["low", "medium", "high", "urgent"] = "low"
    status: Literal["open", "pending", "resolved", "closed"] = "open"
    source: (
        Literal["email", "portal", "phone", "chat", "feedback_widget", "outbound_email"] | None
    ) = None
    type: Line | None = None  # one of the account's own
    tags: Items[Line] = ()
    cc_emails: Items[Line] = ()
    group_id: int | None = None
    responder_id: int | None = None  # the agent
    custom_fields: dict[FieldName, FieldValue] = Field(default_factory=dict)
    public: bool = False  # whether the requester may see a note

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.require_audience("email", self.email)
        for index, address in enumerate(self.cc_emails):
            self.require_audience(f"cc_emails[{index}]", address)
        if self.public and self.on_existing != "comment":
            text = "is of the note that `on_existing: comment` adds; a ticket is always public"
            raise ProblemsFound([(("public",), text)])
        return self

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ticket of one contact; raise ContactFailure where an address is several."""
        message = super().render(variables)
        require_one_address("email", message["email"])
        for index, address in enumerate(message["cc_emails"]):
            require_one_address(f"cc_emails[{index}]", address)
        return message

    def connect(self) -> FreshdeskTickets:
        """Open a session; nothing is sent yet."""
        return FreshdeskTickets.open(self, "Freshdesk", RATE, _codes)


class FreshdeskTickets(HelpDesk):
    """An open connection to Freshdesk."""

    ticket_page = "/a/tickets/"
    far_sight = "with global access"

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the account's limit; each look at an earlier ticket is a call as well."""
        calls = 1 + len(message.get("earlier", ()))
        return [replace(limit, seconds=limit.seconds * calls) for limit in self._limits]

    def create(self, message: Mapping[str, Any], key: str) -> str:
        """Create a ticket."""
        return self._calls.create(
            "/api/v2/tickets",
            ticket_of(message, key),
            read=lambda answer: str(int(answer["id"])),
        )

    def comment(self, ticket: ExistingTicket, message: Mapping[str, Any], key: str) -> None:
        """Add a note to a ticket."""
        try:
            self._calls.create(
                f"/api/v2/tickets/{ticket.number}/notes",
                note_of(message, key),
                read=lambda answer: int(answer["id"]),
                of_the_contact={404},
            )
        except CallRefused as error:
            if error.status == 404:
                raise TransientFailure(
                    f"the ticket {ticket.number} was deleted meanwhile; nothing was sent"
                ) from None
            raise

    def first_open(self, numbers: Sequence[str]) -> ExistingTicket | None:
        """Ask for one after the other, the newest first, because that one is likely open."""

        def is_open(answer: Any, _: bool) -> bool:
            is_gone = answer.get("deleted") or answer.get("spam")
            return not is_gone and int(answer["status"]) not in DONE

        for number in numbers:
            path = f"/api/v2/tickets/{number}"
            try:
                if self._calls.ask(path, read=is_open, cannot_tell={404}):
                    return ExistingTicket(number)
            except CannotTell:  # 404: deleted for good; 403 is the answer where it may not be seen
                continue
        return None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look for the tags in the notes of earlier tickets, then among the tickets created since.

        The usual list comes first, then spam and deleted ones.
        """
        begin = look_from(since)
        numbers = {
            key: self.ticket_with_comment(delivery_tag(key), earlier_of(trace))
            for key, trace in traces.items()
        }
        receipts = {key: self.receipt(number) for key, number in numbers.items() if number}
        keys = {delivery_tag(key): key for key in traces}
        for place in ({}, {"filter": "spam"}, {"filter": "deleted"}):
            if len(receipts) == len(keys):
                return receipts
            for ticket in self._created_since(begin, place):
                for tag in ticket.tags & keys.keys():
                    receipts[keys[tag]] = self.receipt(ticket.number)
                if len(receipts) == len(keys):
                    return receipts
        self.require_sight_of_all()
        return receipts

    def marks(self, number: str) -> Iterator[str]:
        """Yield the texts of a ticket's replies and notes."""

        def read(answer: Any, has_next: bool) -> tuple[list[str], bool]:
            texts = [str(item["body_text"]) for item in answer]
            return texts, has_next or len(texts) == PAGE_SIZE

        for page in range(1, LAST_PAGE + 1):
            texts, has_next = self._calls.ask(
                f"/api/v2/tickets/{number}/conversations",
                {"per_page": str(PAGE_SIZE), "page": str(page)},
                read=read,
                cannot_tell={404},
            )
            yield from texts
            if not has_next:
                return
        raise OutcomeUnknown(f"the conversations of the ticket {number} have no end")

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the connection's agent is."""
        number, scope = self._calls.ask(
            "/api/v2/agents/me",
            read=lambda answer, _: (int(answer["id"]), answer["ticket_scope"]),
        )
        return self.finding_on_sight(f"the agent {number}", scope == GLOBAL_ACCESS)

    def _created_since(self, begin: datetime, place: Mapping[str, str]) -> Iterator[Listed]:
        """Yield the tickets created since ``begin``, newest first; raise if there is no end."""
        query = {
            "updated_since": begin.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "order_by": "created_at",
            "order_type": "desc",
            "per_page": str(PAGE_SIZE),
            **place,
        }
        for page in range(1, LAST_PAGE + 1):
            tickets, has_next = self._calls.ask(
                "/api/v2/tickets", {**query, "page": str(page)}, read=_read_page
            )
            yield from (ticket for ticket in tickets if ticket.created_at >= begin)
            # older tickets that were updated since come behind those created since
            if not has_next or any(ticket.created_at < begin for ticket in tickets):
                return
        raise OutcomeUnknown(
            f"more than {LAST_PAGE * PAGE_SIZE} tickets were created since; Freshdesk lists no more"
        )

    def sees_all(self) -> bool:
        """Ask for the agent's scope."""
        scope = self._calls.ask("/api/v2/agents/me", read=lambda answer, _: answer["ticket_scope"])
        return bool(scope == GLOBAL_ACCESS)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a look-up wants of one ticket in a list."""

    number: str
    created_at: datetime
    tags: frozenset[str]


def _read_page(answer: Any, has_next: bool) -> tuple[list[Listed], bool]:
    """Read one page of a list, and whether there is a further one.

    Raises ValueError where the tickets are not the newest first, which the look-up relies on.
    """
    tickets = [
        Listed(
            number=str(int(ticket["id"])),
            created_at=datetime.strptime(ticket["created_at"], "%Y-%m-%dT%H:%M:%S%z"),
            tags=frozenset(tag.lower() for tag in ticket["tags"]),
        )
        for ticket in answer
    ]
    moments = [ticket.created_at for ticket in tickets]
    if moments != sorted(moments, reverse=True):
        raise ValueError("not in the order that was asked for")
    return tickets, has_next or len(tickets) == PAGE_SIZE


def ticket_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Freshdesk's ticket object."""
    same = (
        *("email", "name", "subject", "description", "type"),
        *("group_id", "responder_id", "cc_emails", "custom_fields"),
    )
    source = {"source": SOURCES[message["source"]]} if "source" in message else {}
    return {
        **{name: message[name] for name in same if message.get(name)},
        **source,
        "priority": PRIORITIES[message["priority"]],
        "status": STATUSES[message["status"]],
        "tags": [*message["tags"], delivery_tag(key)],
    }


def note_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Freshdesk's note object."""
    body = f"{message['description']}<p>{delivery_tag(key)}</p>"
    return {"body": body, "private": not message["public"]}


def delivery_tag(key: str) -> str:
    """Return the tag that carries a delivery's key: as much of it as a tag holds (104 bits)."""
    return f"segue-{key}"[:TAG_LENGTH]


def _codes(answer: Any) -> Iterator[object]:
    """Yield the error's code, then field and code of each problem."""
    yield answer.get("code")
    for problem in answer.get("errors") or ():
        yield problem.get("field")
        yield problem.get("code")
