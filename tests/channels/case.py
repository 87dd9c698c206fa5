"""What is said of a channel: how its action is written, and what its server must make of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.sandbox.store import Message

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Servers:
    """Where the sandbox listens, or where a wrong connection leads to."""

    url: str  # of HTTP, without a slash at its end
    smtp_host: str
    smtp_port: int


@dataclass(frozen=True)
class Sent:
    """One delivery, as a case sees it."""

    contact: Mapping[str, str]
    key: str
    url: str  # of the sandbox

    def __getattr__(self, name: str) -> str:
        """Return a column of the contact."""
        try:
            return self.contact[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Written:
    """One way to write the action.

    ``expected`` says what the server must have understood of a message, in the words of the
    case's ``received``; it knows the contact's values and nothing of the channel's code.
    ``outcomes`` are those of hostile contacts whose text cannot be sent, by kind; all others
    must arrive.
    """

    fields: Fields
    expected: Callable[[Sent], Fields]
    outcomes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelCase:
    """One channel, and the server behind it."""

    channel: str  # the key in a workflow's YAML
    service: str  # the sandbox's name of the server
    connection_id: str
    connection: Callable[[Servers], dict[str, Any]]  # the Airflow connection, with an extra
    action: Written  # for every contact
    received: Callable[[Message], Fields]  # what the server understood, all that matters
    receipt: Callable[[Message, str], Fields]  # what the ledger must know of it; the sandbox's URL
    refused: str  # what the ledger says of the contact that the server refuses
    contacts: Mapping[str, Fields]  # values of their own, by kind: those of `refused`, surely
    mark: str  # regular expression of what names a delivery in a request or a mail
    short: Fields  # the action of the crash tests, with the contact's id in it
    # what an error says of a server that refuses everybody, by the sandbox's fault
    refusals: Mapping[str, str]
    # The variants go to the plain and to the hostile contacts alone.
    variants: Mapping[str, Written] = field(default_factory=dict)
    mark_of: Callable[[str, str], str] = lambda key, contact_id: key
    can_be_asked: bool = True  # else a lost answer is `uncertain`
    can_deny: bool = True  # whether what it does not find is surely not there; else `uncertain`
    look_up: Fields = field(default_factory=dict)  # a fault's options that hit look-ups alone
    says_when: bool = True  # whether a refusal for a limit has a Retry-After
    secret: str = "password"  # the connection's key, or its extra's, that holds what is secret

    @property
    def actions(self) -> dict[str, Written]:
        """Every way to write it, by the action's id; the one for everybody is ``main``."""
        return {"main": self.action, **self.variants}

    @property
    def connection_variable(self) -> str:
        """The environment variable of the connection."""
        return f"AIRFLOW_CONN_{self.connection_id.upper()}"

    def connection_json(self, servers: Servers, **extra: Any) -> str:
        """Return the connection as its variable holds it, with more in its extra."""
        found = self.connection(servers)
        return json.dumps({**found, "extra": {**found.get("extra", {}), **extra}})

    def marks_in(self, message: Message) -> list[str]:
        """Return the marks of the deliveries in what a server received."""
        return re.findall(self.mark, text_of(message))


def text_of(message: Message) -> str:
    """Return a request's body, or a mail as it came."""
    return str(message.raw.get("body") or message.raw.get("mail", ""))


def quoted_alike(html: str) -> str:
    """Return HTML with quotes written as the standard library does; either way they mean them."""
    return html.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
