"""CSV, written while it is read from the database."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from fastapi.responses import StreamingResponse

_LINES = 500  # sent at once
_FORMULA = re.compile(r"[=+\-@\t\r]")  # how a cell begins that a spreadsheet would calculate


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
    """Return a value as text; before what a spreadsheet would calculate stands a quote."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text
