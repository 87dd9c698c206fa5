"""A credential that is written out in an action or a look-up is remarked on, and not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems, find_remarks

WORKFLOW = """\
workflow: w
segment: s
changes: [added]
start: 2026-11-01
load:
  http: {connection: crm, path: '/{{ contact.a }}', fields: [b], query: {LOAD}}
actions:
  - id: note
    http_request: {connection: crm, path: /notes, query: {QUERY}, BODY}
"""
LITERAL = [
    {"QUERY": "api_key: s3cr3t-hunter"},
    {"QUERY": "apiKey: s3cr3t-hunter"},
    {"QUERY": "q: 'x xoxb-s3cr3t-hunter-0123'"},
    {"BODY": "json: {auth: {client_secret: s3cr3t-hunter}}"},
    {"BODY": "json: [{password: {optional: s3cr3t-hunter}}]"},
    {"BODY": "json: {text: 'Bearer s3cr3t-hunter-0123 {{ contact.contact_id }}'}"},
    {"BODY": "form: {access_token: s3cr3t-hunter}"},
    {"BODY": "text: 'key=sk_live_s3cr3thunter {{ contact.contact_id }}'"},
    {"BODY": "headers: {X-Api-Key: s3cr3t-hunter}"},
    {"LOAD": "token: s3cr3t-hunter"},
    {"BODY": "json: {to: 'https://hooks.slack.com/services/T0/B0/s3cr3t-hunter'}"},
    {"BODY": "json: {to: 'https://x.webhook.office.com/webhookb2/s3cr3t-hunter@x/y'}"},
    {"BODY": "json: {to: 'https://discord.com/api/webhooks/12/s3cr3t-hunter'}"},
    {"BODY": "json: {to: 'https://x.example/invoke?api-version=1&sig=s3cr3t-hunter'}"},
    {"BODY": "json: {to: 'https://x.example/?X-Amz-Signature=s3cr3t-hunter'}"},
]
FINE = [
    {"QUERY": "page_token: '{{ contact.contact_id }}', key: urgent, sort: token"},
    {"BODY": "json: {password: none, secret: 'yes', tokens: many-of-them, api_key: 7}"},
    {"BODY": "json: {note: 'the password was changed', token: 'two words'}"},
    {"BODY": "json: {to: 'https://x.example/leave?token={{ contact.contact_id }}&sign=leo'}"},
]


def write(home: Path, parts: dict[str, str]) -> Catalog:
    text = WORKFLOW
    for name in ("LOAD", "QUERY", "BODY"):
        text = text.replace(name, parts.get(name, "json: {}" if name == "BODY" else ""))
    files = {
        "directories/d": "directory: d\nsnapshots: .\n",
        "segments/s": "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n",
        "workflows/w": text,
    }
    for file, body in files.items():
        path = home / f"{file}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    return Catalog(home)


@pytest.mark.parametrize("parts", LITERAL)
def test_a_credential_that_is_written_out_is_remarked_on(tmp_path: Path, parts: dict[str, str]):
    catalog = write(tmp_path, parts)
    assert find_problems(catalog) == []
    [remark] = find_remarks(catalog)
    place = "load.http.query" if "LOAD" in parts else "actions[0].http_request."
    assert remark.path.startswith(place)
    assert remark.line in (6, 9)
    assert "belongs into the Airflow connection" in remark.message
    assert "hunter" not in str(remark)


@pytest.mark.parametrize("parts", FINE)
def test_what_a_contact_has_and_what_is_a_word_is_not(tmp_path: Path, parts: dict[str, str]):
    assert find_remarks(write(tmp_path, parts)) == []


@pytest.mark.parametrize("key", ["oauth2", "placed_secrets", "segue_rate"])
def test_what_belongs_into_a_connections_extra_is_told_so(tmp_path: Path, key: str):
    [problem] = find_problems(write(tmp_path, {"BODY": f"{key}: {{query: {{key: hunter2}}}}"}))
    assert problem.path == f"actions[0].http_request.{key}"
    assert "belongs into the extra of the Airflow connection" in problem.message
    assert "hunter2" not in str(problem)
