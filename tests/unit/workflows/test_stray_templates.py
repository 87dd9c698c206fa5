"""A text that is written as a template where none is read is refused, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.contracts.stray_templates import LONGEST_SHOWN, stray_template
from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems

DIRECTORY = "directory: d\nsnapshots: .\n"
SEGMENT = "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n"
WORKFLOW = "workflow: w\nsegment: s\nchanges: [added]\nstart: 2026-11-01\n"
ACTIONS = "actions:\n  - id: note\n    http_request: {connection: crm, path: /notes}\n"
LOAD = "load: {http: {connection: crm, path: '/{{ contact.a }}', fields: [a]}}\n"
LOOK_UP = "http_request: {connection: c, path: /, text: '{{ key }}', look_up: {path: /, "
NOTIFY = "notify: {on_failure: {notifier: segue.testing.Notifier, subject: '{{ dag.dag_id }}'}}\n"
EXAMPLE = "{name: t, as_of: 2026-11-23, contact: {a: '{{ x }}'}, expect: {note: {send: {}}}}"
ACTION = "actions:\n  - id: one\n    "

PLACES = [  # a line of a definition, and where in it a template is none
    ("directories/d", "directory: d\nsnapshots: '{{ ds }}'\n", 2, "snapshots"),
    ("directories/d", DIRECTORY + "columns: {contacts: {a: '{{ b }}'}}\n", 3, "columns.contacts.a"),
    ("segments/s", SEGMENT.replace("equals: b", "equals: '{{ contact.b }}'"), 3, "match.equals"),
    ("segments/s", SEGMENT.replace("equals: b", "one_of: [x, '{{ y }}']"), 3, "match.one_of[1]"),
    ("workflows/w", f"{WORKFLOW}owner: '{{{{ owner }}}}'\n{ACTIONS}", 5, "owner"),
    ("workflows/w", f"{WORKFLOW}tags: ['{{% if x %}}']\n{ACTIONS}", 5, "tags[0]"),
    (
        "workflows/w",
        f"{WORKFLOW}{ACTIONS}    if: {{field: a, equals: '{{{{ contact.b }}}}'}}\n",
        8,
        "actions[0].if.equals",
    ),
    (
        "workflows/w",
        WORKFLOW + LOAD.replace("crm", "'{{ c }}'") + ACTIONS,
        5,
        "load.http.connection",
    ),
    (
        "workflows/w",
        WORKFLOW + LOAD.replace("[a]", "{a: \"'{{ contact.a }}'\"}") + ACTIONS,
        5,
        "load.http.fields.a",
    ),
]
CHANNELS = [  # an action, and the field in which a template is none
    ("email: {connection: '{{ c }}', subject: x, text: y}", "email.connection"),
    (
        "freshdesk_ticket: {email: a@example.com, subject: x, description: y, status: '{{ s }}'}",
        "freshdesk_ticket.status",
    ),
    ("http_request: {connection: c, path: /, success: \"'{{ key }}'\"}", "http_request.success"),
    (
        "http_request: {connection: c, path: /, results: {id: \"'{{ key }}'\"}}",
        "http_request.results.id",
    ),
    (
        LOOK_UP + "found: \"[?a == '{{ key }}']\"}}",
        "http_request.look_up.found",
    ),
    (
        LOOK_UP + "found: '[?a == key()]', complete: \"'{{ key }}'\"}}",
        "http_request.look_up.complete",
    ),
    (
        "http_request: {connection: c, path: /, content_type: '{{ t }}', text: x}",
        "http_request.content_type",
    ),
    ("jira_issue: {project: '{{ contact.a }}', summary: x}", "jira_issue.project"),
    (
        "servicenow_record: {table: '{{ contact.a }}', short_description: x}",
        "servicenow_record.table",
    ),
    ("slack_webhook: {connection: '{% c %}', text: x}", "slack_webhook.connection"),
    (
        "survey_link: {directory: POOL_1, survey: '{{ s }}', mailing_list: CG_1}",
        "survey_link.survey",
    ),
    ("teams_message: {connection: '{{ contact.a }}', text: x}", "teams_message.connection"),
    (
        "text_message: {connection: '{{ c }}', from: '+15005550006', text: x}",
        "text_message.connection",
    ),
    (
        "zendesk_ticket: {subject: x, comment: y, connection: 'z{{ c }}'}",
        "zendesk_ticket.connection",
    ),
]


def problems(home: Path, name: str = "", text: str = "") -> list[tuple[str, int, str, str]]:
    """Return file, line, place and text of what is wrong, with one definition that is another."""
    files = {"directories/d": DIRECTORY, "segments/s": SEGMENT, "workflows/w": WORKFLOW + ACTIONS}
    for file, written in {**files, **({name: text} if name else {})}.items():
        path = home / f"{file}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(written)
    found = find_problems(Catalog(home))
    return [(Path(each.file).stem, each.line, each.path, each.message) for each in found]


def test_nothing_is_wrong_without_one(tmp_path: Path):
    assert problems(tmp_path) == []


@pytest.mark.parametrize(("name", "text", "line", "place"), PLACES)
def test_it_is_refused_wherever_it_stands(tmp_path: Path, name, text, line, place):
    found = {(file, at, path): words for file, at, path, words in problems(tmp_path, name, text)}
    assert "where no template is read" in found[name.rpartition("/")[2], line, place]


@pytest.mark.parametrize(("action", "place"), CHANNELS)
def test_it_is_refused_in_every_channel(tmp_path: Path, action: str, place: str):
    found = problems(tmp_path, "workflows/w", WORKFLOW + ACTION + action + "\n")
    assert [(line, path) for _, line, path, _ in found] == [(7, f"actions[0].{place}")]


@pytest.mark.parametrize(
    "text",
    [
        WORKFLOW + ACTIONS + NOTIFY,
        WORKFLOW + ACTIONS + "conditions: {field: a, contains: '{{'}\n",
        f"{WORKFLOW}{ACTIONS}tests: [{EXAMPLE}]\n",
    ],
)
def test_what_is_anothers_template_or_data_may_be_any(tmp_path: Path, text: str):
    found = problems(tmp_path, "workflows/w", text)
    assert not [each for each in found if "where no template is read" in each[3]]


def test_a_long_one_is_shown_in_part():
    message = stray_template("{{ " + "x" * 100 + " }}") or ""
    assert message.startswith("found {{ xxx")
    assert len(message) < LONGEST_SHOWN + 90
