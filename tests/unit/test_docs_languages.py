"""docs/channels.md, "Languages": its example and its table of filters print what they say."""

from __future__ import annotations

import re

import pytest

from segue.channels.email.message import EmailMessage
from segue.contracts.channel import Channel
from segue.contracts.languages import Languages
from segue.contracts.local_formats import FILTERS
from segue.contracts.printing import Kind
from segue.contracts.template_values import Fields
from segue.contracts.templates import Template, render
from segue.documents import parse_document
from tests.unit.test_docs import page

SECTION = page("channels.md").read_text().split("\n## Languages\n")[1].split("\n## ")[0]
VALUES = {"renewal": "2026-12-31", "points": "1234.5", "price": 1234.5, "share": 0.25}


@pytest.mark.parametrize(
    ("language", "subject", "text"),
    [
        ("en", "December 31, 2026", "€1,234.50, 5% less"),
        ("de", "31. Dezember 2026", "1.234,50\xa0€, 5\xa0% weniger"),
        ("pt-BR", "31 de dezembro de 2026", "€1,234.50, 5% less"),
    ],
)
def test_the_example_renders_in_each_language(language, subject, text):
    action = parse_document(SECTION.split("```yaml\n")[1].split("```")[0], "page").data
    languages = Languages.model_validate(action["languages"])
    mail = EmailMessage.model_validate(action["email"], context={"languages": languages})
    contact = Fields("contact", {"email": "ann@example.com", "language": language})
    message = mail.render({"contact": contact})
    assert message["subject"].endswith(subject)
    assert text in message["text"]


def test_the_fields_are_those_that_a_channel_may_translate():
    sentence = re.search(r"(?s)The fields for it are (.*?);", SECTION)[1]
    assert set(re.findall(r"`(\w+)`", sentence)) == Channel.translated


def test_the_table_has_every_filter_with_what_it_prints():
    rows = re.findall(r"(?m)^\| `(\w+)` \| `\{\{ (.*?) \}\}`.*? \| ([^|]*) \| ([^|]*) \|$", SECTION)
    assert [name for name, *_ in rows] == list(FILTERS)
    for _, expression, *shown in rows:
        source = f"{{{{ {expression} }}}}".replace("\\|", "|")
        for language, text in zip(("en", "de"), shown, strict=True):
            template = Template(source, Kind.TEXT, language=language)
            printed = render(template, {"contact": Fields("contact", VALUES)})
            assert printed.replace("\xa0", " ") == text
