"""Forgetting a contact: what the ledger holds of it is erased, and it is never written to again.

Rows stay, so that reports and counts still close, under a keyed pseudonym and without anything
that a vendor or a person said. Keys of deliveries are replaced too: with all other parts known, a
plain SHA-256 could be undone by trying contact ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from segue.errors import LedgerError
from segue.ledger.base import lock_deliveries, move_deliveries
from segue.ledger.delivery_keys import keyed_digest
from segue.ledger.facts import NOT_HELD
from segue.ledger.people.suppressions import SuppressionRows
from segue.ledger.reasons import Reason
from segue.ledger.schema import changes, deliveries, requests, spans, suppressions
from segue.ledger.states import State, Step

PSEUDONYM = "forgotten:"  # and the first half of the digest
# a call whose lease ran out that long ago is over, and what became of it nobody may be able to ask
_IN_DOUBT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """How many rows of the ledger named a contact."""

    deliveries: int
    changes: int
    requests: int


class Forgetting(SuppressionRows):
    """Erasing contacts."""

    def forget(self, contact_id: str, by: str, now: datetime) -> ErasedRows:
        """Erase what the ledger holds of a contact, known to it or not, and suppress it for good.

        What was delivered stays ``delivered``; everything else becomes ``suppressed(forgotten)``.
        Raises SettingsError without SEGUE_SECRET, and LedgerError while a delivery to the contact
        is under way: the contact is suppressed then, and nothing is erased yet.
        """
        secret = self._suppress_for_good(contact_id, by, now)
        pseudonym = PSEUDONYM + keyed_digest(secret, self.namespace, contact_id)[:32]
        with self._write() as connection:
            self._lock_forgetting(connection, alone=True)
            mine = deliveries.c.namespace == self.namespace, deliveries.c.contact_id == contact_id
            lock_deliveries(connection, *mine)
            rows = connection.execute(select(deliveries).where(*mine)).all()
            _refuse_under_way(rows, now)
            new_keys = {row.key: keyed_digest(secret, row.key) for row in rows}
            _erase_deliveries(connection, rows, new_keys, pseudonym, now)
            change_count = self._erase_changes(connection, contact_id, pseudonym)
            request_count = self._erase_requests(connection, contact_id, pseudonym, new_keys)
            return ErasedRows(len(rows), change_count, request_count)

    def _suppress_for_good(self, contact_id: str, by: str, now: datetime) -> str:
        """Put the contact's digest on the list, in place of its id, and return the secret."""
        with self._write() as connection:
            secret = self._settle_on_secret(connection, by, now)
            plain = delete(suppressions).where(self._row_in([self._open_digest(contact_id)]))
            connection.execute(plain)
            row = {
                "digest": keyed_digest(secret, self.namespace, contact_id),
                "contact_id": None,
                "reason": "",
                "added_by": by,
                "added_at": now,
            }
            self._add(connection, [row])
            return secret

    def _erase_changes(self, connection: Connection, contact_id: str, pseudonym: str) -> int:
        ours = select(spans.c.id).where(spans.c.namespace == self.namespace)
        query = select(changes).where(changes.c.contact_id == contact_id, changes.c.span.in_(ours))
        rows = connection.execute(query).all()
        for row in rows:
            mine = (changes.c.span == row.span) & (changes.c.change == row.change)
            connection.execute(delete(changes).where(mine, changes.c.contact_id == contact_id))
            values = {"span": row.span, "contact_id": pseudonym, "change": row.change}
            copy = self._insert(changes).values(**values, reason=row.reason)
            connection.execute(copy.on_conflict_do_nothing())
        return len(rows)

    def _erase_requests(
        self,
        connection: Connection,
        contact_id: str,
        pseudonym: str,
        new_keys: Mapping[str, str],
    ) -> int:
        """Take the contact out of requests; what a person typed about it goes as well."""
        count = 0
        query = select(requests).where(requests.c.namespace == self.namespace)
        for row in connection.execute(query).all():
            body = json.loads(row.body)
            selection = body["selection"]
            keys = [new_keys.get(key, key) for key in selection["keys"]]
            if selection["contact"] != contact_id and keys == list(selection["keys"]):
                continue
            selection["keys"] = keys
            if selection["contact"] == contact_id:
                selection |= {"contact": pseudonym, "error": None}
                body.get("asked", {}).pop("reason", None)
            body_text = json.dumps(body, ensure_ascii=False)
            connection.execute(
                update(requests).where(requests.c.id == row.id).values(body=body_text)
            )
            count += 1
        return count


def _refuse_under_way(rows: Sequence[Row[Any]], now: datetime) -> None:
    """Raise LedgerError while a worker has one of these deliveries in its hands."""
    leases = {State.CLAIMED: now, State.SENDING: now - _IN_DOUBT}
    under_way = [
        row
        for row in rows
        if row.state in leases and row.lease_until and row.lease_until >= leases[row.state]
    ]
    if under_way:
        raise LedgerError(
            f"{len(under_way)} of this contact's deliveries are under way at this moment. From now "
            "on nothing more is sent; run the command again in a few minutes to erase the rest"
        )


def _erase_deliveries(
    connection: Connection,
    rows: Sequence[Row[Any]],
    new_keys: Mapping[str, str],
    pseudonym: str,
    now: datetime,
) -> None:
    table = deliveries.c
    blanks = {
        "contact_id": pseudonym,
        "external_id": None,
        "url": None,
        "results": None,
        "digest": None,
        "trace": None,
        "message_key": None,
        "owner": None,
        "lease_until": None,
        **NOT_HELD,
        "untold": None,
        "updated_at": now,
    }
    for row in rows:
        mine, new_key = table.key == row.key, new_keys[row.key]
        if connection.execute(select(table.key).where(table.key == new_key)).first():
            # recorded again after the contact was forgotten: the first row is the true one
            connection.execute(delete(deliveries).where(mine))
            continue
        connection.execute(update(deliveries).where(mine).values(blanks))
        values = {"reason": Reason.FORGOTTEN}
        if not move_deliveries(connection, Step.FORGET, [mine], values, lock=False):
            connection.execute(update(deliveries).where(mine).values(reason=""))
        connection.execute(update(deliveries).where(mine).values(key=new_key))
