"""How many of a directory's contact ids are others than in the snapshot before.

Ids in another spelling are other people: all leave, all enter, and no opt-out holds any more. A
sample tells, the ids with the least keys, so that ten million take as little memory as a few.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from segue.directory.checks import ID
from segue.directory.id_hashes import Keys, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.tables import SnapshotTables
from segue.segments.columns.id_keys import least_keys

_SAMPLED = 1 << 14  # ids that are compared: a share of more of them is right to one in a hundred


def turnover(
    previous: SnapshotTables, current: SnapshotTables, sample: Keys | None = None
) -> tuple[float, float]:
    """Return the share of the previous ids that are gone, and of the current ones that are new.

    Both are 0 where one of the snapshots has no contacts: that is another question. ``sample`` is
    that of the current ids, where somebody has read them.
    """
    if not previous.count("contacts") or not current.count("contacts"):
        return 0.0, 0.0
    old, now = _read_sample(previous), _read_sample(current) if sample is None else sample
    reach = min(_reach(old), _reach(now))
    old, now = old[old <= reach], now[now <= reach]
    return _share_not_in(now, old), _share_not_in(old, now)


def _share_not_in(others: Keys, keys: Keys) -> float:
    if not len(keys):
        return 0.0
    return 1 - float(np.isin(keys, others, assume_unique=True).mean())


def sample_of(parts: Iterable[Keys]) -> Keys:
    """Return the sample of the ids whose keys these are."""
    return least_keys(parts, _SAMPLED)


def _read_sample(tables: SnapshotTables) -> Keys:
    pieces = in_parallel(
        lambda piece: sample_of([id_keys(piece.read([ID]).column(ID))]), tables.slices("contacts")
    )
    return sample_of(pieces)


def _reach(sample: Keys) -> Any:
    """Return the greatest key up to which a sample holds every id."""
    return sample[-1] if len(sample) == _SAMPLED else np.iinfo(np.uint64).max
