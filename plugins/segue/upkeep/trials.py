"""What people ask for that is no delivery: checks of connections, messages to a tester."""

from __future__ import annotations

import logging
from datetime import datetime

from segue.errors import SegueError
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Request, RequestKind
from segue.settings import Settings
from segue.upkeep.connection_checks import carry_out_check
from segue.upkeep.tester_messages import send_test
from segue.workflows.catalog import Catalog, catalog_of

log = logging.getLogger(__name__)


def carry_out_trials(settings: Settings, ledger: Ledger, now: datetime, *, owner: str) -> list[str]:
    """Write down what came of each request; one that goes wrong does not hold up the others.

    ``settings`` say where the definitions are, and of which project. Returns what went wrong, in
    words.
    """
    for number in ledger.people.end_dead_tests(now):
        log.warning("request %s was perhaps carried out: its worker ended", number)
    problems = []
    for request in ledger.people.open_trials(settings.project):
        try:
            words = _carry_out(request, catalog_of(settings), ledger, owner)
            log.info("request %s by %s: %s", request.id, request.requested_by, words)
        except SegueError as error:
            problems.append(f"request {request.id}: {error}")
    return problems


def _carry_out(request: Request, catalog: Catalog, ledger: Ledger, owner: str) -> str:
    if request.kind == RequestKind.CHECK:
        names = request.asked["workflows"] or catalog.names("workflows")
        return carry_out_check(request, names, catalog.resolve, ledger, owner=owner)
    trial = send_test(request, catalog.resolve, ledger, owner=owner)
    return trial.words if trial else "another worker has it"
