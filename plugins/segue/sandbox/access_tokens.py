"""Access tokens of the look-alikes, by OAuth 2: asked for by a client, and soon at their end.

Follows RFC 6749 (4.4 client credentials, 5.2 errors) and, where it differs, Zendesk:
    https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/ (JSON or a form;
    ``expires_in`` of more than 300 and less than 172,800 seconds)
    https://support.zendesk.com/hc/en-us/articles/9182123625370 (30 minutes where nothing is said)
    https://developer.zendesk.com/documentation/api-basics/authentication/api-tokens-to-oauth/

Nobody waits for half an hour in a sandbox: a token lives for ``LIFE`` where nothing is said.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from starlette.responses import Response

from segue.sandbox.store import iso
from segue.sandbox.vendor_api import Call, Refused
from segue.sandbox.wire import basic_credentials, json_answer, json_object

CLIENT_ID, CLIENT_SECRET = "segue", "sandbox-secret"
LIFE = 60  # seconds
SCOPES = frozenset(
    {
        *("read", "write", "tickets:read", "tickets:write", "users:read"),
        # of Qualtrics, whose page on OAuth 2.0 scopes lists many more
        *("manage:all", "read:directories", "manage:directory_contacts", "read:mailing_lists"),
    }
)

_SHORTEST, _LONGEST = 300, 172_800  # seconds that may be asked for, both excluded


def give_token(call: Call) -> Response:
    """Answer a request for a token."""
    request = json_object(call.body) if call.content_type == "application/json" else call.form()
    fields = request or {}
    client = basic_credentials(call.headers) or (
        fields.get("client_id"),
        fields.get("client_secret"),
    )
    if client != (CLIENT_ID, CLIENT_SECRET):
        raise Refused(_error(401, "invalid_client"))
    if fields.get("grant_type") != "client_credentials":
        raise Refused(_error(400, "unsupported_grant_type"))
    scopes = str(fields.get("scope") or "read write").split()
    if not SCOPES.issuperset(scopes):
        raise Refused(_error(400, "invalid_scope"))
    life, token = _life(fields.get("expires_in")), secrets.token_hex(32)
    ends = iso(call.store.clock() + timedelta(seconds=life))
    call.transaction.put(_collection(call), token, {"ends": ends, "scopes": scopes})
    answer = {"access_token": token, "token_type": "bearer", "scope": " ".join(scopes)}
    return json_answer({**answer, "expires_in": life})


def scopes_of(call: Call, token: str) -> list[str] | None:
    """Return the scopes of a token; None where it is none, or none any more."""
    record = call.transaction.get(_collection(call), token)
    if record is None or datetime.fromisoformat(record["ends"]) <= call.store.clock():
        return None
    return list(record["scopes"])


def _life(wanted: object) -> int:
    """Return the seconds that a token is to live."""
    if wanted is None:
        return LIFE
    text = str(wanted)
    if not text.isdecimal() or not _SHORTEST < int(text) < _LONGEST:
        raise Refused(_error(400, "invalid_request"))
    return int(text)


def _collection(call: Call) -> str:
    return f"{call.service}.access_tokens"


def _error(status: int, code: str) -> Response:
    return json_answer(
        {"error": code, "error_description": f"The request is refused: {code}"}, status
    )
