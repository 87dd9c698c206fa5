"""The one door: every message of every path goes through ``Door.deliver``.

The ledger decides what may be sent: a delivery is claimed, judged, marked ``sending`` in a
committed transaction, called, and its outcome written. What a message lacks (the id of whom an
address belongs to) is asked for while it is claimed, so that nothing is in doubt then. What is
written stands in ``segue.delivery.claim``, the calls in ``segue.delivery.calls``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from segue.clock import REAL_CLOCK, Clock
from segue.contracts.channel import Channel
from segue.delivery.calls import Calls, Pass
from segue.delivery.candidates import Candidate
from segue.delivery.claim import Claim
from segue.delivery.heartbeat import heartbeat
from segue.delivery.judgement import Prepared, Terms, judge, waits
from segue.delivery.policies import waited_too_long
from segue.errors import ConnectionFailure
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryRow, Finished
from segue.ledger.pacing import Pacer
from segue.ledger.reasons import Reason
from segue.ledger.states import State


class Door:
    """Delivers one action's messages for a slice of contacts.

    ``owner`` names this worker's pass; no two may have the same name. Without a ``clear_number``
    there is no run any more, whose report would tell of what goes wrong: it is marked ``untold``.
    After ``until`` no further call begins.
    """

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        terms: Terms,
        *,
        owner: str,
        clear_number: int | None = 0,
        clock: Clock = REAL_CLOCK,
        until: datetime | None = None,
    ) -> None:
        self.ledger, self.channel, self.terms = ledger, channel, terms
        self.clock, self.until = clock.now, until
        self._in_run = clear_number is not None
        self._claim = Claim(ledger, channel, terms, owner, clear_number, clock)

    def deliver(self, candidates: Sequence[Candidate]) -> Pass:
        """Try every candidate that the ledger allows, and return what came of it."""
        by_key = {candidate.key: candidate for candidate in candidates}
        claim = self._claim
        result = Pass(claim.outcomes, stopped=claim.stop_words())
        if result.stopped is None:
            with heartbeat(self.ledger, claim.owner, self.clock):
                trouble = claim.settle(by_key)
                result.connection = str(trouble) if trouble else None
                try:
                    rows = claim.take(by_key)
                    self._call(self._judged([(row, by_key[row.key]) for row in rows]), result)
                finally:
                    claim.give_back()
        rows_afterwards = self.ledger.deliveries.rows(by_key).values()
        result.standing.update(row.state for row in rows_afterwards)
        if claim.resends:
            now = self.clock()
            result.to_resend = sum(_is_sent_once_more(row, now) for row in rows_afterwards)
        return result

    def _judged(self, claimed: Sequence[tuple[DeliveryRow, Candidate]]) -> list[Prepared]:
        """Return the messages that may be sent; the outcomes of all others are written."""
        now, policies, zone = self.clock(), self.terms.policies, self.terms.zone
        suppressed_keys = self._claim.suppressed(candidate for _, candidate in claimed)
        refusals: list[Finished] = []
        candidates: list[Candidate] = []
        for row, candidate in claimed:
            wait = waits(self.terms, candidate, row, now, in_run=self._in_run)
            if wait is not None:
                refusals.append(wait)
            elif row.key in suppressed_keys:
                refusals.append(Finished(row.key, State.SKIPPED, Reason.SUPPRESSION_LIST))
            elif waited_too_long(row, policies, zone, now):
                refusals.append(Finished(row.key, State.SKIPPED, Reason.EXPIRED))
            else:
                candidates.append(candidate)
        ready, judgements = judge(self.channel, self.terms, candidates, now)
        self._claim.refuse([*refusals, *judgements])
        return ready

    def _call(self, ready: Sequence[Prepared], result: Pass) -> None:
        if not ready:
            return
        pacer = Pacer(self.ledger.deliveries, self._claim.clock, self.until)
        in_order = sorted(ready, key=self._claim.turn)
        try:
            with (
                self.channel.connect() as sender,
                ThreadPoolExecutor(self.channel.concurrency) as pool,
            ):
                Calls(self._claim, sender, pool, pacer, deque(in_order), result).run()
        except ConnectionFailure as error:
            result.connection = str(error)
            self._claim.write([*self._claim.unbegun(ready, str(error))])


def _is_sent_once_more(row: DeliveryRow, now: datetime) -> bool:
    """True where the next pass of a workflow that resends may make the call once more."""
    is_due = row.held_until is None or row.held_until <= now
    return row.state is State.UNCERTAIN and is_due and not (row.resent or row.barred)
