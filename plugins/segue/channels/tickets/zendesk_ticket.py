"""Zendesk tickets, through the Support API v2 and the HTTP provider's hook.

Followed:
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#create-ticket
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#update-ticket (100 calls
    a minute; ``metadata`` becomes ``metadata.custom`` of the audit)
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#list-tickets (by
    external_id; without archived tickets and those the agent may not see; 100 calls a minute)
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#show-multiple-tickets
    https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_audits/ (for OAuth, the
    scope ``read``)
    https://developer.zendesk.com/api-reference/introduction/pagination/ (by cursor)
    https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/ (2026-11:
    Markdown in ``body``, not in ``html_body``)
    https://developer.zendesk.com/api-reference/ticketing/users/users/ (self, ticket_restriction)
    https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/
    (custom fields, metadata, safe_update: 409 UpdateConflict)
    https://developer.zendesk.com/api-reference/ticketing/introduction/#idempotency (of creations)
    https://developer.zendesk.com/api-reference/introduction/requests/ (status codes, 422 details;
    409 is a conflict with what others do at the same time, and may be tried again)
    https://developer.zendesk.com/api-reference/introduction/rate-limits/ (by plan;
    200 calls a minute on Team, the lowest; 429, Retry-After)
    https://developer.zendesk.com/api-reference/introduction/security-and-auth/
    https://developer.zendesk.com/documentation/api-basics/authentication/oauth-migration/ (the end
    of API tokens; client credentials) and https://support.zendesk.com/hc/en-us/articles/9182123625370
    (access tokens of 30 minutes), both read in November 2026
    apache-airflow-providers-zendesk 4.12.1 (the fields of a connection of type ``zendesk``)

The connection is of type Zendesk or HTTP: host ``https://SUBDOMAIN.zendesk.com``, with ``oauth2``
in its extra; or with an API token, where there is one, as login ``EMAIL/token`` and password, or as
``use_token`` or ``token`` in the extra say: nobody can create one since 2026-10-27, and all end on
2027-04-30. Its agent, who made the OAuth client, must be one who sees every ticket. Its extra may
give ``segue_rate``, for an account of a larger plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from segue.channels.addressing import require_one_address
from segue.channels.airflow_connections import find_connection
from segue.channels.http.answers import CallRefused
from segue.channels.look_ups import look_from
from segue.channels.oauth2 import OAUTH2
from segue.channels.tickets.base import ExistingTicket, HelpDesk, HelpDeskTicket, earlier_of
from segue.channels.tickets.custom_fields import FieldValue
from segue.contracts.channel import Finding, Limit, Receipt
from segue.contracts.templates import Html, Line, Markdown
from segue.documents import Definition, Items, ProblemsFound
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure

if TYPE_CHECKING:
    from requests import Session

USE_TOKEN, TOKEN, OAUTH_TOKEN = OF_LOGIN = ("use_token", "token", "oauth_token")  # of an extra
KEY_REUSED = "IdempotentRequestError"
COLLISION = "DatabaseConflict"  # of status 409
# the ticket was changed between the look and the comment, or deleted; nothing was written
CHANGED_MEANWHILE = frozenset({"UpdateConflict", COLLISION, "RecordNotFound"})
OPEN = frozenset({"new", "open", "pending", "hold"})
MARK = "segue_delivery"  # the name under which a comment's audit carries the key
RATE = "200/minute"  # of the account, on the lowest plan
PAGE_SIZE, LAST_PAGE = 100, 100  # of audits; a ticket with more is no ordinary one

FieldId = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,18}$")]


class Requester(Definition):
    """The person a ticket is about; Zendesk finds them by address or makes them."""

    email: Line
    name: Line | None = None  # Zendesk wants one for a person it does not know


class ZendeskTicket(HelpDeskTicket):
    """Create a ticket for the team, or comment on the one that the contact has.

    ``requester`` is the connection's agent where it is left out. If it is the contact, Zendesk's
    own triggers may write to them: say ``audience: contact``, so that nobody who opted out is
    written to, or make the comment private (``public: false``) and say ``audience: team``. A
    template in ``requester.email`` must say which. ``comment`` is Markdown, in which what
    expressions print is escaped.

    Zendesk allows 200 calls a minute for an account of the lowest plan, 2,500 of the highest, and
    answers 429 with Retry-After beyond. The delivery's key is both the Idempotency-Key, under which
    Zendesk gives the first ticket again for about two hours, and the ticket's ``external_id``.
    Updates know no Idempotency-Key: a comment's audit carries the key.

    A delivery is doubtful when the answer was lost, when it was 500 or 502, or when Zendesk holds a
    ticket under the key that was made of other text. The ticket is then looked up by its
    ``external_id``, the comment in the audits of the tickets it may have gone to. *Uncertain* is
    what is left: the agent may not list every ticket, or the call was months ago. A ticket that
    somebody has deleted in the meantime is created again.
    """

    name: ClassVar[str] = "zendesk_ticket"
    reads: ClassVar[frozenset[str]] = frozenset()

    connection: str = "zendesk_default"
    subject: Line
    comment: Markdown | None = None
    comment_html: Html | None = None
    public: bool = True  # whether the requester may see the comment
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    type: Literal["problem", "incident", "question", "task"] | None = None
    status: Literal["new", "open", "pending", "hold", "solved"] | None = None
    tags: Items[Line] = ()
    requester: Requester | None = None
    group_id: int | None = None
    assignee_id: int | None = None
    ticket_form_id: int | None = None
    custom_fields: dict[FieldId, FieldValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        address = self.requester.email if self.requester else None
        self.require_audience("requester.email", address)
        if (self.comment is None) == (self.comment_html is None):
            which = "neither" if self.comment is None else "both"
            text = f"found {which} of comment and comment_html; allowed: one of them"
            raise ProblemsFound([(("comment",), text)])
        return self

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ticket of one contact; raise ContactFailure where a value would be several."""
        message = super().render(variables)
        require_one_address("requester.email", message.get("requester", {}).get("email", ""))
        for index, tag in enumerate(message["tags"]):
            if re.search(r"[\s,]", tag):  # Zendesk would make two of it
                raise ContactFailure(f"tags[{index}]: a tag has no blank and no comma")
        return message

    def connect(self) -> ZendeskTickets:
        """Open a session; nothing is sent yet."""
        return ZendeskTickets.open(self, "Zendesk", RATE, _codes, own=OF_LOGIN, log_in=log_in)


class ZendeskTickets(HelpDesk):
    """An open connection to Zendesk."""

    ticket_page = "/agent/tickets/"
    far_sight = "without a ticket restriction"

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the account's limit; a look at earlier tickets is a call as well."""
        if not message.get("earlier"):
            return self._limits
        return [replace(limit, seconds=limit.seconds * 2) for limit in self._limits]

    def create(self, message: Mapping[str, Any], key: str) -> str:
        """Create a ticket under its Idempotency-Key."""
        try:
            return self._calls.create(
                "/api/v2/tickets.json",
                {"ticket": ticket_of(message, key)},
                headers={"Idempotency-Key": key},
                read=lambda answer: str(int(answer["ticket"]["id"])),
            )
        except CallRefused as error:
            if KEY_REUSED in error.codes:
                raise OutcomeUnknown(
                    "Zendesk has had this delivery's key with other text, perhaps a ticket: "
                    f"look for the external_id {key}"
                ) from None
            if COLLISION in error.codes:  # its key keeps it from being made twice
                raise TransientFailure(f"{error}; nothing was created") from None
            raise

    def comment(self, ticket: ExistingTicket, message: Mapping[str, Any], key: str) -> None:
        """Comment on a ticket as it was seen to be open, and on no other state of it."""
        update = {
            "comment": comment_of(message),
            "metadata": {MARK: key},
            "safe_update": True,
            "updated_stamp": ticket.updated_at,
        }
        try:
            self._calls.create(
                f"/api/v2/tickets/{ticket.number}.json",
                {"ticket": update},
                read=lambda answer: int(answer["ticket"]["id"]),
                method="PUT",
                of_the_contact={404},
            )
        except CallRefused as error:
            if error.status == 404 or CHANGED_MEANWHILE & set(error.codes):
                raise TransientFailure(
                    f"the ticket {ticket.number} was changed meanwhile; nothing was sent"
                ) from None
            raise

    def first_open(self, numbers: Sequence[str]) -> ExistingTicket | None:
        """Ask for all of them in one call; Zendesk leaves out what was deleted."""

        def read(answer: Any, _: bool) -> dict[str, tuple[str, str]]:
            return {
                str(int(ticket["id"])): (ticket["status"], str(ticket["updated_at"]))
                for ticket in answer["tickets"]
            }

        query = {"ids": ",".join(numbers)}
        tickets = self._calls.ask("/api/v2/tickets/show_many.json", query, read=read)
        for number in numbers:
            status, updated_at = tickets.get(number, ("", ""))
            if status in OPEN:
                return ExistingTicket(number, updated_at)
        if not tickets.keys() >= set(numbers):
            self.require_sight_of_all()
        return None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look each ticket up by its external_id, in one call each, then each comment."""
        look_from(since)
        numbers = {
            key: self._number_of(key) or self.ticket_with_comment(key, earlier_of(trace))
            for key, trace in traces.items()
        }
        if None in numbers.values():
            self.require_sight_of_all()
        return {key: self.receipt(number) for key, number in numbers.items() if number}

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the connection's user is; nobody in particular is an end user, too."""
        number, role, restriction = self._calls.ask(
            "/api/v2/users/me.json",
            read=lambda answer, _: tuple(
                answer["user"].get(name) for name in ("id", "role", "ticket_restriction")
            ),
        )
        if role not in ("agent", "admin"):
            raise ConnectionFailure(
                "Zendesk takes the connection's user for an end user; check its login and "
                "password: the OAuth client of an agent, or EMAIL/token and an API token"
            )
        return self.finding_on_sight(f"the {role} {number}", restriction is None)

    def _number_of(self, key: str) -> str | None:
        """Return the first ticket's number, because Zendesk wants no external_id to be unique."""

        def read(answer: Any, _: bool) -> list[int]:
            tickets = answer["tickets"]
            if any(ticket["external_id"] != key for ticket in tickets):
                raise ValueError("it has not filtered, so the ticket may be on another page")
            return sorted(int(ticket["id"]) for ticket in tickets)

        query = {"external_id": key}
        numbers = self._calls.ask("/api/v2/tickets.json", query, read=read)
        return str(numbers[0]) if numbers else None

    def marks(self, number: str) -> Iterator[str]:
        """Yield the keys that a ticket's audits carry; raise where there is no end."""
        query = {"page[size]": str(PAGE_SIZE)}
        for _ in range(LAST_PAGE):
            marks, cursor = self._calls.ask(
                f"/api/v2/tickets/{number}/audits.json",
                query,
                read=_marks_on_page,
                cannot_tell={404},
            )
            yield from marks
            if cursor is None:
                return
            query["page[after]"] = cursor
        raise OutcomeUnknown(f"the ticket {number} has more than {LAST_PAGE * PAGE_SIZE} audits")

    def sees_all(self) -> bool:
        """Ask for the agent's restriction."""
        restriction = self._calls.ask(
            "/api/v2/users/me.json", read=lambda answer, _: answer["user"]["ticket_restriction"]
        )
        return restriction is None


def ticket_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Zendesk's ticket object."""
    same = (
        *("subject", "priority", "type", "status", "tags", "requester"),
        *("group_id", "assignee_id", "ticket_form_id"),
    )
    values = message["custom_fields"]
    fields = [{"id": int(number), "value": value} for number, value in values.items()]
    return {
        "external_id": key,
        "comment": comment_of(message),
        **{name: message[name] for name in same if name in message},
        **({"custom_fields": fields} if fields else {}),
    }


def comment_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rendered message as Zendesk's comment object."""
    if "comment_html" in message:
        return {"html_body": message["comment_html"], "public": message["public"]}
    return {"body": message["comment"], "public": message["public"]}


def _marks_on_page(answer: Any, _: bool) -> tuple[list[str], str | None]:
    """Read one page of audits: the keys on it, and the cursor of the next page."""
    marks = [
        str(mark)
        for audit in answer["audits"]
        if (mark := ((audit.get("metadata") or {}).get("custom") or {}).get(MARK))
    ]
    meta = answer["meta"]
    return marks, str(meta["after_cursor"]) if meta["has_more"] else None


def _codes(answer: Any) -> Iterator[object]:
    """Yield the error's code and the names of the fields at fault."""
    yield answer.get("error")
    yield from answer.get("details") or {}


def log_in(connection: str, session: Session) -> None:
    """Authorise as the extra of a connection of Airflow's type ``zendesk`` says, in its order.

    ``use_token`` (the password is an API token), ``token`` (it is here), ``oauth_token``; else
    login and password stand as they are. Raises ConnectionFailure.
    """
    from requests.auth import HTTPBasicAuth

    fields = find_connection(connection)
    extra = fields.extra_dejson
    token = fields.password if extra.get(USE_TOKEN) else extra.get(TOKEN)
    if token:
        if OAUTH2 in extra or not fields.login:
            raise ConnectionFailure(
                f"the Airflow connection {connection!r} needs the agent's address as its login, "
                f"and no {OAUTH2!r} in its extra, for an API token"
            )
        login = f"{fields.login.removesuffix('/token')}/token"
        session.auth = HTTPBasicAuth(login, str(token))
    elif extra.get(OAUTH_TOKEN):  # beside oauth2 it is refused with what reads that
        session.headers["Authorization"] = f"Bearer {extra[OAUTH_TOKEN]}"
        session.auth = None
