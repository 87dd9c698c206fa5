"""Zendesk tickets, through the Support API v2 and the HTTP provider's hook.

Followed:
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#create-ticket
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#list-tickets (by
    external_id; without archived tickets and those the agent may not see; 100 calls a minute)
    https://developer.zendesk.com/api-reference/ticketing/users/users/ (self, ticket_restriction)
    https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/
    https://developer.zendesk.com/api-reference/ticketing/introduction/#idempotency
    https://developer.zendesk.com/api-reference/introduction/requests/ (status codes, 422 details)
    https://developer.zendesk.com/api-reference/introduction/rate-limits/ (by plan;
    200 calls a minute on Team, the lowest; 429, Retry-After)
    https://developer.zendesk.com/api-reference/introduction/security-and-auth/

The connection is of type HTTP: host ``https://SUBDOMAIN.zendesk.com``, login ``EMAIL/token``,
password an API token; or an extra ``{"Authorization": "Bearer …"}`` for OAuth. Its agent must be
one who sees every ticket. Its extra may give ``segue_rate``, for an account of a larger plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from segue.channels.addressing import TeamChannel
from segue.channels.http_calls import CallRefused, HttpCalls, open_calls
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.delivery.channel import Finding, Limit, Receipt, Sender, Tried
from segue.documents import Definition, Items
from segue.errors import ConnectionFailure, OutcomeUnknown
from segue.workflows.templates import Line, Text

KEY_REUSED = "IdempotentRequestError"
RATE = "200/minute"  # of the account, on the lowest plan


class Requester(Definition):
    """The person a ticket is about; Zendesk finds them by address or makes them."""

    email: Line
    name: Line | None = None  # Zendesk wants one for a person it does not know


class ZendeskTicket(TeamChannel):
    """Create a ticket for the team.

    ``requester`` is the connection's agent where it is left out. If it is the contact, Zendesk's
    own triggers may write to them: say ``audience: contact``, so that nobody who opted out is
    written to, or make the comment private (``public: false``) and say ``audience: team``. A
    template in ``requester.email`` must say which.

    Zendesk allows 200 calls a minute for an account of the lowest plan, 2,500 of the highest, and
    answers 429 with Retry-After beyond. The delivery's key is both the Idempotency-Key, under which
    Zendesk gives the first ticket again for about two hours, and the ticket's ``external_id``.

    A delivery is doubtful when the answer was lost, or when Zendesk holds a ticket under the key
    that was made of other text. The ticket is then looked up by its ``external_id``. *Uncertain* is
    what is left: the agent may not list every ticket, or the call was months ago. A ticket that
    somebody has deleted in the meantime is created again.
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        address = self.requester.email if self.requester else None
        self.require_audience("requester.email", address)
        return self

    @property
    def can_be_asked(self) -> bool:
        """Always: a ticket carries the key as its external_id."""
        return True

    def connect(self) -> ZendeskTickets:
        """Open a session; nothing is sent yet."""
        limits = limits_of(self.connection, default=RATE)
        return ZendeskTickets(open_calls("Zendesk", self.connection), limits)


class ZendeskTickets(Sender):
    """An open connection to Zendesk."""

    def __init__(self, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._calls = calls
        self._limits = limits

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
        return self._receipt(number)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look each ticket up by its external_id, in one call each."""
        look_from(since)
        numbers = {key: self._number_of(key) for key in traces}
        if None in numbers.values():
            self._require_sight_of_all()
        return {key: self._receipt(number) for key, number in numbers.items() if number}

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the account's limit; it is the same for every call."""
        return self._limits

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the connection's user is; nobody in particular is an end user, too."""
        number, role, restriction = self._calls.ask(
            "/api/v2/users/me.json",
            {},
            codes=_codes,
            read=lambda answer, _: tuple(
                answer["user"].get(name) for name in ("id", "role", "ticket_restriction")
            ),
        )
        if role not in ("agent", "admin"):
            raise ConnectionFailure(
                "Zendesk takes the connection's user for an end user; check its login and "
                "password: EMAIL/token and an API token of an agent's"
            )
        whose = f"the {role} {number}"
        if restriction is None:
            return Finding(Tried.OK, whose)
        cost = "tickets in doubt cannot be looked up: use an agent without a ticket restriction"
        return Finding(Tried.LIMITED, f"{whose} does not see every ticket; {cost}")

    def _number_of(self, key: str) -> str | None:
        """Return the first ticket's number, because Zendesk wants no external_id to be unique."""

        def read(answer: Any, _: bool) -> list[int]:
            tickets = answer["tickets"]
            if any(ticket["external_id"] != key for ticket in tickets):
                raise ValueError("it has not filtered, so the ticket may be on another page")
            return sorted(int(ticket["id"]) for ticket in tickets)

        query = {"external_id": key}
        numbers = self._calls.ask("/api/v2/tickets.json", query, codes=_codes, read=read)
        return str(numbers[0]) if numbers else None

    def _require_sight_of_all(self) -> None:
        """Raise OutcomeUnknown where the list leaves out what the agent may not see."""
        restriction = self._calls.ask(
            "/api/v2/users/me.json",
            {},
            codes=_codes,
            read=lambda answer, _: answer["user"]["ticket_restriction"],
        )
        if restriction is not None:
            raise OutcomeUnknown(
                "Zendesk lists no such ticket, but the connection's agent does not see every "
                "ticket; use one without a ticket restriction"
            )

    def _receipt(self, number: str) -> Receipt:
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
