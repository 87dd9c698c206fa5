"""Whose a refusal is that may be anybody's: what the others meet tells.

A 403, or a mail server's 550 5.7.1, may be about this contact or about everybody, and the vendor
does not say which. A call that begins after it and is a success does: the connection works, so
that the refusal is the contact's. Until then it stays open, and is tried once more behind all
others. A success that was under way already proves nothing, because the connection may have broken
in between (docs/design.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from segue.delivery.judgement import Prepared
from segue.errors import UnprovenRefusal
from segue.ledger.pacing import REFUSALS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused message; ``number`` and ``since`` are of its first refusal.

    It was the pass's refusal of that number; 0 where it was in an earlier pass.
    """

    item: Prepared
    failure: UnprovenRefusal
    number: int
    since: datetime


@dataclass(slots=True)
class Refusals:
    """The refusals of a pass that are open; messages are known by their keys."""

    now: Callable[[], datetime]
    has_success: bool = False
    _open: dict[str, Refusal] = field(default_factory=dict)
    _first: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    _tried_again: set[str] = field(default_factory=set)
    _count: int = 0  # of refusals, so far
    _count_before: dict[str, int] = field(default_factory=dict)  # when each call began
    _proven: int = -1  # refusals up to this number are surely no connection's
    _row: set[str] = field(default_factory=set)  # refused one after the other
    _longest_row: int = 0  # of those that a success ended

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def are_too_many(self) -> bool:
        """True where so many messages in a row were refused that no other is to be tried.

        Where longer rows have turned out to be the contacts' it takes more: some lists have many.
        """
        return len(self._row) >= max(REFUSALS, 2 * self._longest_row)

    @property
    def since(self) -> datetime | None:
        """When the one that is open for longest was refused at first."""
        return min((each.since for each in self._open.values()), default=None)

    @property
    def first(self) -> datetime | None:
        """When a message was refused at first that was not delivered before this pass."""
        return min((since for _, since in self._first.values()), default=None)

    @property
    def words(self) -> str:
        """What to say of the connection when nothing proves that it works."""
        *others, last = self._open.values()
        if not others:
            return str(last.failure)
        return f"{len(others) + 1} messages were refused, the last one: {last.failure}"

    def standing(self, success: datetime | None) -> int:
        """Return how many were refused since a success, of this pass and of those before it."""
        return sum(success is None or since >= success for _, since in self._first.values())

    def recall(self, item: Prepared, since: datetime | None) -> None:
        """Take down that a message was refused in an earlier pass, if it was."""
        if since is not None:
            self._first[item.key] = (0, since)

    def begin(self, items: Iterable[Prepared]) -> None:
        """Take down that calls begin now."""
        for item in items:
            self._count_before[item.key] = self._count

    def refuse(self, item: Prepared, failure: UnprovenRefusal) -> list[Refusal]:
        """Take a refusal down; return it where it is the contact's by now."""
        self._count += 1
        number, since = self._first.setdefault(item.key, (self._count, self.now()))
        refusal = Refusal(item, failure, number, since)
        if number <= self._proven:
            return [refusal]
        self._open[item.key] = refusal
        self._row.add(item.key)
        return []

    def succeed(self, item: Prepared) -> list[Refusal]:
        """Return the refusals that a success proves to be the contacts'."""
        self.has_success = True
        self._proven = max(self._proven, self._count_before.get(item.key, 0))
        self._end_row()
        return self._close(lambda each: each.number <= self._proven)

    def learn(self, call: datetime | None) -> list[Refusal]:
        """Return those that another task's success proves, whose call began at ``call``."""
        if call is None:
            return []
        refusals = self._close(lambda each: each.since < call)
        if refusals:
            self._end_row()
        return refusals

    def try_again(self) -> list[Prepared]:
        """Return the messages that were tried once: all others have had their turn."""
        refusals = self._close(lambda each: each.item.key not in self._tried_again)
        self._tried_again.update(each.item.key for each in refusals)
        return [each.item for each in refusals]

    def judge(self, worked_before: Callable[[datetime], bool]) -> list[Refusal]:
        """Return those that are the contacts' at the end of a pass: of few, where others worked.

        Should the connection have broken behind the last success, no more than these pay for it.
        ``worked_before`` tells of other tasks, where all were refused in an earlier pass: then
        those have had their turn.
        """
        if not self._open or len(self._open) >= REFUSALS:
            return []
        since = max(each.since for each in self._open.values())
        were_refused_before = all(each.number == 0 for each in self._open.values())
        if self.has_success or (were_refused_before and worked_before(since)):
            return self._close(lambda _: True)
        return []

    def _end_row(self) -> None:
        self._longest_row = max(self._longest_row, len(self._row))
        self._row.clear()

    def _close(self, which: Callable[[Refusal], bool]) -> list[Refusal]:
        refusals = [each for each in self._open.values() if which(each)]
        for each in refusals:
            del self._open[each.item.key]
        return refusals
