"""Quotes of a CSV file that are out of place, and bytes that are no CSV, on their way to Arrow."""

from __future__ import annotations

from typing import IO

import numpy as np

from segue.errors import DataError

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BESIDE_QUOTES = np.isin(np.arange(256), list(b',\r\n"'))  # what a quote may stand beside


class QuoteReader:
    """A stream that looks at every quote character passing, for one that is out of place.

    Arrow joins what follows an opening quote until the next one, over as many lines as it takes:
    the rows in between would be lost in silence. By RFC 4180 an opening quote begins a value and
    a closing one ends it; in between a quote is doubled, so that it closes and opens again.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.closed = False
        self._stream = stream
        self._quotes = 0
        self._lines = 1
        self._last = b"\n"  # the byte before those to come
        self._problem: str | None = None

    def read(self, size: int = -1) -> bytes:
        data = b"" if self.closed else self._stream.read(size)
        if self._lines == 1 and 0 < len(data) < size and not data.endswith((b"\r", b"\n")):
            # Arrow takes a header alone, without its end, for one that is too long
            data += self._stream.read(1) or b"\n"
        is_start = self._lines == 1 and self._last == b"\n"
        if is_start and data.startswith(_GZIP):
            raise DataError(
                "it is compressed with gzip, more than its name says: a file that is ends in "
                ".csv.gz, and is compressed once"
            )
        self._look(data.removeprefix(_BOM) if is_start else data)
        return data

    def close(self) -> None:
        self.closed = True

    def check_quotes(self) -> None:
        """Raise DataError if a quote character is out of place, or a value is never closed."""
        if self._problem is not None:
            raise DataError(self._problem)
        if self._quotes % 2:
            raise DataError(
                "it holds an odd number of quote characters: a quoted value is never closed, or "
                "one with a quote in it is not quoted (RFC 4180)"
            )

    def _look(self, data: bytes) -> None:
        if not data or self._problem is not None:
            return
        if b'"' in data or self._last == b'"':
            self._problem = self._out_of_place(self._last + data)
            self._quotes += data.count(b'"')
        self._lines += data.count(b"\n") or data.count(b"\r")
        self._last = data[-1:]

    def _out_of_place(self, data: bytes) -> str | None:
        """Judge the quotes after the first byte, and the first byte by the one that follows it.

        A quote in the last place that closes a value is judged with the next bytes.
        """
        characters = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(characters == ord('"'))
        parity = (self._quotes - int(data[:1] == b'"')) % 2  # whether the first one closes a value
        openings, closings = places[parity::2], places[1 - parity :: 2]
        openings, closings = openings[openings > 0], closings[closings + 1 < len(data)]
        wrong = [
            *openings[~_BESIDE_QUOTES[characters[openings - 1]]][:1],
            *closings[~_BESIDE_QUOTES[characters[closings + 1]]][:1],
        ]
        if not wrong:
            return None
        index = int(np.searchsorted(places, min(wrong)))
        line, start = (self._line(data, places[max(n, 0)]) for n in (index, index - 1))
        opens = index % 2 == parity
        since = "" if opens or start == line else f", for a value that begins in line {start}"
        return (
            f"line {line}: a quote character is out of place{since}; a value that holds one is "
            "quoted as a whole and the quote in it doubled (RFC 4180): a backslash does not do"
        )

    def _line(self, data: bytes, place: int) -> int:
        text = data[1 : int(place)]
        return self._lines + (text.count(b"\n") or text.count(b"\r"))
