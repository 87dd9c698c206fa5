from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import teams_api

WEBHOOK = f"/teams{teams_api.WEBHOOK}"
CARD = {"type": "AdaptiveCard", "version": "1.2", "body": [{"type": "TextBlock", "text": "Hello"}]}


def message(card: Any = CARD, content_type: str = teams_api.CONTENT_TYPE) -> dict[str, Any]:
    return {"type": "message", "attachments": [{"contentType": content_type, "content": card}]}


def test_a_card_is_taken_at_once_and_posted(web: httpx.Client, sandbox: Sandbox) -> None:
    """202, nothing in the body, and a run that can be looked up."""
    answer = web.post(WEBHOOK, json=message())

    assert (answer.status_code, answer.content) == (202, b"")
    [received] = sandbox.messages(service="teams")
    assert (received.kind, received.text) == ("card", "Hello")
    assert received.fields["card"] == CARD
    assert received.fields["run"] == answer.headers["x-ms-workflow-run-id"]


def test_the_signature_is_not_kept(web: httpx.Client, sandbox: Sandbox) -> None:
    """Whoever has it can post, so the inbox does not show it."""
    web.post(WEBHOOK, json=message())
    [received] = sandbox.messages()

    assert received.raw["path"].endswith("&sig=(removed)")
    assert teams_api.SIGNATURE not in web.get(f"/messages/{received.id}").text


def test_a_repeat_is_a_second_card(web: httpx.Client, sandbox: Sandbox) -> None:
    for _ in range(2):
        web.post(WEBHOOK, json=message(), headers={"Idempotency-Key": "k1"})

    assert len(sandbox.messages(service="teams", kind="card")) == 2


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (WEBHOOK.replace(teams_api.SIGNATURE, "wrong"), 401, "AuthorizationFailed"),
        (WEBHOOK.partition("&sig=")[0], 401, "DirectApiAuthorizationRequired"),
        (WEBHOOK.replace(teams_api.WORKFLOW, "0" * 32), 404, "WorkflowNotFound"),
        ("/teams/other", 404, "ResourceNotFound"),
    ],
)
def test_another_url_is_refused(
    web: httpx.Client, sandbox: Sandbox, path: str, status: int, code: str
) -> None:
    answer = web.post(path, json=message())

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert sandbox.messages() == []


def test_what_is_no_json_is_refused(web: httpx.Client, sandbox: Sandbox) -> None:
    """The trigger reads JSON, and only that is looked at before the answer."""
    headers = {"Content-Type": "application/json"}
    answers = [
        web.post(WEBHOOK, content=b"{", headers=headers),
        web.post(WEBHOOK, content=b"[]", headers=headers),
        web.post(WEBHOOK, data={"type": "message"}),
    ]

    assert [answer.status_code for answer in answers] == [400] * 3
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"text": "a connector's message"}, "is not an array"),
        (message(card={"type": "MessageCard"}), "must be 'AdaptiveCard'"),
        (message(card={"type": "AdaptiveCard"}), "'version'"),
        (message(card={**CARD, "body": [{"text": "x"}]}), "has no type"),
        (message(card={**CARD, "body": ["x"]}), "has no type"),
        (message(content_type="text/html"), "contentType"),
        (message(card={**CARD, "speak": "x" * 28_672}), "too large"),
    ],
)
def test_a_card_that_cannot_be_posted_is_taken_all_the_same(
    web: httpx.Client, sandbox: Sandbox, body: dict[str, Any], why: str
) -> None:
    """The caller hears 202; only the run history knows."""
    answer = web.post(WEBHOOK, json=body)

    assert answer.status_code == 202
    [received] = sandbox.messages()
    assert received.kind == "failed_run"
    assert why in received.fields["why"]


@pytest.mark.parametrize(
    ("fault", "status"), [("server_error", 503), ("unauthorized", 401), ("rate_limited", 429)]
)
def test_refusals_have_codes_and_no_effect(
    web: httpx.Client, sandbox: Sandbox, fault: str, status: int
) -> None:
    sandbox.fault("teams", fault, retry_after=12)
    answer = web.post(WEBHOOK, json=message())

    assert answer.status_code == status
    assert answer.json()["error"]["code"]
    assert answer.headers.get("Retry-After") == ("12" if status == 429 else None)
    assert sandbox.messages() == []


def test_the_inbox_shows_a_card(web: httpx.Client, sandbox: Sandbox) -> None:
    web.post(WEBHOOK, json=message({**CARD, "body": [{"type": "TextBlock", "text": "<b>"}]}))
    page = web.get("/?service=teams").text

    assert "Teams" in page
    assert "&lt;b&gt;" in page
    assert json.loads(web.get("/sandbox/messages?service=teams").text)["total_entries"] == 1
