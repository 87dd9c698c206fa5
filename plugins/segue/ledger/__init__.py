"""The ledger: the only memory that decides whether something is sent.

All of Segue's memory about deliveries goes through ``Ledger``, which has a store for each kind of
work. Each public method of a store is one transaction, or several where it works in batches and
any prefix of them is a valid state.
"""

from __future__ import annotations

from typing import Self

from sqlalchemy import Engine

from segue.ledger.base import LedgerDatabase
from segue.ledger.deliveries.claims import Claims
from segue.ledger.deliveries.recovery import Recovery
from segue.ledger.deliveries.turns import Rates
from segue.ledger.engine import empty_engine
from segue.ledger.feed import ChangeFeed
from segue.ledger.people.notes import Notes
from segue.ledger.people.quarantines import Quarantines
from segue.ledger.people.stops import Stops
from segue.ledger.people.suppressions import Suppressions
from segue.ledger.people.tester_requests import TesterRequests
from segue.ledger.queries.history import History
from segue.ledger.queries.pages import Pages
from segue.ledger.queries.runs import RunQueries
from segue.ledger.queries.sizes import Sizes
from segue.ledger.queries.totals import Totals
from segue.ledger.retention.forgetting import Forgetting
from segue.ledger.retention.pruning import Pruning
from segue.ledger.runs.recording import Recording
from segue.ledger.runs.release import Releases


class Runs(Recording, Releases):
    """Runs: what they detected, and what the guard decided about it."""


class Deliveries(Claims, Recovery, Rates):
    """Deliveries on their way: who may call, what came of it, what workers left behind."""


class People(TesterRequests, Notes, Stops, Quarantines, Suppressions):
    """What people asked for, stopped, quarantined, suppressed."""


class Retention(Forgetting, Pruning):
    """What leaves the ledger."""


class Queries(RunQueries, Pages, Totals, Sizes, History):
    """What is told of all that; nothing here writes."""


class Ledger(LedgerDatabase):
    """The ledger of one namespace in one database, store by store."""

    def __init__(
        self, engine: Engine, namespace: str, secret: str | None = None, *, is_new: bool = False
    ) -> None:
        super().__init__(engine, namespace, secret, is_new=is_new)
        self.runs = Runs(engine, namespace, secret, is_new=is_new)
        self.deliveries = Deliveries(engine, namespace, secret, is_new=is_new)
        self.people = People(engine, namespace, secret, is_new=is_new)
        self.retention = Retention(engine, namespace, secret, is_new=is_new)
        self.queries = Queries(engine, namespace, secret, is_new=is_new)
        self.feed = ChangeFeed(engine, namespace, secret, is_new=is_new)

    @classmethod
    def empty(cls, namespace: str) -> Self:
        """Return a ledger with nothing in it, to look at where there is none yet."""
        return cls(empty_engine(), namespace)
