"""Messages as Twilio lists them, and which of them is a delivery's.

A message carries the delivery's key in its ``tags``. They are in Twilio's examples and in no schema
of its OpenAPI description (github.com/twilio/twilio-oai, twilio_api_v2010.json of 2026-04-14), nor
in its client for Python (9.13, of November 2026), so an account may show none. Then a message that
was made since the call began and has the same number and the same text is taken for it, where it
went to the contact; each for one delivery alone. A number that many messages of one text go to, as
a team's does, would tell nothing.

The list is asked for without DateSent, which would leave out what is still queued. Nothing says how
soon a message is listed, so that one is not there is never a proof that it was not sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from segue.contracts.channel import Receipt

TAG = "segue_delivery"
DIGEST = "digest"  # the key in a trace


@dataclass(frozen=True, slots=True)
class Listed:
    """What is of interest in a listed message."""

    key: str  # of a delivery; empty where the message has no tag of ours
    digest: str  # of its number and text
    receipt: Receipt
    created_at: datetime | None  # None where it is not shown


def digest_of(number: str, text: str) -> str:
    """Return a digest of what a message says to whom: neither can be read from it."""
    return hashlib.sha256(json.dumps([number, text]).encode()).hexdigest()


def receipt_of(message: Mapping[str, Any]) -> Receipt:
    """Return the receipt of a message as Twilio shows it."""
    sid = message["sid"]
    if not isinstance(sid, str) or not sid:
        raise ValueError("a message without a SID")
    return Receipt(external_id=sid, results={"id": sid})


def read_page(answer: Any, _: bool) -> tuple[list[Listed], dict[str, str] | None]:
    """Return the messages of one page, and the query of the next where there is one."""
    messages = [
        Listed(
            key=str((message.get("tags") or {}).get(TAG) or ""),
            digest=digest_of(str(message.get("to")), str(message.get("body"))),
            receipt=receipt_of(message),
            created_at=_moment(message.get("date_created")),
        )
        for message in answer["messages"]
    ]
    next_page = answer["next_page_uri"]
    query = dict(parse_qsl(urlsplit(next_page).query)) if next_page else None
    return messages, query


def ends_before(messages: Sequence[Listed], begin: datetime) -> bool:
    """Tell whether a page ends with what was made before ``begin``."""
    last = messages[-1].created_at if messages else None
    return last is not None and last < begin


def receipts_of(
    messages: Sequence[Listed], traces: Mapping[str, Mapping[str, str]], begin: datetime
) -> dict[str, Receipt]:
    """Return the receipts of those deliveries that are among the messages, by their keys."""
    by_tag = {message.key: message.receipt for message in messages if message.key}
    if by_tag:  # the account shows tags
        return {key: by_tag[key] for key in traces if key in by_tag}
    receipts: dict[str, Receipt] = {}
    others = [each for each in messages if each.created_at and each.created_at >= begin]
    for key, trace in traces.items():
        message = next((each for each in others if each.digest == trace.get(DIGEST)), None)
        if message is not None:
            others.remove(message)
            receipts[key] = message.receipt
    return receipts


def _moment(text: str | None) -> datetime | None:
    """Read ``Fri, 24 May 2019 17:18:27 +0000``."""
    return None if text is None else parsedate_to_datetime(text).replace(tzinfo=UTC)
