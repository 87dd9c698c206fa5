"""One call and its answer: whatever goes wrong is a value, so that no other answer is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from segue.contracts.channel import NoAddress, OpenTicket, OptedOut, Receipt, Sender
from segue.delivery.judgement import Prepared
from segue.errors import (
    ConnectionFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
    log_defect,
)
from segue.ledger.reasons import Reason

log = logging.getLogger(__name__)


class Defect(OutcomeUnknown):
    """A channel failed in a way it does not know: the call is in doubt, and the pass ends."""


Answer = Receipt | DeliveryError | Prepared  # prepared: a message that is complete now


def send_once(sender: Sender, item: Prepared) -> Answer:
    """Send one message."""
    answer = _answer(lambda: sender.send(item.message, key=item.key))
    if not isinstance(answer, Receipt | DeliveryError):  # it may have sent it all the same
        return Defect("a defect in the channel: it returns no Receipt")
    return answer


def complete(sender: Sender, item: Prepared) -> Answer:
    """Ask for what a message lacks; no call has begun, so that nothing can be in doubt."""
    answer = _answer(lambda: replace(item, message=sender.complete(item.message)))
    if isinstance(answer, Defect):
        return ConnectionFailure(str(answer))
    return TransientFailure(str(answer)) if isinstance(answer, OutcomeUnknown) else answer


def why_nothing_to_send(answer: Answer) -> str | None:
    """Return the reason for which a delivery is skipped after all, or None."""
    if isinstance(answer, NoAddress):
        return Reason.NO_ADDRESS
    if isinstance(answer, OptedOut):
        return Reason.OPTED_OUT
    if isinstance(answer, OpenTicket):
        return f"{Reason.OPEN_TICKET}: {answer}"
    return None


def _answer(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect must not lose the round's other answers
        kind = log_defect(log, error, "in the channel")
        return Defect(f"a defect in the channel: {kind}")
