"""What the sandbox has received: the one place that counts effects.

Crash tests ask "how often did the outside world see this?", so an effect and everything a vendor
must remember of it (the ticket, the idempotency key, the next free id) are one transaction, and
one line of the journal. The look-alikes answer only after that line is written: a line that was
cut short by a crash belongs to a request that never got an answer.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segue.errors import SettingsError

JOURNAL = "received.jsonl"

Clock = Callable[[], datetime]
Document = dict[str, Any]  # JSON, replaced as a whole, never changed in place


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted effect: a mail, a Slack message, a ticket created or updated."""

    id: int  # counts up from 1, across services, never reused
    service: str  # slack, zendesk, freshdesk, twilio, teams, http or smtp
    kind: str  # message, webhook_message, ticket, ticket_update, text, card, request or mail
    received_at: str  # UTC, ISO 8601
    to: str  # the channel, requester or recipients, as a person would name them
    subject: str
    text: str
    html: str
    fields: Document  # what the service understood
    raw: Document  # method, path, headers and body of a request, or the mail as it came


class Transaction:
    """Reads and writes of one request; they become visible together or not at all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.documents: dict[tuple[str, str], Document] = {}
        self.sequences: dict[str, int] = {}
        self.messages: list[Message] = []

    def get(self, collection: str, key: str) -> Document | None:
        """Return one document, or None."""
        if (collection, key) in self.documents:
            return self.documents[collection, key]
        return self._store.documents.get(collection, {}).get(key)

    def put(self, collection: str, key: str, document: Document) -> None:
        """Write one document, replacing what was there."""
        self.documents[collection, key] = document

    def next_id(self, sequence: str) -> int:
        """Return the next number of a sequence, counting from 1."""
        last = self.sequences.get(sequence, self._store.sequences.get(sequence, 0))
        self.sequences[sequence] = last + 1
        return last + 1

    def receive(
        self,
        service: str,
        kind: str,
        *,
        to: str,
        subject: str = "",
        text: str = "",
        html: str = "",
        fields: Document,
        raw: Document,
    ) -> Message:
        """Record one effect."""
        message = Message(
            id=self.next_id("messages"),
            service=service,
            kind=kind,
            received_at=iso(self._store.clock()),
            to=to,
            subject=subject,
            text=text,
            html=html,
            fields=fields,
            raw=raw,
        )
        self.messages.append(message)
        return message


@dataclass
class _State:
    """What the journal adds up to."""

    documents: dict[str, dict[str, Document]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)

    def apply(self, entry: Mapping[str, Any]) -> None:
        if entry.get("cleared"):
            self.documents.clear()
            self.messages.clear()
            return
        self.sequences.update(entry["sequences"])
        for collection, key, document in entry["documents"]:
            self.documents.setdefault(collection, {})[key] = document
        for message in entry["messages"]:
            self.messages[message["id"]] = Message(**message)


class Store:
    """Everything received so far; safe to use from several threads."""

    def __init__(self, folder: Path | str | None = None, *, clock: Clock = utc_now) -> None:
        self.clock = clock
        self._lock = threading.RLock()
        self._state = _State()
        self._journal = None if folder is None else Journal(Path(folder))
        if self._journal:
            for entry in self._journal.entries():
                self._state.apply(entry)

    @property
    def documents(self) -> Mapping[str, Mapping[str, Document]]:
        """What vendors remember, by collection and key; read inside a transaction."""
        return self._state.documents

    @property
    def sequences(self) -> Mapping[str, int]:
        """The last number given out, by sequence."""
        return self._state.sequences

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open the only transaction of the moment; an exception inside it leaves no trace."""
        with self._lock:
            transaction = Transaction(self)
            yield transaction
            if transaction.documents or transaction.messages or transaction.sequences:
                self._commit(transaction)

    def values(self, collection: str) -> list[Document]:
        """Return a collection's documents, in the order of their first writing."""
        with self._lock:
            return list(self._state.documents.get(collection, {}).values())

    def messages(
        self,
        *,
        service: str | None = None,
        kind: str | None = None,
        contains: str | None = None,
    ) -> list[Message]:
        """Return what was received, oldest first.

        ``contains`` is looked for in everything that is known of a message, in any case.
        """
        with self._lock:
            everything = list(self._state.messages.values())
        return [
            message
            for message in everything
            if service in (None, message.service)
            and kind in (None, message.kind)
            and (not contains or contains.casefold() in _searchable(message))
        ]

    def message(self, message_id: int) -> Message | None:
        """Return one message, or None."""
        with self._lock:
            return self._state.messages.get(message_id)

    def clear(self) -> None:
        """Forget messages, tickets and idempotency keys; numbers go on from where they were."""
        with self._lock:
            self._write({"cleared": True})

    def close(self) -> None:
        """Close the journal and give its folder free for another sandbox."""
        if self._journal:
            self._journal.close()

    def _commit(self, transaction: Transaction) -> None:
        self._write(
            {
                "sequences": transaction.sequences,
                "documents": [[*where, what] for where, what in transaction.documents.items()],
                "messages": [asdict(message) for message in transaction.messages],
            }
        )

    def _write(self, entry: Document) -> None:
        if self._journal:
            self._journal.append(entry)
        self._state.apply(entry)


class Journal:
    """An append-only file of JSON lines, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JOURNAL
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SettingsError(
                f"{folder} is in use by another sandbox; stop that one or name another folder"
            ) from error

    def entries(self) -> Iterator[Document]:
        """Yield what was written, oldest first, and cut off a last line that was cut short."""
        self._file.seek(0)
        complete = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            complete += len(line)
            yield self._entry(line, number)
        self._file.truncate(complete)

    def append(self, entry: Document) -> None:
        """Write one line and hand it to the operating system before returning."""
        self._file.write(json.dumps(entry).encode("ascii") + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, which also releases it."""
        self._file.close()

    def _entry(self, line: bytes, number: int) -> Document:
        try:
            entry: Document = json.loads(line)
        except ValueError as error:
            raise SettingsError(
                f"{self.path}:{number}: not a line of a sandbox's journal ({error}); "
                "move the file away or name another folder"
            ) from error
        return entry


def iso(moment: datetime) -> str:
    """Write a moment as UTC ISO 8601 with milliseconds, e.g. 2026-11-22T06:00:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_seconds(moment: datetime) -> str:
    """Write a moment as UTC ISO 8601 without parts of a second, e.g. 2026-11-22T06:00:00Z."""
    return iso(moment)[:19] + "Z"


def _searchable(message: Message) -> str:
    parts = [message.to, message.subject, message.text, message.html]
    return "\n".join([*parts, *_texts(message.fields), *_texts(message.raw)]).casefold()


def _texts(value: object) -> Iterator[str]:
    """Yield every key and scalar of a JSON value as text."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)
