"""Texts by language: which one a contact gets, what is missing, what may have several."""

from __future__ import annotations

import pytest

from segue.contracts.languages import Languages
from segue.contracts.template_values import Fields
from segue.errors import DefinitionError
from segue.workflows.validation import find_problems
from tests.unit.workflows.home import WORKFLOW

MAIL = """\
  - id: tell
    languages: {field: locale, default: en}
    email:
      from: shop@example.com
      subject: {en: "Hello {{ contact.name }}", de: Hallo, pt-BR: Oi, pt: "Olá"}
      text: {file: "welcome.{language}.txt"}
"""


def mail(home, action: str = MAIL):
    home.write("templates/welcome.en.txt", "On {{ contact.day | date }}\n")
    home.write("templates/welcome.de.txt", "Am {{ contact.day | date }}\n")
    home.write("templates/welcome.old.txt", "{{ nonsense")
    home.write("workflows/greet.yaml", WORKFLOW.partition("  - id")[0] + action)
    return home.resolved().channels["tell"]


def variables(**values: object) -> dict[str, object]:
    fields = {"name": "Ann", "email": "ann@example.com", "day": "2026-11-22", **values}
    return {"contact": Fields("contact", fields)}


@pytest.mark.parametrize(
    ("locale", "subject", "text", "language"),
    [
        ("en", "Hello Ann", "On Nov 22, 2026", "en"),
        ("de", "Hallo", "Am 22.11.2026", "de"),
        ("de-AT", "Hallo", "Am 22.11.2026", "de"),
        ("DE_at", "Hallo", "Am 22.11.2026", "de"),
        ("pt-BR", "Oi", "On Nov 22, 2026", "pt-BR"),
        ("pt_br", "Oi", "On Nov 22, 2026", "pt-BR"),
        ("pt-PT", "Olá", "On Nov 22, 2026", "pt"),
        ("fr", "Hello Ann", "On Nov 22, 2026", "en"),
        ("", "Hello Ann", "On Nov 22, 2026", "en"),
        (None, "Hello Ann", "On Nov 22, 2026", "en"),
        (5, "Hello Ann", "On Nov 22, 2026", "en"),
        ("d" * 10**6, "Hello Ann", "On Nov 22, 2026", "en"),
        ("-" * 30, "Hello Ann", "On Nov 22, 2026", "en"),
    ],
)
def test_a_contact_is_written_to_in_its_language_or_the_default(
    home, locale, subject, text, language
):
    channel = mail(home)
    message = channel.render(variables(locale=locale))
    assert (message["subject"], message["text"].strip()) == (subject, text)
    assert channel.language_of(variables(locale=locale)) == language


def test_the_languages_field_is_loaded_and_must_be_there(home):
    channel = mail(home)
    assert channel.fields_read(digest=False) == {"name", "day", "email", "locale"}
    columns = {"people": {"contacts": ["contact_id", "name", "email", "day", "tier", "local"]}}
    [problem] = find_problems(home.catalog(), columns)
    assert problem.path == "actions[0].languages.field"
    assert problem.message.startswith("contacts have no field 'locale'")
    assert problem.message.endswith("did you mean 'local'?")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'en: "Hello',
            'fr: "Hello',
            "subject: there is no text in en, the default; found fr, de, pt-BR, pt",
        ),
        (
            "default: en",
            "default: english",
            "languages.default: found 'english'; allowed: a language",
        ),
        (
            "    languages: {field: locale, default: en}\n",
            "",
            "need `languages: {field: …, default: …}`",
        ),
        (
            "welcome.{",
            "welcom.{",
            "text: there is no template 'welcom.{language}.txt' of any language",
        ),
        (
            "from: shop@example.com",
            "from: {en: a@example.com}",
            "from: is the same in every language",
        ),
        ("from:", "to: {en: a@b.example, de: '{{ contact.email }}'}\n      from:", "to"),
        ("de: Hallo", 'de: "{{ contact.nam"', "subject"),
        ("de: Hallo", 'de: "{{ nobody.x }}"', "unknown name 'nobody'"),
        ("de: Hallo", "german: Hallo", "subject: found"),
        (
            "de: Hallo",
            "de: {en: Hello, de: Hallo}",
            "subject: found texts by language within the text in de",
        ),
    ],
)
def test_what_is_wrong_with_languages_is_told_where_it_stands(home, old, new, problem):
    with pytest.raises(DefinitionError) as error:
        mail(home, MAIL.replace(old, new))
    assert problem in str(error.value)
    assert "workflows/greet.yaml:" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../welcome.{language}.txt",
            "/etc/{language}",
            "a/../../b.{language}",
            "{language}/../x",
        ),
        *("welcom[e].{language}.txt", "w*.{language}.txt", "**/{language}", "{language}{language}"),
        *("welcome.{language}.txt.{language}", "\0{language}", "é" * 300 + "{language}"),
    ],
)
def test_a_name_of_files_leads_nowhere_else_and_is_no_pattern(home, name):
    """One message, never a traceback."""
    with pytest.raises(DefinitionError, match=r"actions\[0\].email.text: (found|there is no)"):
        mail(home, MAIL.replace('"welcome.{language}.txt"', repr(name).replace("'", '"')))


def test_a_language_that_a_text_lacks_is_remarked_on(home):
    remarks = dict(mail(home).remarks())
    assert remarks == {
        ("text",): "has no text in pt-BR, pt, which other texts have",
    }


def test_a_translation_is_checked_like_any_text(home):
    """Its fields, at its own line."""
    mail(home, MAIL.replace("de: Hallo", 'de: "Hallo {{ contact.nam }}"'))
    columns = {"people": {"contacts": ["contact_id", "name", "email", "day", "tier", "locale"]}}
    [problem] = find_problems(home.catalog(), columns)
    assert problem.path == "actions[0].email.subject.de"
    assert problem.message.startswith("contact has no field 'nam'")


def test_a_digest_is_in_the_default_language(home):
    channel = mail(
        home,
        "  - id: tell\n    digest: true\n    languages: {field: locale, default: de}\n"
        "    slack_message:\n      channel: '#a'\n"
        "      text: {de: 'Es sind {{ digest.count | decimal(1) }}', en: '{{ digest.count }}'}\n",
    )
    each = [{"contact": Fields("contact", {"locale": "en"})}]
    digest = {"digest": Fields("digest", {"count": 1234, "contacts": each})}
    assert channel.render(digest)["text"] == "Es sind 1.234,0"
    assert channel.language_of(digest) == "de"
    assert channel.fields_read(digest=True) == frozenset()


def test_values_of_an_action_with_one_text_are_printed_in_its_default_language(home):
    channel = mail(
        home,
        MAIL.partition("    email")[0].replace("en}", "de}")
        + ("    slack_message: {channel: '#a', text: '{{ contact.day | date }}'}\n"),
    )
    assert channel.render(variables(locale="en"))["text"] == "22.11.2026"


def test_languages_read_what_they_write(home):
    """A recorded definition is rendered again, after its files are gone."""
    resolved = mail(home) and home.resolved()
    data = resolved.definition.model_dump(mode="json", by_alias=True)
    again = home.catalog().build(dict(data.items()), is_resolved=True).channels["tell"]
    assert again.render(variables(locale="de"))["subject"] == "Hallo"
    assert Languages.model_validate(data["actions"][0]["languages"]).field == "locale"
