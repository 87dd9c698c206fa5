"""Recovery: calls that a worker began and whose outcome nobody wrote down.

A delivery found ``sending`` after its lease, and after the channel's longest call, is neither sent
again nor given up: the channel is asked whether it has it. It has: delivered. It has not: free to
be sent. It cannot tell: ``uncertain`` (docs/design.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from segue.contracts.channel import Channel, PartlyFound, Receipt, Sender
from segue.delivery.heartbeat import LEASE
from segue.errors import ConnectionFailure, DeliveryError, OutcomeUnknown, log_defect
from segue.ledger import Ledger
from segue.ledger.facts import DeliveryRow, Finished, StartRules
from segue.ledger.states import State

log = logging.getLogger(__name__)

_THROUGH, _CONNECTION = "segue_channel", "segue_connection"  # Slack's own trace has a "channel"


def trace_of(channel: Channel, message: Mapping[str, Any]) -> dict[str, str]:
    """Return where a message can be looked for later, even after its workflow was edited."""
    return {**channel.trace(message), _THROUGH: channel.name, _CONNECTION: channel.connection}


def earlier_ids(
    ledger: Ledger, workflow: str, action: str, channel: Channel, contact_ids: Iterable[str]
) -> dict[str, list[str]]:
    """Return the vendor's ids of what an action delivered to contacts before, newest first.

    Only of what went through the same channel and connection: elsewhere an id means another thing.
    """
    ids_by_contact: dict[str, list[str]] = {}
    for contact_id, external_id, trace in ledger.queries.earlier_deliveries(
        workflow, action, contact_ids
    ):
        ids = ids_by_contact.setdefault(contact_id, [])
        here = (trace.get(_THROUGH), trace.get(_CONNECTION)) == (channel.name, channel.connection)
        if here and external_id not in ids:
            ids.append(external_id)
    return ids_by_contact


@dataclass(frozen=True, slots=True)
class Recovery:
    """Settles calls that are in doubt and surely over.

    Where the workflow ``resends``, what nobody can tell of is due to be sent once more. Of the
    rest its run tells; outside of it (``in_run``) it is marked to be told.
    """

    ledger: Ledger
    channel: Channel
    rules: StartRules
    owner: str
    now: datetime
    resends: bool = False
    in_run: bool = True

    def settle(self, keys: Iterable[str]) -> ConnectionFailure | None:
        """Settle those of the deliveries whose call is in doubt and surely over.

        Returns why the channel's own connection does not work, where it does not; those deliveries
        stay in doubt, as do those that could not be asked for at this moment.
        """
        over_before = self.now - timedelta(seconds=self.channel.longest_call)
        claims, options = self.ledger.deliveries, {"resends": self.resends, "in_run": self.in_run}
        if not self.channel.can_be_asked:
            claims.call_uncertain(keys, over_before, self.now, **options)
            return None
        rows = claims.take_doubtful(
            keys, over_before, owner=self.owner, lease_until=self.now + LEASE
        )
        troubles = [self._settle(group) for group in _by_place(rows)]
        if rows:
            log.info("%s calls were in doubt; the channel was asked for them", len(rows))
        return next((trouble for trouble in troubles if trouble is not None), None)

    def _settle(self, rows: Sequence[DeliveryRow]) -> ConnectionFailure | None:
        """Ask for calls of one place and write what came of it; returns as ``settle`` does."""
        outcomes, trouble = self._outcomes(rows)
        self.ledger.deliveries.advance(
            outcomes,
            {},
            rules=self.rules,
            owner=self.owner,
            now=self.now,
            lease_until=self.now + LEASE,
            clear_number=0 if self.in_run else None,
        )
        return trouble

    def _outcomes(
        self, rows: Sequence[DeliveryRow]
    ) -> tuple[list[Finished], ConnectionFailure | None]:
        try:
            return _ask(_as_it_was(self.channel, rows[0].trace), rows, self.now), None
        except OutcomeUnknown as error:
            receipts = error.found if isinstance(error, PartlyFound) else {}
            return self._as_nobody_can_tell(rows, error, receipts), None
        except ConnectionFailure as error:
            if rows[0].trace.get(_CONNECTION) == self.channel.connection:
                return [_still_in_doubt(row, error) for row in rows], error
            # the action uses another connection now, and nobody may mend this one
            return self._as_nobody_can_tell(rows, error, {}), None
        except DeliveryError as error:
            return [_still_in_doubt(row, error) for row in rows], None

    def _as_nobody_can_tell(
        self, rows: Iterable[DeliveryRow], why: DeliveryError, receipts: Mapping[str, Receipt]
    ) -> list[Finished]:
        """Return ``uncertain`` for all without a receipt.

        Where the workflow resends they are due once more, unless they were before.
        """
        reason = f"the vendor cannot tell: {why}"
        due = self.now if self.resends else None
        return [
            delivered(row.key, receipts[row.key])
            if row.key in receipts
            else Finished(row.key, State.UNCERTAIN, reason, held_until=None if row.resent else due)
            for row in rows
        ]


def delivered(key: str, receipt: Receipt, digest: str | None = None) -> Finished:
    """Return the outcome of a delivery that the vendor has."""
    return Finished(
        key,
        State.DELIVERED,
        external_id=receipt.external_id,
        url=receipt.url,
        results=receipt.results,
        digest=digest,
    )


def look_for(
    sender: Sender, traces: Mapping[str, Mapping[str, str]], since: datetime
) -> dict[str, Receipt]:
    """Return the receipts of what a sender finds; raise a DeliveryError, whatever goes wrong.

    A defect in a look-up leaves its own deliveries in doubt, and stops no others.
    """
    try:
        receipts = dict(sender.find(traces, since))
    except DeliveryError:
        raise
    except Exception as error:  # noqa: BLE001 - of any kind
        kind = log_defect(log, error, "in the channel's look-up")
        raise OutcomeUnknown(f"a defect in the channel's look-up: {kind}") from None
    if not all(isinstance(receipt, Receipt) for receipt in receipts.values()):
        raise OutcomeUnknown("a defect in the channel's look-up: what it finds is no Receipt")
    return receipts


def ask_at_once(
    sender: Sender, traces: Mapping[str, Mapping[str, str]], since: datetime
) -> dict[str, Receipt]:
    """Return what the vendor has already of calls whose answer was lost a moment ago.

    What it has not may still be under way, so nothing follows from that, nor from a failure.
    """
    try:
        return look_for(sender, traces, since)
    except PartlyFound as error:
        return dict(error.found)
    except DeliveryError as error:
        log.info("the channel could not be asked yet: %s", error)
        return {}


def _ask(channel: Channel, rows: Sequence[DeliveryRow], now: datetime) -> list[Finished]:
    """Raise OutcomeUnknown where the vendor cannot tell, another DeliveryError where not now."""
    starts = [row.called_at for row in rows if row.called_at is not None]
    with channel.connect() as sender:
        receipts = look_for(sender, {row.called_as: row.trace for row in rows}, min(starts))
    return [
        delivered(row.key, receipts[row.called_as])
        if row.called_as in receipts
        # held and due: whoever comes first sends it, a task or segue_release
        else Finished(row.key, State.HELD, "the vendor has not got it", held_until=now)
        for row in rows
    ]


def _still_in_doubt(row: DeliveryRow, error: DeliveryError) -> Finished:
    return Finished(row.key, State.SENDING, f"the channel could not be asked: {error}")


def _by_place(rows: Iterable[DeliveryRow]) -> Iterable[list[DeliveryRow]]:
    """Group by trace: of two Slack channels, one may be unreadable."""

    def place(row: DeliveryRow) -> list[tuple[str, str]]:
        return sorted(row.trace.items())

    for _, group in groupby(sorted(rows, key=place), key=place):
        yield list(group)


def _as_it_was(channel: Channel, trace: Mapping[str, str]) -> Channel:
    """Return the channel that a call went through; the action may have been edited since."""
    name, connection = trace.get(_THROUGH, ""), trace.get(_CONNECTION, "")
    if name != channel.name:
        raise OutcomeUnknown(
            f"the call went through {name or 'a channel that was not recorded'}, and the action "
            f"is a {channel.name} now"
        )
    return channel.model_copy(update={"connection": connection})
