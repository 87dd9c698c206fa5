"""What happened before the first snapshot: 400 days of purchases and support calls."""

from __future__ import annotations

import numpy as np
import pandas as pd

DAYS_OF_HISTORY = 400
RECENT_DAYS = 30
TOPICS = ("delivery", "invoice", "fault", "password", "returns")
PRODUCTS = ("kettle", "lamp", "rucksack", "headphones", "subscription", "gift card")
# Calls of a customer in the last month: most never call, a handful are at risk already.
RECENT_CALLS, RECENT_CALL_SHARES = (
    (0, 1, 2, 3, 4, 5, 6),
    (0.72, 0.13, 0.07, 0.04, 0.03, 0.007, 0.003),
)
BIG_SPENDERS = 0.05


def past_transactions(
    rng: np.random.Generator, contacts: pd.DataFrame, until: pd.Timestamp
) -> pd.DataFrame:
    """Return one row per interaction before `until`, for contacts that are or were customers."""
    buyers = contacts.index[contacts["lifecycle"] != "lead"]
    everybody = contacts.index
    recent = rng.choice(RECENT_CALLS, len(buyers), p=RECENT_CALL_SHARES)
    return pd.concat(
        [
            calls(rng, buyers.repeat(recent), _moments(rng, recent.sum(), until, RECENT_DAYS)),
            _older_calls(rng, everybody, until),
            _past_purchases(rng, buyers, until),
        ],
        ignore_index=True,
    ).sort_values(["date", "contact_id"], ignore_index=True)


def calls(
    rng: np.random.Generator, contact_ids: pd.Index[str], moments: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return one support call for each id and moment."""
    topics = rng.choice(TOPICS, len(contact_ids))
    minutes = rng.integers(1, 40, len(contact_ids)).astype("float64")
    return _interactions("support_call", contact_ids, moments, topics, minutes=minutes)


def purchases(
    rng: np.random.Generator,
    contact_ids: pd.Index[str],
    moments: pd.DatetimeIndex,
    cents: np.ndarray,
) -> pd.DataFrame:
    """Return one purchase for each id, moment and amount."""
    products = rng.choice(PRODUCTS, len(contact_ids))
    return _interactions("purchase", contact_ids, moments, products, cents=cents.astype("float64"))


def _interactions(
    kind: str,
    contact_ids: pd.Index[str],
    moments: pd.DatetimeIndex,
    detail: np.ndarray,
    *,
    cents: np.ndarray | float = np.nan,
    minutes: np.ndarray | float = np.nan,
) -> pd.DataFrame:
    columns = {"contact_id": contact_ids, "date": moments, "type": kind, "detail": detail}
    return pd.DataFrame({**columns, "cents": cents, "minutes": minutes})


def _older_calls(
    rng: np.random.Generator, contact_ids: pd.Index[str], until: pd.Timestamp
) -> pd.DataFrame:
    callers = contact_ids.repeat(rng.poisson(0.5, len(contact_ids)))
    limit = until - pd.Timedelta(days=RECENT_DAYS + 1)
    days = DAYS_OF_HISTORY - RECENT_DAYS - 1
    return calls(rng, callers, _moments(rng, len(callers), limit, days))


def _past_purchases(
    rng: np.random.Generator, buyers: pd.Index[str], until: pd.Timestamp
) -> pd.DataFrame:
    """Return purchases; some amounts are unknown, as after a till without a scanner."""
    orders = buyers.repeat(rng.poisson(3.2, len(buyers)))
    big = pd.Index(rng.choice(buyers, int(len(buyers) * BIG_SPENDERS), replace=False)).repeat(4)
    everything = orders.append(big)
    cents = np.concatenate(
        [amounts(rng, len(orders)), rng.integers(20_000, 60_000, len(big)).astype("float64")]
    )
    cents_or_none = np.where(rng.random(len(cents)) < 0.01, np.nan, cents)
    moments = _moments(rng, len(everything), until, DAYS_OF_HISTORY)
    return purchases(rng, everything, moments, cents_or_none)


def amounts(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return everyday amounts in cents: many small ones, a few large."""
    return np.asarray(np.minimum(rng.lognormal(8.6, 0.9, size), 90_000.0).round())


def _moments(
    rng: np.random.Generator, size: int, until: pd.Timestamp, days: int
) -> pd.DatetimeIndex:
    """Return moments spread over the days before `until`, to the second."""
    seconds = rng.integers(1, days * 86_400, size)
    return pd.DatetimeIndex(until - pd.to_timedelta(seconds, unit="s")).as_unit("us")
