"""The heartbeat: what a living worker has in its hands stays its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

from segue.errors import LedgerError
from segue.ledger import Ledger

LEASE = timedelta(seconds=60)
_BEAT = 15.0  # seconds; three beats may fail before the lease runs out

log = logging.getLogger(__name__)


@contextmanager
def heartbeat(ledger: Ledger, owner: str, clock: Callable[[], datetime]) -> Iterator[None]:
    """Renew ``owner``'s lease every few seconds until the block ends."""
    end = Event()

    def beat() -> None:
        while not end.wait(_BEAT):
            try:
                ledger.deliveries.renew(owner, clock() + LEASE)
            except LedgerError as error:  # the next beat tries again; the lease bears three
                log.warning("the lease could not be renewed: %s", error)

    thread = Thread(target=beat, name="segue-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
