"""Who reads a message: what the channels that write to the team say of it.

A ticket or a chat message is the team's affair, unless the vendor tells somebody else: where the
requester of a ticket is the contact, Zendesk and Freshdesk write to that person. So a template
that finds an address must say whom it finds, as ``to`` must in a mail (docs/design.md).
"""

from __future__ import annotations

from typing import Literal

from segue.contracts.channel import Audience, Channel
from segue.contracts.templates import Template
from segue.documents import Location, ProblemsFound
from segue.errors import ContactFailure


class TeamChannel(Channel):
    """A channel whose messages are for the team where ``audience`` does not say otherwise."""

    audience: Literal["contact", "team"] | None = None

    @property
    def addressed_to(self) -> Audience:
        """The team, or whom ``audience`` names."""
        return Audience(self.audience or "team")

    def require_audience(self, field: str, address: Template | None) -> None:
        """Raise ProblemsFound where a template finds an address and nobody says whose it is."""
        if address is not None and is_template(address) and self.audience is None:
            raise ProblemsFound([audience_is_missing(field)])


def is_template(template: Template) -> bool:
    """Tell whether a text depends on the contact, or is the same for everybody."""
    return "{{" in template.source or "{%" in template.source


def audience_is_missing(field: str) -> tuple[Location, str]:
    """Return the problem of a field with a template and no ``audience`` beside it."""
    text = f"is missing: {field!r} is a template; say 'audience: contact' or 'audience: team'"
    return ("audience",), text


def require_one_address(field: str, text: str) -> None:
    """Raise ContactFailure for several addresses where a vendor may read each of them."""
    if text.count("@") > 1:
        raise ContactFailure(f"{field}: it is more than one email address")
