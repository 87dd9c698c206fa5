"""Which actions may be one message per run, and what their templates see."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems

HEAD = """
workflow: weekly
segment: gold
changes: [added, removed]
start: 2026-11-01
actions:
"""
LIST = "{% for contact in digest.contacts %}{{ contact.contact_id }} {% endfor %}"
DIRECTORY = "directory: customers\nsnapshots: ../snapshots\n"
SEGMENT = "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n"
COLUMNS = {"customers": {"contacts": ("contact_id", "first_name", "tier")}}


def catalog(home: Path, *actions: str) -> Catalog:
    files = {
        "directories/customers": DIRECTORY,
        "segments/gold": SEGMENT,
        "workflows/weekly": HEAD + "\n".join(f"  - {action}" for action in actions),
    }
    for name, text in files.items():
        path = home / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Catalog(home)


def problems(home: Path, *actions: str) -> list[str]:
    return [problem.message for problem in find_problems(catalog(home, *actions), COLUMNS)]


def slack(text: str, more: str = "digest: true") -> str:
    return f'{{id: team, {more}, slack_message: {{channel: "#a", text: "{text}"}}}}'


@pytest.mark.parametrize(
    "text",
    [
        LIST,
        "{{ digest.count }} on {{ snapshot }} in {{ workflow }}: {{ digest.link }}",
        "{% for one in digest.contacts[:20] %}{{ one.first_name }} {{ one.change }}{% endfor %}",
        "{% for kind in digest.counts %}{{ kind }}: {{ digest.counts[kind] }}{% endfor %}",
        "{{ digest.contacts | map(attribute='contact_id') | join(', ') }}",
        "{% for tier, all in digest.contacts | groupby('tier') %}{{ tier }}{% endfor %}",
    ],
)
def test_a_digest_of_the_team_is_valid(tmp_path, text):
    assert problems(tmp_path, slack(text)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ contact.contact_id }}", "a digest is about many contacts, so there is no 'contact'"),
        (LIST + "{{ contact.first_name }}", "there is no 'contact'"),
        ("{{ change }}", "there is no 'change'"),
        ("{{ results.x.url }}", "there is no 'results'"),
        ("{% for one in digest.contacts %}{{ one.nam }}{% endfor %}", "no field 'nam'"),
        ("{% for one in digest.contacts|sort %}{{ one.nam }}{% endfor %}", "no field 'nam'"),
        (
            "{% for one in digest.contacts %}{{ one.results.ticket.url }}{% endfor %}",
            "results.ticket is not there yet",
        ),
    ],
)
def test_what_a_digests_template_gets_wrong_is_found(tmp_path, text, found):
    [problem] = problems(tmp_path, slack(text))
    assert found in problem


def test_digest_is_refused_in_a_message_to_each_contact(tmp_path):
    [problem] = problems(tmp_path, slack("{{ digest.count }}", "after: []"))
    assert "'digest' is there with `digest: true`" in problem


@pytest.mark.parametrize("to", ["", 'to: "{{ contact.email }}", audience: contact, '])
def test_a_digest_never_goes_to_a_contact(tmp_path, to):
    """Else one contact would read of all others; no DAG is built of it."""
    action = f"{{id: team, digest: true, email: {{{to}subject: New, text: x}}}}"
    found = problems(tmp_path, action)
    assert "a digest shows contacts to whoever reads it" in found[0]
    with pytest.raises(Exception, match="goes to the team alone"):
        Catalog(tmp_path).resolve("weekly")
    action = "{id: team, digest: true, email: {to: a@example.com, subject: New, text: x}}"
    assert problems(tmp_path, action) == []


def test_only_a_digest_may_come_after_a_digest(tmp_path):
    """A branch does not wait for all the others."""
    first = slack(LIST)
    after = '{id: next, after: team, slack_message: {channel: "#a", text: x}}'
    [problem] = problems(tmp_path, first, after)
    assert "'team' is a digest, which goes out when all contacts are through" in problem
    assert problems(tmp_path, first, after.replace("after", "digest: true, after")) == []
    before = after.replace("after: team, ", "").replace("next", "other")
    assert (
        problems(tmp_path, before, first.replace("digest: true", "after: other, digest: true"))
        == []
    )


def test_a_digest_is_not_named_as_a_task_of_the_run(tmp_path):
    [problem] = problems(tmp_path, slack(LIST).replace("team", "report"))
    assert "'report' is a task of Segue's own" in problem


def test_a_digest_looks_for_no_open_ticket(tmp_path):
    """Whose would it be?"""
    ticket = "{id: team, digest: true, zendesk_ticket: {on_existing: KIND, subject: s, comment: c}}"
    [problem] = problems(tmp_path, ticket.replace("KIND", "comment"))
    assert "none of their open tickets is looked for" in problem
    assert problems(tmp_path, ticket.replace("KIND", "create")) == []


def test_what_is_done_to_one_contact_is_no_digest(tmp_path):
    """An update in XM Directory, a link that is the contact's own: there is no contact."""
    link = "survey_link: {directory: POOL_a, mailing_list: CG_a, survey: SV_a}"
    found = [
        str(one)
        for one in find_problems(catalog(tmp_path, f"{{id: a, digest: true, {link}}}"), COLUMNS)
    ]
    assert len(found) == 1
    assert "a digest is about many contacts, and 'survey_link' is about one" in found[0]
