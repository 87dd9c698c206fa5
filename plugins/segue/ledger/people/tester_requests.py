"""Requests that move no delivery: to try connections, and to send a message to a tester.

A check may be carried out twice. A test is begun, in a transaction of its own, before its call; one
that was begun and never ended was perhaps sent, and is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from segue.ledger.people.release_requests import ReleaseRequests, Request, RequestKind, Selection
from segue.ledger.schema import requests


class TrialResult(StrEnum):
    """What became of a message to a tester."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    UNCERTAIN = "uncertain"  # perhaps sent: nobody can tell


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which message a tester wants; without a snapshot, that of the newest."""

    workflow: str
    action: str
    contact: str
    to: str
    change: str
    snapshot: str | None = None


class TesterRequests(ReleaseRequests):
    """Requests to check connections and to send tests."""

    def file_check(
        self, workflows: Sequence[str], by: str, now: datetime, project: str = ""
    ) -> int:
        """Ask that the connections of these workflows be tried, or of all; returns the number.

        They are a project's, which alone can carry it out.
        """
        wish = {"workflows": list(workflows), **_of_project(project)}
        return self._file(RequestKind.CHECK, Selection(), by, now, asked=wish)

    def file_test(self, wanted: Wanted, by: str, now: datetime, project: str = "") -> int:
        """Ask for one message to a tester and return the request's number."""
        selection = Selection(wanted.workflow, wanted.action, wanted.contact)
        wish = {"to": wanted.to, "change": wanted.change, "snapshot": wanted.snapshot}
        wish |= _of_project(project)
        return self._file(RequestKind.TEST, selection, by, now, asked=wish)

    def open_trials(self, project: str = "") -> list[Request]:
        """Return the checks and tests of a project that nobody has begun, oldest first."""
        trial_requests = self._undone(RequestKind.CHECK, RequestKind.TEST)
        mine = (each for each in trial_requests if each.asked.get("project", "") == project)
        return [each for each in mine if not each.begun]

    def begin_test(self, number: int, owner: str, over_by: datetime) -> bool:
        """Take a test, for good: the call may begin once this is committed.

        False where another worker has it, or it is done. ``over_by`` is when its call has surely
        ended.
        """
        with self._write() as connection:
            row = self._locked(connection, number)
            body = json.loads(row.body)
            if row.done_at is not None or "begun" in body:
                return False
            claim = {"owner": owner, "over_by": over_by.isoformat()}
            self._put(connection, number, {**body, "begun": claim})
            return True

    def give_back_test(self, number: int, owner: str) -> None:
        """Let another worker begin a test that ``owner`` has begun, whose call it did not make."""
        with self._write() as connection:
            row = self._locked(connection, number)
            body = json.loads(row.body)
            if row.done_at is None and body.get("begun", {}).get("owner") == owner:
                del body["begun"]
                self._put(connection, number, body)

    def finish_trial(
        self,
        number: int,
        result: str,
        outcome: str,
        now: datetime,
        *,
        owner: str,
        found: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write down what came of a check or test.

        The answer of a test's own worker is welcome even when it was thought to be dead; nobody
        else's is, once it has begun.
        """
        with self._write() as connection:
            row = self._locked(connection, number)
            body = json.loads(row.body)
            is_ours = body["begun"]["owner"] == owner if "begun" in body else row.done_at is None
            if is_ours:
                body |= {"result": result, "found": list(found)}
                self._put(connection, number, body, done_at=now, outcome=outcome)

    def end_dead_tests(self, now: datetime) -> list[int]:
        """Call tests ``uncertain`` whose worker ended during the call; returns their numbers."""
        words = "the worker ended during the call: perhaps sent, and not sent again"
        numbers = []
        for request in self._undone(RequestKind.TEST):
            if not request.begun or datetime.fromisoformat(request.begun["over_by"]) >= now:
                continue
            with self._write() as connection:
                row = self._locked(connection, request.id)
                if row.done_at is None:
                    body = {**json.loads(row.body), "result": TrialResult.UNCERTAIN}
                    self._put(connection, request.id, body, done_at=now, outcome=words)
                    numbers.append(request.id)
        return numbers

    def _locked(self, connection: Connection, number: int) -> Any:
        query = select(requests).where(
            requests.c.namespace == self.namespace, requests.c.id == number
        )
        return connection.execute(query.with_for_update()).one()

    def _put(
        self, connection: Connection, number: int, body: Mapping[str, Any], **values: Any
    ) -> None:
        text = json.dumps(body, ensure_ascii=False)
        query = update(requests).where(requests.c.id == number)
        connection.execute(query.values(body=text, **values))


def _of_project(project: str) -> dict[str, str]:
    """Return how a request names the project, where that has a name."""
    return {"project": project} if project else {}
