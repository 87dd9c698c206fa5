"""Qualtrics tickets, made by a workflow of Qualtrics that a JSON event starts.

Followed:
    https://www.qualtrics.com/support/survey-platform/actions-module/json-events/ (POST of any JSON
    to the event's URL, with X-API-TOKEN; 3,000 calls a minute, 100 KB; its own first example is a
    ticket)
    https://www.qualtrics.com/support/survey-platform/actions-module/ticketing/ (the Tickets task)
    https://developers.qodex.ai/qualtrics-public/ticketing/tickets-search/search-tickets (POST
    /tickets/search, ``keyValue`` is a ticket's data; 403 TIK_1.1 without Closed Loop Follow Up)

No page that is published knows a call which creates a ticket: only searching, reading and updating
are documented (https://developers.qodex.ai/qualtrics-public/ticketing). Qualtrics' own way in from
outside is the event. Inferred, from public clients: the event's path and ``urlTokenId``, that its
answer is the usual envelope with ``meta.httpStatus``, and ``key`` in what a search finds.

The connection is described in ``calls``; events know no OAuth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from segue.channels.addressing import TeamChannel
from segue.channels.http.calls import HttpCalls
from segue.channels.http.fields import Scalar
from segue.channels.look_ups import look_from
from segue.channels.qualtrics.calls import (
    API,
    CONNECTION,
    DELIVERY,
    PIPED_TEXT,
    QualtricsSender,
    open_qualtrics,
    qualtrics_limits,
)
from segue.contracts.channel import Limit, PartlyFound, Receipt
from segue.contracts.templates import Line, Text
from segue.contracts.writing import VendorMarkup
from segue.errors import ContactFailure

EVENTS = "/inbound-event/v1/events/json/triggers"
LARGEST = 100_000  # bytes of an event
SAME = ("name", "owner", "team", "priority", "status", "comment", "data")  # as in the event


def _not_ours(data: dict[str, Any]) -> dict[str, Any]:
    if DELIVERY in data:
        raise ValueError(f"{DELIVERY!r} is Segue's own")
    return data


class QualtricsTicket(TeamChannel):
    """Have a ticket made by a workflow of Qualtrics, for the team.

    The workflow begins with a JSON event, whose ``urlTokenId`` is the ``event``, and makes the
    ticket with its Tickets task out of what the event has: ``$.name``, ``$.owner``, ``$.team``,
    ``$.priority``, ``$.status``, ``$.comment`` and ``$.data.NAME``. The task must keep
    ``$.segue_delivery`` as ticket data of that name, by which the ticket can be looked up. If the
    workflow writes to the contact, say ``audience: contact``.

    Delivered means that Qualtrics took the event: the ticket has no number yet, and there are no
    results for later actions. What the workflow did is in its run history.
    Qualtrics allows 3,000 calls a minute for a brand.

    A delivery is doubtful when the answer was lost, or was 500 or 502. The ticket is then searched
    by its data. A workflow runs some time after its event, so what is not found is *uncertain*.
    """

    name: ClassVar[str] = "qualtrics_ticket"
    longest_call: ClassVar[float] = 120.0
    can_be_asked: ClassVar[bool] = True  # a ticket carries the key in its data
    replaced: ClassVar[VendorMarkup | None] = PIPED_TEXT

    connection: str = CONNECTION
    event: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    ticket_name: Line = Field(alias="name")
    owner: Line | None = None
    team: Line | None = None
    priority: Line | None = None
    status: Line | None = None
    comment: Text | None = None
    data: Annotated[dict[str, Scalar], AfterValidator(_not_ours)] = {}  # noqa: RUF012

    def connect(self) -> QualtricsTickets:
        """Open the sessions; nothing is sent yet."""
        return QualtricsTickets(
            open_qualtrics(self.connection, "", can_be_asked=self.can_be_asked),
            open_qualtrics(self.connection, API),
            qualtrics_limits(self.connection),
        )


class QualtricsTickets(QualtricsSender):
    """An open connection to Qualtrics: its events, and its API."""

    def __init__(self, events: HttpCalls, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        super().__init__(calls, limits)
        self._events = events

    def __exit__(self, *exc: object) -> None:
        self._events.close()
        super().__exit__(*exc)

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Start the workflow once."""
        event = event_of(message, key)
        self._events.create(
            f"{EVENTS}?urlTokenId={message['event']}",
            event,
            read=_read_acceptance,
        )
        return Receipt()

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Search each ticket by its data; raise PartlyFound where one is not found."""
        look_from(since)
        receipts = {key: Receipt() for key in traces if self._has(key)}
        if len(receipts) < len(traces):
            raise PartlyFound(
                "Qualtrics finds no ticket with the delivery's key in its data; the workflow may "
                f"not have run yet, or not keep {DELIVERY}",
                receipts,
            )
        return receipts

    def _has(self, key: str) -> bool:
        """Tell whether there is a ticket with the key in its data."""
        query = {"queryType": "keyValue", "comparison": "eq", "key": DELIVERY, "value": key}
        return self._calls.ask(
            "/tickets/search",
            {"pageSize": "1"},
            read=lambda answer, _: len(answer["result"]["elements"]) > 0,
            body={"query": query},
        )


def event_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as the event's JSON; raise ContactFailure where it is too large."""
    event = {**{name: message[name] for name in SAME if name in message}, DELIVERY: key}
    if len(json.dumps(event)) > LARGEST:
        raise ContactFailure(f"the event is larger than the {LARGEST} bytes that Qualtrics takes")
    return event


def _read_acceptance(answer: Any) -> None:
    """Read the answer to an event; whatever is no envelope of success leaves it open."""
    if not str(answer["meta"]["httpStatus"]).startswith("200"):
        raise ValueError("another status in the body")
