"""The key of a delivery: what makes "the same message again" the same.

SHA-256 over the JSON array [namespace, workflow, action, contact id, change, snapshot]. Never a
run id, try number, map index or definition version: replaying a day must give the same keys.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from segue.segments.kinds import ChangeKind

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def delivery_key(
    namespace: str, workflow: str, action: str, contact_id: str, change: str, snapshot: str
) -> str:
    """Return 64 hex digits; ``snapshot`` is the canonical key of the current snapshot.

    An ``enrolled`` change has no snapshot in its key: once per contact and action, ever.
    """
    instant = None if change == ChangeKind.ENROLLED else snapshot
    parts = [namespace, workflow, action, contact_id, change, instant]
    return hashlib.sha256(_compact(parts).encode()).hexdigest()


def message_key(keys: Iterable[str]) -> str:
    """Return the key of a digest, 64 hex digits: other deliveries, another message.

    SHA-256 of the JSON array of the deliveries' keys, sorted.
    """
    return hashlib.sha256(json.dumps(sorted(keys)).encode()).hexdigest()


def trial_key(namespace: str, request: int, requested_at: datetime) -> str:
    """Return the key of a message to a tester, 64 hex digits: no delivery's, and never twice."""
    parts = [namespace, "send-test", request, requested_at.astimezone(UTC).isoformat()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def keyed_digest(secret: str, *parts: str) -> str:
    """Return the HMAC-SHA256 of ``parts``, 64 hex digits: nobody without the secret can try ids."""
    return hmac.new(secret.encode(), _compact(parts).encode(), hashlib.sha256).hexdigest()
