"""What calls of Qualtrics' API v3 share: the token, and what its errors say.

Followed: https://api.qualtrics.com/2b4ffbd8af74e-api-authentication (the header X-API-TOKEN, or
``Authorization: Bearer`` with OAuth) and the envelope of its answers, ``result`` and ``meta``, as
https://developers.qodex.ai/qualtrics-public mirrors it. The connection is of type HTTP: host
``https://DATACENTER.qualtrics.com``, password an API token; or an extra ``{"Authorization":
"Bearer …"}`` for OAuth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from segue.channels.airflow_connections import find_connection
from segue.channels.http_calls import HttpCalls, open_calls
from segue.channels.rates import limits_of
from segue.delivery.channel import Limit
from segue.errors import ConnectionFailure

CONNECTION = "qualtrics_default"
API = "/API/v3"
BRAND_LIMIT = "3000/minute"  # of most requests; a brand shares it

_VENDOR = "Qualtrics"
_TOKENS = ("X-API-TOKEN", "Authorization")  # headers that an extra may give instead


def open_qualtrics(connection: str) -> HttpCalls:
    """Open a session with Qualtrics over an Airflow connection of type HTTP."""
    found = find_connection(connection)
    token = found.password
    if not token and not any(name in found.extra_dejson for name in _TOKENS):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs an API token of Qualtrics for its "
            "password, or an Authorization in its extra"
        )
    headers = {"X-API-TOKEN": token} if token else {}
    calls = open_calls(_VENDOR, connection, headers=headers)
    calls.base_url = calls.base_url.removesuffix(API) + API
    return calls


def qualtrics_limits(connection: str) -> Sequence[Limit]:
    """Return the limits on all calls of a connection."""
    return limits_of(connection, BRAND_LIMIT)


def error_codes(answer: Any) -> Iterator[object]:
    """Yield the code of a refusal, such as ``ATP_2``."""
    yield answer["meta"]["error"].get("errorCode")
