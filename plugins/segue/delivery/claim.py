"""A claim: the deliveries that one pass has in its hands, and all that it writes of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from segue.clock import Clock
from segue.contracts.channel import Audience, Channel, Limit, Receipt
from segue.delivery.call_results import why_nothing_to_send
from segue.delivery.candidates import Candidate
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Prepared, Terms, held_back, message_digest
from segue.delivery.policies import start_rules
from segue.delivery.recovery import Recovery, delivered, trace_of
from segue.errors import (
    ConnectionFailure,
    DeliveryError,
    LedgerError,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.ledger import Ledger
from segue.ledger.deliveries.outcomes import NOT_SENT_AGAIN, REFUSED, SENT_AGAIN
from segue.ledger.facts import DeliveryRow, Finished, StartRules
from segue.ledger.pacing import REFUSALS
from segue.ledger.people.suppressions import SuppressionKind
from segue.ledger.reasons import Reason
from segue.ledger.states import DUE_LATER, State

log = logging.getLogger(__name__)

_PATIENCE = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # seconds before each try to write answers down
_SHORTLY = timedelta(minutes=10)
_ENDED_BEFORE = "the task ended before the call; nothing was sent"


@dataclass(slots=True)
class Claim:
    """What ``owner`` takes from the ledger for one action, marks, and writes the outcomes of.

    Without a ``clear_number`` there is no run whose report would tell of what goes wrong.
    """

    ledger: Ledger
    channel: Channel
    terms: Terms
    owner: str
    clear_number: int | None
    clock: Clock
    outcomes: Counter[State] = field(default_factory=Counter)  # written, but for further tries
    _once_more: dict[str, DeliveryRow] = field(default_factory=dict)  # sent again, in doubt, by key
    _refused_since: dict[str, datetime] = field(default_factory=dict)  # in earlier passes, by key
    _put_off: frozenset[str] = frozenset()  # keys of what an earlier pass called in vain
    _action: str = ""  # of all that is taken
    _spans: frozenset[int] = frozenset()  # likewise
    _rules: StartRules = field(init=False)

    def __post_init__(self) -> None:
        self._rules = start_rules(self.channel, self.terms.policies, self.terms.zone)

    @property
    def resends(self) -> bool:
        """Whether a call in doubt that nobody can tell of is made once more."""
        return self.terms.policies.on_uncertain == "resend"

    def lease(self) -> datetime:
        """Return until when a lease lasts that begins now."""
        return self.clock.now() + LEASE

    def stop_words(self) -> str | None:
        """Return why the workflow is stopped, if it is."""
        stop = self.ledger.people.stopped(self.terms.workflow)
        return str(stop) if stop else None

    def settle(self, keys: Iterable[str]) -> ConnectionFailure | None:
        """Settle earlier calls in doubt; returns why the connection does not work."""
        recovery = Recovery(
            self.ledger,
            self.channel,
            self._rules,
            owner=self.owner,
            now=self.clock.now(),
            resends=self.resends,
            in_run=self.clear_number is not None,
        )
        return recovery.settle(keys)

    def take(self, keys: Collection[str]) -> list[DeliveryRow]:
        """Take what may be tried now, in the order of the keys, whatever the database's is."""
        taken_rows = self.ledger.deliveries.claim(
            keys,
            owner=self.owner,
            now=self.clock.now(),
            lease_until=self.lease(),
            clear_number=self.clear_number,
            resend_uncertain=self.resends,
        )
        rows = {row.key: row for row in taken_rows}
        self._once_more = {row.key: row for row in taken_rows if _is_in_doubt(row)}
        self._action = taken_rows[0].action if taken_rows else ""
        self._spans = frozenset(row.span for row in taken_rows)
        self._refused_since = {row.key: row.refused_at for row in taken_rows if row.refused_at}
        self._put_off = frozenset(row.key for row in taken_rows if row.reason)
        return [rows[key] for key in keys if key in rows]

    def pace(self) -> Sequence[Limit]:
        """Return the limit that the action itself has, whatever its connection's."""
        pace = self.terms.pace
        if pace is None:
            return ()
        scope = f"pace of {self.ledger.namespace}/{self.terms.workflow}/{self._action}"
        return (Limit(scope, pace.count, pace.seconds),)

    def refused_since(self, item: Prepared) -> datetime | None:
        """Return when a message was refused in an earlier pass, where whose fault is open.

        None where it was not: a digest was, where all of its deliveries were.
        """
        if not self._refused_since.keys() >= set(item.keys):
            return None
        return max(self._refused_since[key] for key in item.keys)

    def turn(self, item: Prepared) -> int:
        """Return a message's turn: first what was never tried, then what was put off, then refused.

        So nobody whom the vendor puts off each time, with a pause for all, keeps others waiting.
        """
        if self.refused_since(item) is not None:
            return 2
        return 0 if self._put_off.isdisjoint(item.keys) else 1

    def latest_success(self, since: datetime | None) -> datetime | None:
        """Return when a call of this action began that was a success, if one was since then."""
        if since is None:
            return None
        return self.ledger.deliveries.latest_success(self.terms.workflow, self._action, since)

    def worked_before(self, since: datetime) -> bool:
        """Tell whether the action delivered shortly before, and nearly all of the run is settled.

        So it is where each contact has a branch of its own, and nobody's turn came after.
        """
        if self.latest_success(since - _SHORTLY) is None:
            return False
        few = self.ledger.deliveries.unsettled(self._spans, self._action, REFUSALS)
        return len(few) < REFUSALS

    def give_back(self) -> None:
        """Let go of what was taken and not begun."""
        self.ledger.deliveries.give_back(self.owner, self.clock.now())

    def begin(self, finished: Sequence[Finished], starting: Sequence[Prepared]) -> frozenset[str]:
        """Write outcomes and mark calls as begun; return the keys of those that may be made.

        Of a digest some may be left: see ``Started``.
        """
        if not finished and not starting:
            return frozenset()
        traces: dict[str, dict[str, str]] = {}
        for item in starting:
            traces |= dict.fromkeys(item.keys, trace_of(self.channel, item.message))
        start = self.ledger.deliveries.advance(
            finished,
            traces,
            together=starting[0].key if starting and self.terms.digest else None,
            rules=self._rules,
            owner=self.owner,
            now=self.clock.now(),
            lease_until=self.lease(),
            clear_number=self.clear_number,
        )
        self.outcomes.update(item.state for item in finished if item.state is not State.CLAIMED)
        self.refuse(Finished(key, State.SKIPPED, reason) for key, reason in start.refused.items())
        return start.mine

    def write(self, finished: Sequence[Finished]) -> None:
        """Write outcomes."""
        self.begin(finished, [])

    def write_at_last(self, finished: Sequence[Finished]) -> None:
        """Write outcomes although the ledger may have failed; try as long as the lease may last."""
        for pause in _PATIENCE:
            self.clock.sleep(pause)
            try:
                self.write(finished)
            except LedgerError as error:
                log.warning("%s answers could not be written down yet: %s", len(finished), error)
            else:
                return

    def refuse(self, refusals: Iterable[Finished]) -> None:
        """Write the outcomes of what is not called."""
        self.write(self.uncalled(refusals))

    def uncalled(self, refusals: Iterable[Finished]) -> list[Finished]:
        """Return the outcomes of what is not called: what was in doubt before stays in doubt.

        Its message may be out. What is only held back is due when that ends; the rest is left to a
        person.
        """
        return [
            replace(
                item,
                state=State.UNCERTAIN,
                reason=f"{NOT_SENT_AGAIN}: {item.reason}",
                held_until=item.held_until if item.state in DUE_LATER else None,
                earlier=self._once_more[item.key],
            )
            if item.key in self._once_more
            else item
            for item in refusals
        ]

    def unbegun(self, items: Iterable[Prepared], why: str = _ENDED_BEFORE) -> Iterator[Finished]:
        """Yield that these are what they were before they were marked; ``why`` nothing was sent."""
        for key in (key for item in items for key in item.keys):
            earlier = self._once_more.get(key)
            reason = earlier.reason if earlier else why
            yield Finished(key, State.CLAIMED, reason, earlier=earlier)

    def suppressed(self, candidates: Iterable[Candidate]) -> set[str]:
        """Return the keys of those that the suppression list forbids."""
        contacts = {candidate.key: candidate.contact_id for candidate in candidates}
        kinds = self.ledger.people.suppressed(list(set(contacts.values())))
        to_contact = self.channel.addressed_to is Audience.CONTACT
        return {
            key
            for key, contact in contacts.items()
            if (kind := kinds.get(contact)) is not None
            and (to_contact or kind is SuppressionKind.FORGOTTEN)
        }

    def no_more_allowed(self, candidates: Sequence[Candidate]) -> Iterator[Finished]:
        """Yield the outcomes of what may not be sent any more since it was judged."""
        suppressed_keys, now = self.suppressed(candidates), self.clock.now()
        for candidate in candidates:
            if candidate.key in suppressed_keys:
                yield Finished(candidate.key, State.SKIPPED, Reason.SUPPRESSION_LIST)
            elif hold := held_back(self.channel, self.terms, candidate, now):
                yield hold

    def outcomes_of(self, item: Prepared, answer: Receipt | DeliveryError) -> list[Finished]:
        """Return what an answer means for each delivery of a message."""
        digest = message_digest(item.message)
        return [self._outcome(key, answer, digest) for key in item.keys]

    def _outcome(self, key: str, answer: Receipt | DeliveryError, digest: str) -> Finished:
        """Return what an answer means; what may pass leaves the delivery claimed."""
        if isinstance(answer, Receipt):
            return delivered(key, answer, digest)
        reason = why_nothing_to_send(answer)
        if reason is not None:
            [outcome] = self.uncalled([Finished(key, State.SKIPPED, reason)])
            return outcome
        earlier = self._once_more.get(key)
        refused = isinstance(answer, UnprovenRefusal)
        words = f"{REFUSED}: {answer}" if refused else str(answer)
        words = f"{SENT_AGAIN}: {words}" if earlier else words
        if isinstance(answer, TransientFailure | ConnectionFailure | UnprovenRefusal):
            return Finished(key, State.CLAIMED, words, earlier=earlier, refused=refused)
        state = State.FAILED
        if isinstance(answer, OutcomeUnknown):
            state = State.SENDING if self.channel.can_be_asked else State.UNCERTAIN
        once_more = state is State.UNCERTAIN and self.resends and not earlier
        due = self.clock.now() if once_more else None
        return Finished(key, state, words, digest=digest, held_until=due)


def _is_in_doubt(row: DeliveryRow) -> bool:
    """True where a call in doubt is made once more; the row is as it was before the claim."""
    is_settled = row.state in (State.FAILED, State.SKIPPED)
    return row.state is State.UNCERTAIN or (row.resent and not is_settled)
