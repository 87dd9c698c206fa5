"""What the ticket channels share: places, custom fields, contacts who have an open ticket already.

Whether a contact has one is asked of the vendor; which tickets to ask for is the ledger's to say:
those that the same action delivered to the contact through the same connection. A search by the
vendor would need no ledger, but what was just created takes minutes to be found by it.

A comment goes out once, as a ticket does. So the ledger keeps the numbers of the tickets that a
call may have commented on, and a look-up reads what was said there.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from segue.channels.addressing import TeamChannel
from segue.channels.http.sender import HttpSender
from segue.channels.tickets.custom_fields import field_values
from segue.contracts.channel import Finding, OpenTicket, Receipt, Tried
from segue.errors import OutcomeUnknown, TransientFailure, UnprovenRefusal

MOST_EARLIER = 10  # tickets of a contact that are asked for, the newest ones
LONGEST_LOOK = 30.0  # seconds after which what was seen is too old to act on
_EARLIER = "earlier"


class PlacedTicket(TeamChannel):
    """A channel that creates tickets in one place of a vendor's, and looks for them there."""

    place: ClassVar[str]  # the field that names it
    can_be_asked: ClassVar[bool] = True  # a ticket carries the key

    @property
    def needs(self) -> Set[str]:
        """The place, in which tickets are created and looked up."""
        return frozenset({getattr(self, self.place)})

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the place that the ticket is in."""
        return {self.place: message[self.place]}


class HelpDeskTicket(TeamChannel):
    """A channel that creates a contact's tickets at a help desk, or comments on an open one."""

    longest_call: ClassVar[float] = 120.0 + LONGEST_LOOK
    reads: ClassVar[frozenset[str]] = frozenset()
    can_be_asked: ClassVar[bool] = True  # a ticket carries the key, and so does a comment

    on_existing: Literal["create", "comment", "skip"] = "create"

    @property
    def looks_back(self) -> bool:
        """Where a contact's open ticket makes a difference."""
        return self.on_existing != "create"

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ticket of one contact, and the numbers of those it had before."""
        message = super().render(variables)
        message["custom_fields"] = field_values(message["custom_fields"])
        if self.looks_back:
            message[_EARLIER] = list(variables.get("earlier", ()))[:MOST_EARLIER]
        return message

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the numbers of the tickets that may get a comment."""
        if self.on_existing == "comment" and message[_EARLIER]:
            return {_EARLIER: " ".join(message[_EARLIER])}
        return {}


@dataclass(frozen=True, slots=True)
class ExistingTicket:
    """A ticket that is open; ``updated_at`` as the vendor wrote it, where it is needed."""

    number: str
    updated_at: str = ""


class HelpDesk(HttpSender):
    """An open connection to a help desk."""

    ticket_page: str  # the path of a ticket's page, in front of its number
    far_sight: str  # what an agent has who sees every ticket: "with …"

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one ticket, or do as ``on_existing`` says where the contact has an open one."""
        ticket = self._open_ticket(message.get(_EARLIER, ()))
        if ticket is None:
            return self.receipt(self.create(message, key))
        if message["on_existing"] == "skip":
            raise OpenTicket(ticket.number)
        self.comment(ticket, message, key)
        return self.receipt(ticket.number)

    @abstractmethod
    def create(self, message: Mapping[str, Any], key: str) -> str:
        """Create a ticket and return its number."""

    @abstractmethod
    def comment(self, ticket: ExistingTicket, message: Mapping[str, Any], key: str) -> None:
        """Add a comment to a ticket."""

    @abstractmethod
    def first_open(self, numbers: Sequence[str]) -> ExistingTicket | None:
        """Return the first of these tickets that is open; OutcomeUnknown where nobody can tell."""

    @abstractmethod
    def marks(self, number: str) -> Iterator[str]:
        """Yield texts of a ticket's comments, as far as they may carry a delivery's key."""

    @abstractmethod
    def sees_all(self) -> bool:
        """Ask whether the connection's agent sees every ticket."""

    def receipt(self, number: str) -> Receipt:
        """Return the receipt of a ticket."""
        return receipt_of(number, f"{self._calls.base_url}{self.ticket_page}{number}")

    def ticket_with_comment(self, mark: str, numbers: Sequence[str]) -> str | None:
        """Return the number of the ticket that has the comment with a mark."""
        for number in numbers:
            if any(mark in text for text in self.marks(number)):
                return number
        return None

    def finding_on_sight(self, whose: str, sees_all: bool) -> Finding:
        """Return what trying the connection came to, once the agent is known."""
        if sees_all:
            return Finding(Tried.OK, whose)
        cost = f"tickets in doubt cannot be looked up: use an agent {self.far_sight}"
        return Finding(Tried.LIMITED, f"{whose} does not see every ticket; {cost}")

    def require_sight_of_all(self) -> None:
        """Raise OutcomeUnknown where a list leaves out what the agent may not see."""
        if not self.sees_all():
            raise OutcomeUnknown(
                f"{self._calls.vendor} lists no such ticket, but the connection's agent does not "
                f"see every ticket; use one {self.far_sight}"
            )

    def _open_ticket(self, numbers: Sequence[str]) -> ExistingTicket | None:
        if not numbers:
            return None
        ends = time.monotonic() + LONGEST_LOOK
        try:
            ticket = self.first_open(numbers)
        except OutcomeUnknown as error:  # of a question: nothing has been sent
            raise UnprovenRefusal(
                f"whether the contact has an open ticket cannot be told: {error}",
                advice="check what the connection's user may see",
            ) from None
        if time.monotonic() > ends:
            raise TransientFailure("the look at the contact's tickets took too long")
        return ticket


def receipt_of(number: str, url: str, /, **others: str) -> Receipt:
    """Return the receipt of a ticket, with what else it is called by."""
    return Receipt(external_id=number, url=url, results={"id": number, **others, "url": url})


def earlier_of(trace: Mapping[str, str]) -> list[str]:
    """Return the numbers of the tickets that a call may have commented on."""
    return trace.get(_EARLIER, "").split()
