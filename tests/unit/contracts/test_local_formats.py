"""Filters that print as the message's language does; hostile values fail their contact alone."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from segue.contracts.printing import Kind
from segue.contracts.template_values import Fields
from segue.contracts.templates import Template, render
from segue.errors import ContactFailure


def printed(expression: str, value: object, language: str = "en") -> str:
    template = Template(f"{{{{ {expression} }}}}", Kind.TEXT, language=language)
    return render(template, {"contact": Fields("contact", {"x": value})}).replace("\u202f", "\xa0")


@pytest.mark.parametrize(
    ("expression", "value", "language", "text"),
    [
        ("contact.x | date", date(2026, 11, 22), "en", "Nov 22, 2026"),
        ("contact.x | date", "2026-11-22", "de", "22.11.2026"),
        ("contact.x | date('long')", "2026-11-22T23:30:00+02:00", "de", "22. November 2026"),
        ("contact.x | date('long')", pd.Timestamp("2026-11-22"), "pt-BR", "22 de novembro de 2026"),
        (
            "contact.x | date('EEEE, d. MMMM')",
            datetime(2026, 11, 22, tzinfo=UTC),
            "de",
            "Sonntag, 22. November",
        ),
        ("contact.x | date('long', locale='fr')", "2026-11-22", "de", "22 novembre 2026"),
        ("contact.x | decimal", 1234567.891, "en", "1,234,567.891"),
        ("contact.x | decimal", "1234567.891", "de", "1.234.567,891"),
        ("contact.x | decimal(1)", Decimal("0.25"), "en", "0.2"),
        ("contact.x | decimal(2)", 5, "fr", "5,00"),
        ("contact.x | decimal", -5, "en", "-5"),
        ("contact.x | money('EUR')", 1234.5, "en", "€1,234.50"),
        ("contact.x | money('EUR')", "1234.5", "de", "1.234,50\xa0€"),
        ("contact.x | money('JPY')", 1234.5, "en", "¥1,234"),
        ("contact.x | money('EUR', locale='pt-BR')", 1234.5, "de", "€\xa01.234,50"),
        ("contact.x | percent", 0.256, "en", "26%"),
        ("contact.x | percent(1)", "0.256", "de", "25,6\xa0%"),
        ("contact.x | decimal", 1234.5, "xx", "1,234.5"),
        ("contact.x | decimal", 1234.5, "de-AQ", "1.234,5"),
        ("contact.y | default('–')", 1, "en", "–"),
        ("contact.y | date | default('soon')", 1, "en", "soon"),
        ("contact.y | decimal | default('none')", 1, "en", "none"),
        ("5 | decimal(1)", 1, "de", "5,0"),
        ("contact.x | date", date(9999, 12, 31), "en", "Dec 31, 9999"),
        ("contact.x | date", date(1, 1, 1), "en", "Jan 1, 1"),
        (
            "contact.x | decimal",
            10**29,
            "en",
            "100" + ",000" * 9,
        ),
    ],
)
def test_values_are_printed_as_a_language_does(expression, value, language, text):
    assert printed(expression, value, language) == text


HOSTILE = [
    *(
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        10**30,
        -(10**4000),
    ),
    *("x" * 10**6, "1e400", "1e1000000", "9" * 10**6, "NaN", "Infinity", "five", " ", "\ud800"),
    *(
        "٣",
        "0x10",
        "1_000",
        True,
        b"5",
        [1, 2],
        {"a": 1},
        datetime.max.replace(tzinfo=UTC),
        date.max,
        "9999-99-99",
    ),
    *("2026-11-22" * 10**5, pd.Timedelta(days=1)),
]
EXPRESSIONS = [
    *("contact.x | date", "contact.x | decimal", "contact.x | money('EUR')", "contact.x | percent"),
    *("5 | money(contact.x)", "5 | decimal(contact.x)", "5 | percent(contact.x)"),
    *("'2026-11-22' | date(contact.x)", "5 | decimal(locale=contact.x)"),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_a_hostile_value_renders_or_fails_its_contact_without_a_word_of_it(expression, value):
    """Never anything else, which would end a pass."""
    try:
        text = printed(expression, value)
    except ContactFailure as error:
        text = str(error)
        is_quoted = "99999" in text or "xxx" in text
    else:
        is_quoted = False
    assert len(text) < 200
    assert not is_quoted


@pytest.mark.parametrize(
    ("expression", "value", "problem"),
    [
        ("contact.x | date", "22.11.2026", "the filter `date` meets a value that is no date"),
        ("contact.x | date", 5, "the filter `date` meets a value that is no date"),
        ("contact.x | decimal", "five", "the filter `decimal` meets a value that is no number"),
        ("contact.x | money('EUR')", float("inf"), "a number that is infinite"),
        ("contact.x | percent", "1e40", "more than 30 digits"),
        ("contact.x | money('euro')", 5, "a currency that is no code such as EUR"),
        ("contact.x | decimal(99)", 5, "prints 0 to 12 digits"),
        ("contact.x | decimal(locale='klingon')", 5, "locale is no language such as de or pt-BR"),
        ("contact.y | money('EUR')", 5, "missing field: contact.y"),
    ],
)
def test_what_cannot_be_printed_says_what_is_the_matter(expression, value, problem):
    with pytest.raises(ContactFailure, match=problem):
        printed(expression, value)


def test_babel_is_not_imported_where_nothing_prints_by_language():
    """A DAG file is parsed again in every task process."""
    code = (
        "import sys, segue.contracts.jinja_sandbox, segue.workflows.catalog; "
        "print('babel' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
