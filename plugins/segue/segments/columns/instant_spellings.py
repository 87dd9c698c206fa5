"""How texts spell instants: ISO 8601, and what others write instead."""

from __future__ import annotations

import re
from datetime import datetime

# ISO 8601 dates and date-times in the extended format; the second group is the offset. The same
# expression is given to RE2 for columns, so it uses nothing that Python has and RE2 lacks.
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_MONTH_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:[0-9]{{4}}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = "(?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?)?"
_OFFSET = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
INSTANT_PATTERN = f"{_DATE}(?:[Tt ]{_TIME}({_OFFSET})?)?"
_INSTANT = re.compile(INSTANT_PATTERN)
# How others spell the same, and what it is in ISO 8601; for RE2 as well, in this order.
RESPELLINGS = (
    ("^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$", ""),
    (r"(Z|[+-][0-9:]+)\[[A-Za-z0-9_+/-]+\]$", r"\1"),  # Java: 2026-11-22T09:00Z[UTC]
    (r"(:[0-9.,]+) ?(?:UTC|Z)$", r"\1Z"),  # BigQuery, Ruby: 2026-11-22 09:00:00 UTC
    (r"(:[0-9.,]+) ([+-][0-9:]+)$", r"\1\2"),  # Snowflake, SQL Server: 09:00:00.000 -0800
)


def parse_instant(text: str) -> datetime | None:
    """Return an ISO 8601 date or date-time, aware if it has an offset; None for other text.

    Digits beyond the microsecond are cut off.
    """
    if not _INSTANT.fullmatch(text) or text.startswith("0000"):
        return None
    return datetime.fromisoformat(text.upper().replace(",", "."))


def read_instant(text: str) -> datetime | None:
    """Return a value of the data, which may be spelt as databases do: in blanks, and in UTC."""
    return parse_instant(text) or parse_instant(_respelt(text))


def _respelt(text: str) -> str:
    for pattern, iso in RESPELLINGS:
        text = re.sub(pattern, iso, text)
    return text
