"""Fakes for tests of workflows and channels: a channel that records instead of sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr

from segue.delivery.channel import Audience, Channel, Receipt, Sender
from segue.workflows.templates import Text


@dataclass
class Outbox:
    """What a ``RecordingChannel`` received, in order of arrival: (key, message)."""

    received: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    connections: int = 0  # how often the channel was connected

    @property
    def keys(self) -> list[str]:
        """The keys of all received messages."""
        return [key for key, _ in self.received]


class RecordingChannel(Channel):
    """A channel whose messages end in an ``Outbox``; ``answers`` may raise to play a vendor."""

    name: ClassVar[str] = "recording"

    connection: str = "recording_default"
    to_contact: bool = False
    text: Text

    _outbox: Outbox = PrivateAttr(default_factory=Outbox)
    _answer: Callable[[str, Mapping[str, Any]], None] = PrivateAttr(default_factory=lambda: _accept)

    @property
    def outbox(self) -> Outbox:
        """What has been received so far."""
        return self._outbox

    def answering(self, answer: Callable[[str, Mapping[str, Any]], None]) -> Self:
        """Return this channel; ``answer(key, message)`` is called before a message is kept."""
        self._answer = answer
        return self

    @property
    def addressed_to(self) -> Audience:
        """The contact where ``to_contact`` is set, otherwise the team."""
        return Audience.CONTACT if self.to_contact else Audience.TEAM

    def connect(self) -> _RecordingSender:
        """Open the outbox."""
        self._outbox.connections += 1
        return _RecordingSender(self._outbox, self._answer)


def _accept(key: str, message: Mapping[str, Any]) -> None:
    """Play a vendor that takes everything."""


class _RecordingSender(Sender):
    def __init__(self, outbox: Outbox, answer: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._outbox, self._answer, self._lock = outbox, answer, Lock()

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        with self._lock:
            self._answer(key, message)
            self._outbox.received.append((key, message))
            number = str(len(self._outbox.received))
        return Receipt(
            external_id=number, url=f"https://example.com/{number}", results={"id": number}
        )
