"""How often a connection may be called: its vendor's published limit, or the team's own.

The extra of an Airflow connection may give ``segue_rate``, such as ``"700/minute"`` where the
account has a larger plan than the channel's default assumes, or ``"none"`` for no limit.
"""

from __future__ import annotations

import re

from segue.channels.airflow_connections import find_connection, use_connection
from segue.contracts.channel import Limit
from segue.errors import ConnectionFailure

SEGUE_RATE = "segue_rate"  # the key in a connection's extra
UNLIMITED = "none"
UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}  # seconds
ALLOWED = "a number of calls and a unit (second, minute, hour), such as '700/minute', or 'none'"

_RATE = re.compile(rf"([1-9][0-9]{{0,6}})/({'|'.join(UNITS)})")


def limits_of(connection: str, default: str) -> tuple[Limit, ...]:
    """Return the limit on all calls of a connection; nothing where there is none.

    Raises ConnectionFailure where ``segue_rate`` in the connection's extra cannot be read.
    """
    settings = find_connection(connection)
    rate = use_connection(connection, lambda: settings.extra_dejson.get(SEGUE_RATE, default))
    try:
        return read_rate(rate, connection)
    except ValueError as error:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: {SEGUE_RATE} in its extra {error}"
        ) from None


def read_rate(text: object, scope: str) -> tuple[Limit, ...]:
    """Read ``700/minute`` or ``none``; raise ValueError that says what is allowed."""
    if text == UNLIMITED:
        return ()
    rate = _RATE.fullmatch(text) if isinstance(text, str) else None
    if rate is None:
        raise ValueError(f"is {text!r}; allowed: {ALLOWED}")
    return (Limit(scope, int(rate[1]), UNITS[rate[2]]),)
