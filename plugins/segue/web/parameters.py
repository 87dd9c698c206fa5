"""What every parameter of every route must be, wherever it stands: text that a database can keep.

PostgreSQL's texts hold no NUL ("The character with the code zero cannot be in a string constant",
postgresql.org/docs/15, 4.1.2.1), and its ``bigint`` ends at 2**63 - 1 (8.1.1); SQLite's integers
end there as well. A parameter that no row could match is the visitor's mistake, never the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import HTTPException, Path, Query, Request
from pydantic import AfterValidator

from segue.directory.checks import LONGEST_ID

LARGEST = 2**63 - 1
KEY = "^[0-9a-f]{64}$"
_NUL = "a text has a NUL character, which nothing in the ledger has"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def require_texts(request: Request) -> None:
    """Raise a 422 where the path, the query or a form has a text that no database keeps."""
    texts = [*map(str, request.path_params.values()), *_pairs(request.query_params)]
    if request.headers.get("content-type", "").startswith(_FORMS):
        texts += _pairs(await request.form())
    for text in texts:
        if "\0" in text:
            raise HTTPException(422, _NUL)


def require_text(value: Any) -> Any:
    """Return a value of a JSON body; raise ValueError for a text that no database keeps."""
    texts = value if isinstance(value, list) else [value]
    if any("\0" in text for text in texts if isinstance(text, str)):
        raise ValueError(_NUL)
    return value


def _pairs(values: Any) -> Iterator[str]:
    for name, value in values.multi_items():
        yield from (name, str(value))


def _instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("the time has no zone; expected one such as 2026-11-22T06:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is beyond the calendar") from None


Instant = Annotated[datetime, AfterValidator(_instant)]
RequestNumber = Annotated[int | None, Query(ge=1, le=LARGEST)]
ContactId = Annotated[str, Query(max_length=LONGEST_ID)]  # as long as the ledger keeps them
KeyInPath = Annotated[str, Path(pattern=KEY)]
KeyInQuery = Annotated[str, Query(max_length=64)]
