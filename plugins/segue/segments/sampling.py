"""Stable samples: the same contacts at every run, independent of all others (docs/conditions.md).

A contact's *draw* is the first 8 bytes, as a big-endian number, of SHA-256(salt + NUL + id).
"""

from __future__ import annotations

import hashlib

import numpy as np

from segue.directory.plain_columns import ArrowColumn
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of

DRAWS = 2**64


def is_drawn(ids: ArrowColumn, salt: str, limit: int) -> Mask:
    """Return whose draw is below ``limit``; a missing id is never drawn."""
    if limit >= DRAWS:
        return mask_of(ids.is_valid())
    # One by one: its 64 rounds over arrays of numpy's were measured to take as long, 0.5 µs per id.
    start, bound = hashlib.sha256(f"{salt}\0".encode()), limit.to_bytes(8)

    def below(contact: str | None) -> bool:
        if contact is None:
            return False
        digest = start.copy()
        digest.update(contact.encode())
        return digest.digest()[:8] < bound

    return np.array([below(contact) for contact in ids.to_pylist()], dtype=bool)


def draw(contact_id: str, salt: str) -> int:
    """Return one contact's draw, out of 2**64."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{contact_id}".encode()).digest()[:8])
