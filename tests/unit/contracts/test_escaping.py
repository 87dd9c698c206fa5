"""Where a value stands decides how it is escaped, however it came there, and it is escaped once."""

from __future__ import annotations

import time
from contextlib import suppress
from html import unescape
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from segue.contracts.printing import Kind
from segue.contracts.template_values import Fields
from segue.contracts.templates import Html, Markdown, Mrkdwn, Template, Text, render
from segue.errors import ContactFailure
from tests.unit.channels.hostile import TEXTS, html_tags, slack_entities, structure

WAYS = [
    "{% set x %}{{ contact.a }}{% endset %}{{ x }}",
    "{% set x %}{{ contact.a }}{% endset %}{% set y %}{{ x }}{% endset %}{{ y }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(contact.a) }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(m(contact.a)) }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ contact.a }}{% endcall %}",
    "{% call '{}'.format(contact.a) %}{% endcall %}",
    "{% filter string %}{{ contact.a }}{% endfilter %}",
    "{% filter replace('no such text', '') %}{{ contact.a }}{% endfilter %}",
    "{% set x | string %}{{ contact.a }}{% endset %}{{ x }}",
    "{% for x in [1] recursive %}{{ contact.a }}{% endfor %}",
    "{% for x in [[1]] recursive %}{{ loop(x) if x is iterable else contact.a }}{% endfor %}",
    "{% block b %}{{ contact.a }}{% endblock %}",
    "{% with x = contact.a %}{{ x }}{% endwith %}",
    "{{ contact.a | string | string }}",
    "{{ ['', contact.a] | join }}",
    "{{ contact.a ~ '' }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x ~ '' }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ [x] | first }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x | string }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x + '' }}",
]
UNDOING = [
    "{% filter striptags %}{{ contact.a }}{% endfilter %}",
    "{% filter replace('&lt;', '<') %}{{ contact.a }}{% endfilter %}",
    "{% filter replace('\\\\', '') %}{{ contact.a }}{% endfilter %}",
    "{% filter replace('%', '') | trim %}{{ contact.a }}{% endfilter %}",
    "{% filter urlencode %}{{ contact.a }}{% endfilter %}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x | replace('\\\\', '') }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x.replace('&lt;', '<') }}",
    "{% set x %}{{ contact.a }}{% endset %}{{ x | striptags }}",
    "{% set x | replace('&lt;', '<') %}{{ contact.a }}{% endset %}{{ x }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(contact.a)[0:] }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(contact.a) | replace('\\\\', '') }}",
    "{{ contact.a | tojson }}",
    "{{ contact.a | e | replace('&lt;', '<') }}",
    "{{ contact.a | forceescape }}",
    "{{ (contact.a | e).unescape() }}",
    "{{ '%s' | format(contact.a | e) | replace('&amp;', '&') }}",
    "{% call '{}'.format(contact.a) %}{% endcall %}",
    "{{ contact.a | list | join }}",
    "{{ contact.a | pprint }}",
]
KINDS = [kind for kind in Kind if kind not in (Kind.TEXT, Kind.LINE, Kind.PATH)]


def shown(source: str, kind: Kind, **contact: Any) -> str:
    return render(
        Template(source, kind), {"contact": Fields("contact", contact), "change": "added"}
    )


def refusal(source: str, kind: Kind, **contact: Any) -> str:
    with pytest.raises(ContactFailure) as raised:
        shown(source, kind, **contact)
    return str(raised.value)


def complaint(field: Any, source: str) -> str:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(field).validate_python(source)
    return str(raised.value.errors()[0]["ctx"]["error"])


def of_kind(kind: Kind, source: str) -> str:
    return f"https://shop.example/x/{source}" if kind is Kind.URL else f"Hello {source}"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("source", WAYS)
@pytest.mark.parametrize("text", ["Ann (VIP)", "<b> & *c*", "a/b?c=d", "[x](y)", "- 1. # _a_"])
def test_a_value_is_escaped_once_however_it_came_there(kind: Kind, source: str, text: str):
    """Alone, so that line breaks of one's own make no difference."""
    plain = shown(of_kind(kind, "{{ contact.a }}"), kind, a=text)
    assert shown(of_kind(kind, source), kind, a=text) == plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", UNDOING)
def test_no_filter_and_no_method_undoes_the_escaping(kind: Kind, source: str):
    word = structure(kind, shown(of_kind(kind, "{{ contact.a }}"), kind, a="word"))
    for text in TEXTS:
        try:
            found = shown(of_kind(kind, source), kind, a=text)
        except ContactFailure:
            continue
        assert structure(kind, found) == word, text


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_parts_is_judged_as_a_whole(kind: Kind):
    """Of which neither is harmful, as in a first and a last name."""
    source = of_kind(kind, "{{ contact.a }}{{ contact.b }}")
    word = structure(kind, shown(source, kind, a="word", b="word"))
    for text in TEXTS:
        for cut in {1, len(text) // 2, len(text) - 1} - {0, len(text)}:
            try:
                found = shown(source, kind, a=text[:cut], b=text[cut:])
            except ContactFailure:
                continue
            assert structure(kind, found) == word, text


def test_the_authors_markup_goes_through_macros():
    bold = "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}"
    assert shown(f"{bold}{{{{ bold(contact.a) }}}}", Kind.HTML, a="<i>") == "<b>&lt;i&gt;</b>"
    both = f"{bold}{{{{ bold(contact.a) ~ ', ' ~ bold(contact.a) }}}}"
    assert shown(both, Kind.HTML, a="&") == "<b>&amp;</b>, <b>&amp;</b>"
    link = "{% set x %}[a](https://x.example/{{ contact.a }}){% endset %}{{ x }}"
    assert shown(link, Kind.CARD, a="b c") == "[a](https://x.example/b%20c)"


@pytest.mark.parametrize("field", [Html, Mrkdwn, Markdown])
@pytest.mark.parametrize(
    "source",
    [
        "a\n{% filter upper %}<b>{{ contact.a }}</b>{% endfilter %}",
        "a\n{% set x | trim %}*{{ contact.a }}*{% endset %}{{ x }}",
    ],
)
def test_a_filter_around_markup_is_refused_with_its_line(field: Any, source: str):
    assert "template line 2: a filter makes one value" in complaint(field, source)
    TypeAdapter(Text).validate_python(source)
    TypeAdapter(field).validate_python("{% filter upper %}{{ contact.a }} and so{% endfilter %}")


# Slack


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        ("<{{ contact.a }}|x>", "https://a.example/b?c=d&e", "<https://a.example/b?c=d&amp;e|x>"),
        ("<{{ contact.a }}>", "HTTP://a.example/ b|c>", "<HTTP://a.example/%20b%7Cc%3E>"),
        (
            "<https://a.example/{{ contact.a }}|x>",
            "b|c/../d",
            "<https://a.example/b%7Cc%2F..%2Fd|x>",
        ),
        (
            "<https://a.example|{{ contact.a }}>",
            "x>\n<!here>",
            "<https://a.example|x&gt; &lt;!here&gt;>",
        ),
        ("<mailto:{{ contact.a }}|x>", "a@b.example", "<mailto:a@b.example|x>"),
        ("<@{{ contact.a }}> hi", "U012345", "<@U012345> hi"),
        ("<!date^{{ contact.a }}^{date}|x>", "1392734382", "<!date^1392734382^{date}|x>"),
        ("a < b, {{ contact.a }}", "x", "a < b, x"),
        ("1 > {{ contact.a }} <b\n>", "x", "1 > x <b\n>"),
        (
            "{% set l %}<{{ contact.a }}|x>{% endset %}{{ l }}",
            "https://a.example",
            "<https://a.example|x>",
        ),
        ("<{{ contact.a }}|x>", "‹results.ticket.url›", "<‹results.ticket.url›|x>"),
    ],
)
def test_a_value_in_slacks_brackets_is_part_of_a_link(source: str, value: str, text: str):
    assert shown(source, Kind.MRKDWN, a=value) == text


@pytest.mark.parametrize(
    "value", ["!channel", "@U012AB3CD", "#C1", "x|y", "javascript:x", "http://", ""]
)
def test_what_is_no_address_is_no_link_in_slack(value: str):
    failed = refusal("<{{ contact.a | default('') }}|x>", Kind.MRKDWN, a=value)
    assert failed == "a value is no http or https URL, and stands in <…>, a link"


@pytest.mark.parametrize("value", [".", ".."])
@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (Kind.MRKDWN, "<https://a.example/{{ contact.a }}|x>"),
        (Kind.CARD, "[x](https://a.example/{{ contact.a }})"),
        (Kind.URL, "https://a.example/{{ contact.a }}/b"),
        (Kind.HTML, "<a href='https://a.example/{{ contact.a }}'>"),
    ],
)
def test_no_value_leads_a_url_to_another_path(kind: Kind, source: str, value: str):
    assert "a segment . or .., which would lead elsewhere" in refusal(source, kind, a=value)
    assert shown(source.replace("/{{", "?a={{"), kind, a="..." if kind is Kind.HTML else value)


@pytest.mark.parametrize(
    "source", ["<@{{ contact.a }}>", "<!{{ contact.a }}>", "<!subteam^{{ contact.a }}>"]
)
@pytest.mark.parametrize("value", ["here|x", "U1> <!here", "u1", "a b", "S1|x"])
def test_what_is_no_id_is_no_mention_in_slack(source: str, value: str):
    try:
        found = shown(source, Kind.MRKDWN, a=value)
    except ContactFailure:
        return
    assert (source, value) == ("<!subteam^{{ contact.a }}>", "u1")
    assert slack_entities(found) == ("!subteam^u1",)


def test_a_mention_that_a_contact_would_choose_is_refused_with_its_line():
    assert "template line 3: a value stands behind <!" in complaint(
        Mrkdwn, "a\nb\n<!{{ contact.a }}>"
    )


# HTML

REFUSED = [
    ("<a href={{ contact.a }}>", "in href= without quotes"),
    ("<td class={{ contact.a }} id='x'>", "in class= without quotes"),
    ("<td class=a{{ contact.a }}>", "in class= without quotes"),
    ("<{{ contact.a }}>", "as the name of a tag"),
    ("<h{{ contact.a }}>", "as the name of a tag"),
    ("</{{ contact.a }}>", "as the name of a tag"),
    ("<p {{ contact.a }}>", "between the attributes"),
    ("<p data-{{ contact.a }}='x'>", "between the attributes"),
    ("<script>var x = '{{ contact.a }}'</script>", "in <script>"),
    ("<SCRIPT type='x'>{{ contact.a }}</SCRIPT>", "in <script>"),
    ("<a title/='{{ contact.a }}'>", "between the attributes"),
    ("<!-- {{ contact.a }} -->", "in a comment"),
    ("<!doctype {{ contact.a }}>", "in a declaration"),
    ("<a onclick=\"f('{{ contact.a }}')\">", "in onclick=, which is code"),
    ("<iframe srcdoc='{{ contact.a }}'>", "in srcdoc=, which is code"),
    ("<a href='javascript:f({{ contact.a }})'>", "in a URL that begins with javascript:"),
    ('<a href="&#32;JavaScript:f({{ contact.a }})">', "in a URL that begins with JavaScript:"),
    ("<meta http-equiv=refresh content='0;url={{ contact.a }}'>", "in the content of a <meta>"),
]
ALLOWED = [
    "<a href = \"https://a.example/{{ contact.a }}\" title='{{ contact.a }}'>x</a>",
    "<img src='https://a.example/{{ contact.a }}/x.png' alt='{{ contact.a }}'/>",
    "<p style='width: {{ contact.a }}%'>{{ contact.a }}</p>",
    "<style>p { color: {{ contact.a }} }</style><title>{{ contact.a }}</title>",
    "<!--[if mso]><td>{{ contact.a }}</td><![endif]-->{{ contact.a }}",
    "<!--[if !mso]><!-->{{ contact.a }}<!--<![endif]-->{{ contact.a }}",
    "<!doctype html><p>{{ contact.a }}<br/>5 < 6 {{ contact.a }} <!-- x --> {{ contact.a }}",
    "<option {{ 'selected' if contact.a is defined else '' }}>{{ contact.a }}</option>",
    "<script>var x = 1 < 2;</script>{{ contact.a }}<!-- {# {{ contact.a }} #} -->",
    "<a{% if contact.a is defined %} title='{{ contact.a }}'{% endif %}>{{ contact.a }}</a>",
    "{% macro m(x) %} class='{{ x }}'{% endmacro %}<p{{ m(contact.a) }}>x</p>",
]


@pytest.mark.parametrize(("source", "problem"), REFUSED)
def test_where_no_value_can_stand_the_author_is_told_the_line(source: str, problem: str):
    said = complaint(Html, f"<p>one</p>\n{source}")
    assert said.startswith("template line 2: a value stands ")
    assert problem in said
    assert problem in refusal(source, Kind.HTML, a="word and more")


@pytest.mark.parametrize("source", ALLOWED)
def test_everywhere_else_no_text_is_more_than_text(source: str):
    TypeAdapter(Html).validate_python(source)
    word = html_tags(shown(source, Kind.HTML, a="word"))
    for text in TEXTS:
        try:
            found = shown(source, Kind.HTML, a=text)
        except ContactFailure:
            continue
        assert html_tags(found) == word, text


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("<a href='{{ contact.a }}'>", "javascript:alert(1)"),
        ("<a href='{{ contact.a }}'>", " \x01JaVa\nScript:alert(1)"),
        ("<a href='{{ contact.a }}'>", "java\x01script:alert(1)"),
        ("<a href='{{ contact.a }}{{ contact.b }}'>", "\x7fjava\x00script:"),
        ("<a href='/{{ contact.a }}'>", "\x01/evil.example"),
        ("<a href='https://a.example/b/{{ contact.a }}'>", ".\x1f./admin"),
        ("<img srcset='https://a.example/{{ contact.a }}'>", "a 1x, https://evil.example/b"),
        ("<img srcset='{{ contact.a }} 2x'>", "https://a.example/a,https://evil.example/b"),
        ("<a ping='https://a.example/{{ contact.a }}'>", "a\thttps://evil.example/b"),
        ("<a href='{{ contact.a }}'>", "data:text/html,x"),
        ("<a href='{{ contact.a }}'>", "ftp://a.example"),
        ("<img src='{{ contact.a }}'>", "vbscript:x"),
        ("<a href='java{{ contact.a }}'>", "script:alert(1)"),
        ("<a href='{{ contact.a }}{{ contact.b }}'>", "javascript:"),
        ("<a href='https://{{ contact.a }}/x'>", "evil.example:x"),
        ("<a href='https://{{ contact.a }}/x'>", "a@evil.example"),
        ("<a href='https://shop.example{{ contact.a }}'>", ".evil.example"),
        ("<a href='https://shop.example{{ contact.a }}'>", "@evil.example"),
        ("<a href='/{{ contact.a }}'>", "/evil.example"),
        ("<a href='https://a.example/b/{{ contact.a }}'>", "../admin"),
        ("<a href='https://a.example/b/{{ contact.a }}/c'>", "x\\..\\.."),
        ("<p style='{{ contact.a }}'>", "background:url(//x)"),
        ("<p style='width:{{ contact.a }}'>", "1;x:y"),
        ("<style>{{ contact.a }}</style>", "</style><b>"),
    ],
)
def test_a_value_that_is_more_than_its_place_allows_fails(source: str, value: str):
    TypeAdapter(Html).validate_python(source)
    assert refusal(source, Kind.HTML, a=value, b="x").startswith("a value ")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("<a href='{{ contact.a }}'>", "https://a.example/?b=c&d#e"),
        ("<a href='{{ contact.a }}'>", "mailto:a@b.example"),
        ("<a href='{{ contact.a }}'>", "tel:+1"),
        ("<a href='{{ contact.a }}'>", "page.html?x=a:b"),
        ("<a href='{{ contact.a }}'>", "‹results.ticket.url›"),
        ("<a href='https://{{ contact.a }}/x'>", "shop-1.a.example:8080"),
        ("<a href='https://shop.example{{ contact.a }}'>", "/a:b?c"),
        ("<a href='https://shop.example/{{ contact.a }}'>", "javascript:x"),
        ("<a href='https://shop.example/?a={{ contact.a }}'>", "\"'<>"),
        ("<img srcset='{{ contact.a }} 2x'>", "https://a.example/a"),
        ("<p style='color: {{ contact.a }}'>", "#fff0a0"),
        ("<p title='{{ contact.a }}'>", "javascript:x"),
    ],
)
def test_a_value_that_its_place_allows_is_there_as_it_is(source: str, value: str):
    TypeAdapter(Html).validate_python(source)
    before, after = source.split("{{ contact.a }}")
    found = shown(source, Kind.HTML, a=value)
    assert unescape(found.removeprefix(before).removesuffix(after)) == value


def test_an_included_file_is_named_with_its_line(tmp_path):
    (tmp_path / "part.html").write_text("<p>\n<a href={{ contact.a }}>")
    adapter = TypeAdapter(Html)
    with pytest.raises(ValidationError, match=r"part\.html line 2: a value stands in href="):
        adapter.validate_python("{% include 'part.html' %}", context={"templates": tmp_path})


# Markdown


@pytest.mark.parametrize("kind", [Kind.CARD, Kind.MARKDOWN])
@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        ("[x]({{ contact.a }})", "https://a.example/(b)", "[x](https://a.example/%28b%29)"),
        (
            "[x](https://a.example/{{ contact.a }})",
            "b) [c](d",
            "[x](https://a.example/b%29%20%5Bc%5D%28d)",
        ),
        ("See https://a.example/{{ contact.a }}, ok", "b_c d", "See https://a.example/b_c%20d, ok"),
        ("**{{ contact.a }}**", "a*b", "**a\\*b**"),
    ],
)
def test_a_value_in_a_markdown_link_is_part_of_it(kind: Kind, source: str, value: str, text: str):
    assert shown(source, kind, a=value) == text


@pytest.mark.parametrize("kind", [Kind.CARD, Kind.MARKDOWN])
def test_what_is_no_address_is_no_link_in_markdown(kind: Kind):
    assert "is no http or https URL" in refusal("[x]({{ contact.a }})", kind, a="javascript:x")


# Cost

DEAR = [
    "{{ contact.long | map('center', 9999999) | list | length }}",
    "{{ ('{:>999999}' * 1000).format(*([1] * 1000)) }}",
    "{{ ('{0:>999999}' * 1000).format(1) }}",
    "{{ ('%999999d' * 1000) % ((1,) * 1000) }}",
    "{{ contact.format | format(a=1) }}",
    "{% for a in contact.long %}{% set x = '*' * 9999999 %}{% endfor %}",
    "{{ ('é ' * 4999999).split() | length }}",
    "{{ ('x' * 9999999) | list | length }}",
    "{{ contact.hyphens | wordwrap(40) | length }}",
    "{{ contact.large | wordwrap(1) | length }}",
    "{{ contact.comments | striptags | length }}",
    "{{ contact.exponent | number }}",
    "{{ contact.digits | number }}",
    "{% if contact.digits == 1 %}x{% endif %}{% if contact.exponent == 1 %}x{% endif %}",
    "{% for a in contact.long %}{{ contact.large.count('xy') }}{% endfor %}",
    "{{ contact.large | urlencode | length }}{{ contact.large | title | length }}",
    "{{ contact.large | wordcount }}{{ contact.large | truncate(9) }}",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("source", DEAR)
def test_no_text_of_a_contact_takes_long(source: str):
    """Ten seconds on a busy machine; it fails or ends within one on another."""
    values = {
        "long": "long " * 1000,
        "large": "x" * 1_000_000,
        "hyphens": "-" * 200_000,
        "comments": "<!---->" * 150_000,
        "format": "%(a)999999s" * 500,
        "exponent": "1e999999999",
        "digits": "1" * 100_000 + "x",
    }
    began = time.process_time()
    with suppress(ContactFailure):
        shown(source, Kind.TEXT, **values)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "source",
    [
        "{{ ('a ' * 2000000) | title | length }}",
        "{{ ('<>' * 2000000) | striptags | length }}",
        "{{ (1).to_bytes(99999999) | length }}",
        "{{ ('x' * 9000).translate({120: 'x' * 9000}) | length }}",
    ],
)
def test_what_costs_much_more_than_its_length_is_refused_before(source: str):
    assert "does too much" in refusal(source, Kind.TEXT)


@pytest.mark.parametrize("kind", Kind)
def test_half_a_surrogate_pair_is_of_the_contact(kind: Kind):
    """JSON brings such, and no vendor's database, nor a ledger's, keeps it."""
    assert "UTF-8 cannot carry" in refusal("{{ contact.a }}", kind, a="x\ud83d")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "text", [part * 100_000 for part in ("<", "&", "-\n", " ", "[")], ids=range(5)
)
def test_escaping_takes_time_by_length_alone(kind: Kind, text: str):
    began = time.process_time()
    with suppress(ContactFailure):
        shown("a {{ contact.a }} b", kind, a=text)
    assert time.process_time() - began < 10
