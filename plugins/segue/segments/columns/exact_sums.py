"""Sums of floating-point numbers that do not depend on the order of rows.

Each sum is the exact sum of the doubles, rounded once, as ``math.fsum`` gives it. It is found for
all groups at the same time by error-free additions; the few groups where one running error term
is not enough, and very long ones, go to ``math.fsum`` itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_LONGEST = 64  # rows of a group that are added side by side with other groups'


def group_sums(values: Floats, groups: npt.NDArray[np.int64], size: int) -> Floats:
    """Return the correctly rounded sum of each of ``size`` groups; 0.0 for an empty one.

    ``values`` has no NaN. A group that holds both infinities has no sum: NaN.
    """
    counts = np.bincount(groups, minlength=size)
    by_group = values[np.argsort(groups, kind="stable")]
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    totals, exact = _running_sums(by_group, starts, counts)
    for group in np.flatnonzero(~exact):
        start = starts[group]
        totals[group] = rounded_sum(by_group[start : start + counts[group]].tolist())
    return totals


def rounded_sum(values: Sequence[float]) -> float:
    """Return the exact sum of ``values`` rounded once; NaN for both infinities."""
    try:
        return math.fsum(values)
    except ValueError:  # inf - inf
        return math.nan
    except OverflowError:  # a partial sum was too large, or all of it is
        return _nearest_double(sum(map(Fraction, values), Fraction(0)))


def _nearest_double(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _running_sums(
    values: Floats, starts: npt.NDArray[Any], counts: npt.NDArray[Any]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Add the groups up, one row of each at a time; also tell which of the sums are right.

    ``totals + errors`` is the exact sum as long as no error term itself had to be rounded. Groups
    are visited from the longest to the shortest, so that the ones still open are a prefix.
    """
    order = np.argsort(-counts, kind="stable")
    first, lengths = starts[order], counts[order]
    totals, errors = np.zeros(len(counts)), np.zeros(len(counts))
    exact = np.ones(len(counts), dtype=bool)
    still_open = len(counts)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(min(int(lengths.max(initial=0)), _LONGEST)):
            still_open = int(np.searchsorted(-lengths[:still_open], -step, side="left"))
            now = slice(0, still_open)
            addends = values[first[now] + step]
            totals[now], error = _two_sum(totals[now], addends)
            errors[now], rest = _two_sum(errors[now], error)
            exact[now] &= rest == 0  # also False for what infinities leave behind
        totals += errors
    exact &= np.isfinite(totals) & (lengths <= _LONGEST)
    result, is_exact = np.empty_like(totals), np.empty_like(exact)
    result[order], is_exact[order] = totals, exact
    return result, is_exact


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the rounded sum and exactly what the rounding lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
