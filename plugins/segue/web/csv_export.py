"""CSV for spreadsheets, written while it is read from the database.

A cell that a spreadsheet would calculate, or would change on the way in, begins with a quote, and
so does one that begins with a quote: whoever joins the file with others takes one quote away, where
there is one, and has the value. Followed (2026-11):
    https://owasp.org/www-community/attacks/CSV_Injection (``=``, ``+``, ``-``, ``@``, tab, line
    breaks, and their full-width forms)
    https://support.microsoft.com/office/import-or-export-text-txt-or-csv-files (UTF-8, by its mark)
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from fastapi.responses import StreamingResponse

_LINES = 500  # sent at once
_LONGEST_NUMBER = 300  # characters of a number or a day; what is longer stays text
_MARK = "\ufeff"  # by which Excel knows UTF-8
_CALCULATED = re.compile(r"[=+\-@'\t\r\n\v\f]")  # how a cell begins that is no plain text
_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff\x00-\x1f]+")
# words that stand beside digits in a day, a time or a number: what is left of one without them is
# digits and signs, in whatever order a country writes them
_WORDS = re.compile(
    r"(?<![a-z])(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![a-z])"
    r"|(?<=[0-9 ])[ap]m(?![a-z])|(?<= )[ap](?![a-z])|(?<=[0-9.])e(?=[0-9+-])",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"[0-9 .,:/()%$€£¥+\-\u00a0]*[0-9][0-9 .,:/()%$€£¥+\-\u00a0]*")
_PLAIN = re.compile(r"0|[1-9][0-9]{0,10}")  # a number that every spreadsheet shows as it is written
_TRUTHS = ("true", "false")


def csv_response(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingResponse:
    """Return a file of these rows for download. Times are UTC, in ISO 8601."""
    file = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:150]
    headers = {"Content-Disposition": f'attachment; filename="{file}.csv"'}
    media = "text/csv; charset=utf-8"
    return StreamingResponse(_text(columns, rows), media_type=media, headers=headers)


def _text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    buffer.write(_MARK)
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(value) for value in row])
        if number % _LINES == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> str:
    """Return a value as text, behind a quote where a spreadsheet would not leave it alone."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return "" if value is None else str(value)
    return f"'{value}" if _is_changed(value) else value


def _is_changed(text: str) -> bool:
    """Tell whether a spreadsheet would not show a text as it is."""
    begin = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text[:100])[:1])
    is_calculated = bool(_CALCULATED.match(text) or _CALCULATED.match(begin))
    return is_calculated or (len(text) < _LONGEST_NUMBER and _is_another(text))


def _is_another(text: str) -> bool:
    """Tell whether Excel takes a text for a number, a day or a truth: 3-4, MAR1."""
    if text.lower() in _TRUTHS:
        return True
    return not _PLAIN.fullmatch(text) and bool(_SIGNS.fullmatch(_WORDS.sub("", text)))
