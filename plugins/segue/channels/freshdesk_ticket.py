"""Freshdesk tickets, through the API v2 and the HTTP provider's hook.

Followed, all sections of https://developers.freshdesk.com/api/:
    #authentication (API key as login, any password), #create_ticket, #ticket_attributes
    (numbers of status and priority), #error (400 with field and code), #ratelimit (429,
    Retry-After), #list_all_tickets (updated_since, filter, order_by; 300 pages at most; without
    updated_since those of the past 30 days, without filter neither spam nor deleted ones),
    #pagination (per_page up to 100, Link), #me (ticket_scope)
and https://support.freshdesk.com/support/solutions/articles/225440 (status codes),
https://support.freshdesk.com/support/solutions/articles/225439 (calls a minute, by plan: on
Growth, the lowest that is paid, 80 created tickets and 20 lists).
A tag of more than 32 characters is refused with ``invalid_value``.

Searching by tag would be one call, but what was just created takes minutes to be found by it;
lists are immediate, and have shown tags since 2018.

The connection is of type HTTP: host ``https://DOMAIN.freshdesk.com``, login the API key, password
``X``. Its agent must have global access to tickets. Its extra may give ``segue_rate``, for an
account of a larger plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from segue.channels.addressing import TeamChannel
from segue.channels.http_calls import HttpCalls, open_calls
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.delivery.channel import Finding, Limit, Receipt, Sender, Tried
from segue.documents import Items
from segue.errors import OutcomeUnknown
from segue.workflows.templates import Html, Line

PRIORITIES = {"low": 1, "medium": 2, "high": 3, "urgent": 4}
STATUSES = {"open": 2, "pending": 3, "resolved": 4, "closed": 5}
TAG_LENGTH = 32
RATE = "80/minute"  # created tickets of the account, on the lowest plan that is paid
PAGE_SIZE, LAST_PAGE = 100, 300  # what a list has at most
GLOBAL_ACCESS = 1  # the ticket_scope of an agent who sees every ticket


class FreshdeskTicket(TeamChannel):
    """Create a ticket for the team.

    ``email`` is the requester, whom Freshdesk finds by address or makes, and to whom its own
    notifications may write. If it is the contact, say ``audience: contact``, so that nobody who
    opted out is written to; a template must say which. ``description`` is HTML.

    Freshdesk allows 80 to 280 created tickets a minute, by plan, and answers 429 with Retry-After
    beyond. Subjects have up to 255 characters, tags up to 32. Creating is not idempotent: the
    delivery's key goes with the ticket as a tag (``delivery_tag``).

    A delivery is doubtful when the answer was lost. The tickets created since then are then listed,
    spam and deleted ones too, and searched for the tag. *Uncertain* is what is left: the agent does
    not see every ticket, or more than 30,000 were created since. A ticket whose tag somebody has
    removed is created again.
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.require_audience("email", self.email)
        return self

    @property
    def can_be_asked(self) -> bool:
        """Always: a ticket carries the key in a tag."""
        return True

    def connect(self) -> FreshdeskTickets:
        """Open a session; nothing is sent yet."""
        limits = limits_of(self.connection, default=RATE)
        return FreshdeskTickets(open_calls("Freshdesk", self.connection), limits)


class FreshdeskTickets(Sender):
    """An open connection to Freshdesk."""

    def __init__(self, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._calls = calls
        self._limits = limits

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
        return self._receipt(number)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look for the tags among the tickets created since, then among spam and deleted ones."""
        begin = look_from(since)
        keys = {delivery_tag(key): key for key in traces}
        found: dict[str, Receipt] = {}
        for filtered in ({}, {"filter": "spam"}, {"filter": "deleted"}):
            for ticket in self._created_since(begin, filtered):
                for tag in ticket.tags & keys.keys():
                    found[keys[tag]] = self._receipt(ticket.number)
                if len(found) == len(keys):
                    return found
        self._require_sight_of_all()
        return found

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the account's limit on creating tickets; it is the same for every call."""
        return self._limits

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the connection's agent is."""
        number, scope = self._calls.ask(
            "/api/v2/agents/me",
            {},
            codes=_codes,
            read=lambda answer, _: (int(answer["id"]), answer["ticket_scope"]),
        )
        whose = f"the agent {number}"
        if scope == GLOBAL_ACCESS:
            return Finding(Tried.OK, whose)
        cost = "tickets in doubt cannot be looked up: use an agent with global access"
        return Finding(Tried.LIMITED, f"{whose} does not see every ticket; {cost}")

    def _created_since(self, begin: datetime, filtered: Mapping[str, str]) -> Iterator[Listed]:
        """Yield the tickets created since ``begin``, newest first; raise if there is no end."""
        query = {
            "updated_since": begin.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "order_by": "created_at",
            "order_type": "desc",
            "per_page": str(PAGE_SIZE),
            **filtered,
        }
        for page in range(1, LAST_PAGE + 1):
            tickets, has_next = self._calls.ask(
                "/api/v2/tickets", {**query, "page": str(page)}, codes=_codes, read=_listed
            )
            yield from (ticket for ticket in tickets if ticket.created_at >= begin)
            # older tickets that were updated since come behind those created since
            if not has_next or any(ticket.created_at < begin for ticket in tickets):
                return
        raise OutcomeUnknown(
            f"more than {LAST_PAGE * PAGE_SIZE} tickets were created since; Freshdesk lists no more"
        )

    def _require_sight_of_all(self) -> None:
        """Raise OutcomeUnknown where the list leaves out what the agent may not see."""
        scope = self._calls.ask(
            "/api/v2/agents/me", {}, codes=_codes, read=lambda answer, _: answer["ticket_scope"]
        )
        if scope != GLOBAL_ACCESS:
            raise OutcomeUnknown(
                "Freshdesk lists no such ticket, but the connection's agent does not see every "
                "ticket; use one with global access"
            )

    def _receipt(self, number: str) -> Receipt:
        url = f"{self._calls.base_url}/a/tickets/{number}"
        return Receipt(external_id=number, url=url, results={"id": number, "url": url})


@dataclass(frozen=True, slots=True)
class Listed:
    """What a look-up wants of one ticket in a list."""

    number: str
    created_at: datetime
    tags: frozenset[str]


def _listed(answer: Any, has_next: bool) -> tuple[list[Listed], bool]:
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
