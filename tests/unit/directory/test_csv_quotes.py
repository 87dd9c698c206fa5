"""Quotes out of place are refused, wherever the bytes are cut."""

from __future__ import annotations

import io

import pytest

from segue.directory.csv_quotes import QuoteReader
from segue.directory.snapshot_check import check_snapshot

from .conftest import contacts_of, fails


@pytest.mark.parametrize("only", [None, ["a"]])
def test_unclosed_quote(folder, only):
    """A quote that is never closed is an error, not the silent loss of the rows behind it."""
    tables = contacts_of(folder, 'contact_id,note\na,"x\nb,y\nc,z\n')
    fails(lambda: tables.contacts(only=only), "a quoted value is never closed")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'a,x\nb,"Rocky\nc,y\nd,"Duke\n',
            "line 5: a quote character is out of place, for a value",
        ),
        ('a,"Acme \\"West\\" Ltd"\n', "line 2: a quote character is out of place"),
        ('a,5" nail 6" nail\n', "line 2: a quote character is out of place"),
        ('a, "x"\n', "line 2: a quote character is out of place"),
        ('a,"x" \nb,y\n', "line 2: a quote character is out of place"),
        ('a,"x"y\n', "line 2: a quote character is out of place"),
        ('a,""x""\n', "line 2: a quote character is out of place"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
@pytest.mark.parametrize("only", [None, ["a"]])
def test_stray_quotes(folder, text, told, suffix, only):
    """Quotes that RFC 4180 does not allow are refused: Arrow would join the rows between."""
    tables = contacts_of(folder, "contact_id,note\n" + text, suffix)
    message = fails(lambda: tables.contacts(only=only), told)
    assert "Duke" not in message
    assert told in str(check_snapshot(tables)[0])


@pytest.mark.parametrize("size", [3, 4, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_quotes_in_their_place(size, end):
    """Whatever bytes come together, a value may be quoted, empty, and hold quotes and lines."""
    text = '\ufeff"id","n"\n1,""\n2,"x, ""y""\r\nz"\n"3",""""\n4,"' + '"""' + end
    stream = QuoteReader(io.BytesIO(text.encode()))
    while stream.read(size):
        pass
    stream.check_quotes()
