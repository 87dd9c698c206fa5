"""Fakes for tests of workflows and channels: a channel that records instead of sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr

from segue.contracts.channel import Audience, Channel, Limit, Receipt, Sender
from segue.contracts.templates import Text

Answer = Callable[[str, Mapping[str, Any]], None]  # key and message; may raise


@dataclass(frozen=True, slots=True)
class Question:
    """One call of ``Sender.find``."""

    traces: Mapping[str, Mapping[str, str]]
    since: datetime


@dataclass
class Outbox:
    """What a ``RecordingChannel`` received, in order of arrival: (key, message)."""

    received: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    connections: int = 0  # how often the channel was connected
    questions: list[Question] = field(default_factory=list)  # what an askable channel was asked

    @property
    def keys(self) -> list[str]:
        """The keys of all received messages."""
        return [key for key, _ in self.received]


class RecordingChannel(Channel):
    """A channel whose messages end in an ``Outbox``; what is given to it plays a vendor."""

    name: ClassVar[str] = "recording"

    connection: str = "recording_default"
    to_contact: bool = False
    text: Text

    _outbox: Outbox = PrivateAttr(default_factory=Outbox)
    _answer: Answer = PrivateAttr(default_factory=lambda: _accept)
    _lose: Answer = PrivateAttr(default_factory=lambda: _accept)
    _limits: Sequence[Limit] = PrivateAttr(default=())

    @property
    def outbox(self) -> Outbox:
        """What has been received so far."""
        return self._outbox

    def answering(self, answer: Answer) -> Self:
        """Return this channel; ``answer(key, message)`` is called before a message is kept."""
        self._answer = answer
        return self

    def losing(self, lose: Answer) -> Self:
        """Return this channel; ``lose(key, message)`` is called once a message has been kept.

        What it raises is an answer that was lost after the effect.
        """
        self._lose = lose
        return self

    def limited(self, *limits: Limit) -> Self:
        """Return this channel; every call counts under these limits."""
        self._limits = limits
        return self

    @property
    def addressed_to(self) -> Audience:
        """The contact where ``to_contact`` is set, otherwise the team."""
        return Audience.CONTACT if self.to_contact else Audience.TEAM

    def tester(self, to: str) -> str:
        """Return any text."""
        return to

    def readdressed(self, message: Mapping[str, Any], tester: str) -> dict[str, Any]:
        """Return the message with its addressee."""
        return {**message, "to": tester}

    def connect(self) -> RecordingSender:
        """Open the outbox."""
        self._outbox.connections += 1
        return RecordingSender(self._outbox, self._answer, self._lose, self._limits)


class AskableChannel(RecordingChannel):
    """A recording channel that can be asked: it has what is in its outbox, and nothing else."""

    name: ClassVar[str] = "askable"

    _asked: Callable[[Question], None] = PrivateAttr(default_factory=lambda: _listen)

    def asked(self, answer: Callable[[Question], None]) -> Self:
        """Return this channel; ``answer(question)`` is called before it looks, and may raise."""
        self._asked = answer
        return self

    @property
    def can_be_asked(self) -> bool:
        """Always."""
        return True

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return something to see again in a question."""
        return {"characters": str(len(message["text"]))}

    def connect(self) -> RecordingSender:
        """Open the outbox."""
        sender = super().connect()
        sender.asked = self._asked
        return sender


def _accept(key: str, message: Mapping[str, Any]) -> None:
    """Play a vendor that takes everything."""


def _listen(question: Question) -> None:
    """Play a vendor that can tell."""


class RecordingSender(Sender):
    """The connection of both channels to their outbox."""

    def __init__(
        self, outbox: Outbox, answer: Answer, lose: Answer, limits: Sequence[Limit]
    ) -> None:
        self.asked: Callable[[Question], None] = _listen
        self._outbox, self._answer, self._lose, self._limits = outbox, answer, lose, limits
        self._lock = Lock()

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Keep one message."""
        with self._lock:
            self._answer(key, message)
            self._outbox.received.append((key, message))
            number = len(self._outbox.received)
            self._lose(key, message)
        return _receipt(number)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Return receipts for what is in the outbox."""
        question = Question(traces, since)
        self._outbox.questions.append(question)
        self.asked(question)
        numbers_and_keys = enumerate(self._outbox.keys, start=1)
        return {key: _receipt(number) for number, key in numbers_and_keys if key in traces}

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the limits that the channel was given."""
        return self._limits


def _receipt(number: int) -> Receipt:
    return Receipt(
        external_id=str(number),
        url=f"https://example.com/{number}",
        results={"id": str(number)},
    )
