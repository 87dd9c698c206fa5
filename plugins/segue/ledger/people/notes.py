"""Notes of what people did at once, beside their requests: to stop, suppress, quarantine, forget.

These take effect when they are said, not when ``segue_release`` comes by; the note says who said
them, in the same list as everything that was requested.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.dialects.postgresql import JSON

from segue.ledger.base import LedgerDatabase
from segue.ledger.people.release_requests import Request, Selection, read_request
from segue.ledger.schema import requests


class Notes(LedgerDatabase):
    """What was asked and done, by whom."""

    def newest_requests(
        self,
        limit: int,
        before: int | None = None,
        workflows: Collection[str] | None = None,
    ) -> list[Request]:
        """Return requests and notes, the newest first, from those older than number ``before``.

        With ``workflows`` those about one of them, and none that are about no workflow.
        """
        query = select(requests).where(requests.c.namespace == self.namespace)
        if before is not None:
            query = query.where(requests.c.id < before)
        if workflows is not None:
            query = query.where(self._workflow_of_request().in_(sorted(workflows)))
        with self._read() as connection:
            rows = connection.execute(query.order_by(requests.c.id.desc()).limit(limit))
            return [read_request(row) for row in rows]

    def _workflow_of_request(self) -> ColumnElement[Any]:
        """Return the workflow in a request's body: few rows, which people write by hand."""
        if self.engine.dialect.name == "sqlite":
            return func.json_extract(requests.c.body, "$.selection.workflow")
        body: ColumnElement[Any] = cast(requests.c.body, JSON)
        workflow: ColumnElement[Any] = body["selection"]["workflow"].as_string()
        return workflow

    def note(
        self, kind: str, about: Selection, by: str, now: datetime, *, reason: str, outcome: str
    ) -> int:
        """Note something that is done already, and return its number among the requests."""
        body = {"selection": asdict(about), "settlement": None, "asked": {"reason": reason}}
        values = {
            "namespace": self.namespace,
            "kind": kind,
            "body": json.dumps(body, ensure_ascii=False),
            "requested_by": by,
            "requested_at": now,
            "done_at": now,
            "outcome": outcome,
        }
        query = requests.insert().values(values).returning(requests.c.id)
        with self._write() as connection:
            return int(connection.execute(query).scalar_one())
