"""Contacts who are never written to: suppressed by name, or forgotten and known by a digest only.

Both are rows under a keyed digest of [namespace, contact id]. The id of a suppressed contact is
readable beside it, so its key is empty and needs no secret. That of a forgotten contact is keyed
with SEGUE_SECRET: without it, whoever has the ledger cannot find out who it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from segue.errors import SettingsError
from segue.ledger.base import LedgerDatabase, batched
from segue.ledger.delivery_keys import keyed_digest
from segue.ledger.schema import suppressions

_NO_KEY = ""
_SHORTEST_SECRET = 16  # characters; one that a ledger uses already stays, whatever its length
_CHECK = "check of SEGUE_SECRET"  # in place of a digest: the row whose reason tells the secret


class SuppressionKind(StrEnum):
    """Why nothing may be sent: to a suppressed contact; to or about a forgotten one."""

    SUPPRESSED = "suppressed"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One row of the list. ``contact_id`` is None where the contact was forgotten."""

    contact_id: str | None
    kind: SuppressionKind
    reason: str
    added_by: str
    added_at: datetime


class SuppressionRows(LedgerDatabase):
    """The list as other parts of the ledger look at it, within a transaction of theirs."""

    def _forgotten(self, connection: Connection, contact_ids: Iterable[str]) -> set[str]:
        secret = self._secret_in_use(connection)
        if secret is None:
            return set()
        by_digest = {
            keyed_digest(secret, self.namespace, contact): contact for contact in contact_ids
        }
        query = select(suppressions.c.digest).where(self._row_in(by_digest))
        return {by_digest[digest] for digest in connection.execute(query).scalars()}

    def _secret_in_use(self, connection: Connection) -> str | None:
        """Return the secret that contacts were forgotten with; None where nobody was.

        Raises SettingsError where it is not the one that is set.
        """
        query = select(suppressions.c.reason).where(self._row_in([_CHECK]))
        check = connection.execute(query).scalar_one_or_none()
        if check is None:
            return None
        if self.secret is None or self._check_value(self.secret) != check:
            state = "is not set" if self.secret is None else "is another than it was"
            raise SettingsError(
                f"SEGUE_SECRET {state}, and contacts were forgotten with it: they would not be "
                "recognised, and written to again. Nothing is sent until the old value is back"
            )
        return self.secret

    def _settle_on_secret(self, connection: Connection, by: str, now: datetime) -> str:
        """Return the secret to forget with, from now on the only one; raise SettingsError."""
        if self.secret is None:
            raise SettingsError(
                "to forget a contact, set SEGUE_SECRET to a long random text, for every Airflow "
                "component and for the command line, and never change it: a digest without a key "
                "could be undone by trying contact ids"
            )
        if len(self.secret) < _SHORTEST_SECRET and self._secret_in_use(connection) is None:
            raise SettingsError(
                f"SEGUE_SECRET has {len(self.secret)} characters; expected a long random text of "
                f"{_SHORTEST_SECRET} or more, as `openssl rand -hex 32` prints: a digest under "
                "a short one could be undone by trying secrets"
            )
        check = {
            "digest": _CHECK,
            "contact_id": None,
            "reason": self._check_value(self.secret),
            "added_by": by,
            "added_at": now,
        }
        self._add(connection, [check])
        self._secret_in_use(connection)
        return self.secret

    def _add(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add rows that are not there yet; returns how many."""
        if not rows:
            return 0
        insert = self._insert(suppressions).on_conflict_do_nothing()
        own_rows = [{"namespace": self.namespace, **row} for row in rows]
        result = connection.execute(insert.returning(suppressions.c.digest), own_rows)
        return len(result.all())

    def _check_value(self, secret: str) -> str:
        return keyed_digest(secret, "check", "of", self.namespace)

    def _open_digest(self, contact_id: str) -> str:
        return keyed_digest(_NO_KEY, self.namespace, contact_id)

    def _row_in(self, digests: Iterable[str]) -> Any:
        return (suppressions.c.namespace == self.namespace) & suppressions.c.digest.in_(
            list(digests)
        )


class Suppressions(SuppressionRows):
    """The suppression list."""

    def suppress(self, contact_ids: Iterable[str], by: str, reason: str, now: datetime) -> int:
        """Put contacts on the list; returns how many are new on it.

        Who was forgotten stays so, and the id is not recorded. Raises SettingsError where that
        cannot be told (see ``suppressed``).
        """
        count = 0
        for batch in batched(sorted(set(contact_ids))):
            common = {"reason": reason, "added_by": by, "added_at": now}
            with self._write() as connection:
                forgotten_ids = self._forgotten(connection, batch)
                rows = [
                    {"digest": self._open_digest(contact), "contact_id": contact, **common}
                    for contact in batch
                    if contact not in forgotten_ids
                ]
                count += self._add(connection, rows)
        return count

    def unsuppress(self, contact_ids: Iterable[str]) -> int:
        """Take contacts off the list; returns how many were on it. Forgotten ones stay."""
        count = 0
        for batch in batched(sorted(set(contact_ids))):
            digests = [self._open_digest(contact) for contact in batch]
            query = delete(suppressions).where(self._row_in(digests))
            with self._write() as connection:
                count += connection.execute(query).rowcount
        return count

    def suppressed(self, contact_ids: Iterable[str]) -> dict[str, SuppressionKind]:
        """Return those of these contacts who are on the list, and as what.

        Raises SettingsError where contacts were forgotten and SEGUE_SECRET is missing or another:
        they would not be recognised any more.
        """
        kinds: dict[str, SuppressionKind] = {}
        for batch in batched(sorted(set(contact_ids))):
            by_digest = {self._open_digest(contact): contact for contact in batch}
            query = select(suppressions.c.digest).where(self._row_in(by_digest))
            with self._read() as connection:
                for digest in connection.execute(query).scalars():
                    kinds[by_digest[digest]] = SuppressionKind.SUPPRESSED
                for contact in self._forgotten(connection, batch):
                    kinds[contact] = SuppressionKind.FORGOTTEN
        return kinds

    def find_suppression(self, contact_id: str) -> Suppression | None:
        """Return a contact's row of the list, by name; nobody is asked for SEGUE_SECRET."""
        query = select(suppressions).where(self._row_in([self._open_digest(contact_id)]))
        with self._read() as connection:
            row = connection.execute(query).first()
            return None if row is None else _suppression(row)

    def list_suppressions(self) -> list[Suppression]:
        """Return the list, the oldest row first."""
        query = (
            select(suppressions)
            .where(suppressions.c.namespace == self.namespace, suppressions.c.digest != _CHECK)
            .order_by(suppressions.c.added_at, suppressions.c.contact_id, suppressions.c.digest)
        )
        with self._read() as connection:
            return [_suppression(row) for row in connection.execute(query)]


def _suppression(row: Row[Any]) -> Suppression:
    has_id = row.contact_id is not None
    kind = SuppressionKind.SUPPRESSED if has_id else SuppressionKind.FORGOTTEN
    return Suppression(row.contact_id, kind, row.reason, row.added_by, row.added_at)
